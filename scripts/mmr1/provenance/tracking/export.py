"""Bring MLflow up to date with a results folder: what is made, in which order, and why it can be done again.

One process writes. Each run carries the digest of the record that it shows; a second export therefore creates
nothing, and an export that was killed is finished by the next one. Runs in the driver's environment, which has mlflow.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mmr1.plumbing.attempt import attempt_name
from mmr1.provenance.ledger import Attempt, Record, read_attempts, read_records
from mmr1.provenance.tracking import tags
from mmr1.provenance.tracking.existing import Existing, delete_all, find_existing
from mmr1.provenance.tracking.experiment import Experiment, allowed_name
from mmr1.provenance.tracking.lineage import Lineage, datasets
from mmr1.provenance.tracking.metrics import Point, accuracies, curves, record_metrics
from mmr1.provenance.tracking.params import common_params, record_params
from mmr1.provenance.tracking.record_files import REPORT_FOLDER, artifact_files, checkpoints, report_files
from mmr1.provenance.tracking.runs import SHARED, ParentRun, Unfinished, child_name, parent_runs
from mmr1.provenance.tracking.store import open_experiment, sole_writer, store_at

EXPORTER = "export_mlflow"


@dataclass
class Exported:
    """What the export found or made: MLflow run ids by parent name, record digest and attempt digest."""

    experiment_id: str
    parents: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    created: int = 0


def export(results: Path, tracking_uri: str, anew: bool = False) -> Exported:
    """Bring MLflow up to date with the records and attempts under `results`; its experiment is named like the folder.

    With `anew` all that it shows of them is deleted first. What others' results show there is never touched. Raises
    UserError for a broken record, for a database, server or folder that cannot be written to, and for an experiment
    that was deleted or renamed.
    """
    records = exportable(results)
    store = store_at(tracking_uri, results)
    with sole_writer(store):
        experiment = Experiment(open_experiment(store, anew), store)
        if anew:
            delete_all(experiment)
        existing = find_existing(experiment, {record.name: record.integrity for record in records})
        # After the runs were listed: a job marks its start before it begins a run there.
        attempts = [attempt for attempt in read_attempts(results) if attempt.rule != EXPORTER]
        return _Export(results, experiment, existing).update(records, attempts)


def exportable(results: Path) -> list[Record]:
    """The records to show: all but those of exports, which would otherwise make each export find one more."""
    return [record for record in read_records(results) if record.key.program != EXPORTER]


class _Export:
    """One export into one experiment."""

    def __init__(self, results: Path, experiment: Experiment, existing: Existing) -> None:
        self.results, self.experiment, self.existing = results, experiment, existing
        self.lineage = Lineage(experiment, existing.models)
        self.exported = Exported(experiment.id)
        self.opened: list[ParentRun] = []  # parents that this export created
        self.live_points: dict[str, set[Point]] = {}  # what the run of a job has that it began itself

    def update(self, records: list[Record], attempts: list[Attempt]) -> Exported:
        """Create what is missing and end every run with its status."""
        parents = parent_runs(records, attempts, self.results / "logs")
        new = []
        for parent in parents:
            self._open_parent(parent)
            for record in parent.records:
                if record.name in self.existing.records:
                    self._adopt(record, parent)
                else:
                    self._create_child(record, parent)
                    new.append((record, parent))
        for record, parent in new:  # after all were created, so that a model is known before it is used
            self._fill(record, parent)
        for parent in self.opened:
            for record in parent.records:
                if record.name in self.existing.records:  # new ones are there now
                    self._show_in_parent(record, parent)
        for parent in parents:
            for attempt in parent.unfinished:
                self._show_unfinished(attempt, parent)
            for name, value in tags.of_changed(parent.records).items():
                self.experiment.set_tag(self.exported.parents[parent.name], name, value)
        self._settle_live({_name_of(attempt) for attempt in attempts})
        self._show_accuracies(records, {record.name for record, _ in new})
        self._show_report(records)
        for parent in parents:
            self.experiment.end_run(self.exported.parents[parent.name], parent.status, parent.end)
        self.exported.created = self.experiment.created_runs
        return self.exported

    def _open_parent(self, parent: ParentRun) -> None:
        """Find or create a parent run."""
        if parent.name in self.existing.parents:
            self.exported.parents[parent.name] = self.existing.parents[parent.name].info.run_id
            return
        described = tags.of_parent(parent, self.experiment.store.place)
        self.opened.append(parent)
        run_id = self.experiment.create_run(parent.name, parent.start, described)
        self.exported.parents[parent.name] = run_id
        if parent.name != SHARED:
            self.experiment.log_params(run_id, common_params(parent.records))

    def _show_in_parent(self, record: Record, parent: ParentRun) -> None:
        """The curves, accuracies and checkpoints of a job of an RL run, and what its trainings read, in its parent."""
        if parent.name == SHARED:
            return
        parent_id = self.exported.parents[parent.name]
        points = [*curves(record, self.results), *accuracies(record, self.results)]
        self.experiment.log_metrics(parent_id, points, record.execution.end)
        if checkpoints(record.outputs):
            self.lineage.log_inputs(record, parent_id)
            self.lineage.show_outputs(record, parent_id)

    def _adopt(self, record: Record, parent: ParentRun) -> None:
        """Keep a record's run of an earlier export, under the parent run of this one."""
        run, parent_id = self.existing.records[record.name], self.exported.parents[parent.name]
        if run.data.tags.get(tags.PARENT) != parent_id:
            self.experiment.set_tag(run.info.run_id, tags.PARENT, parent_id)
        for name, value in tags.of_changed([record]).items():
            self.experiment.set_tag(run.info.run_id, name, value)
        self.exported.records[record.name] = run.info.run_id

    def _create_child(self, record: Record, parent: ParentRun) -> None:
        """Create a record's run and the models it made."""
        described = tags.of_record(record, self.exported.parents[parent.name])
        name, start = child_name(record, parent.name), record.execution.start
        run_id = self._adopted_live(record, name, described) or self.experiment.create_run(name, start, described)
        self.exported.records[record.name] = run_id
        self.lineage.log_outputs(record, run_id)

    def _adopted_live(self, record: Record, name: str, described: tags.Tags) -> str | None:
        """The run that a finished job began itself, as its record's; None if it began none, or shows what is not so."""
        live = self.existing.live.pop(_name_of(record), None)
        if live is None:
            return None
        there = self.experiment.points(live)
        if not there <= {_as_shown(point) for point in record_metrics(record, self.results)}:
            self.experiment.client.delete_run(live.info.run_id)
            return None
        self.live_points[live.info.run_id] = there
        self.experiment.adopt_run(live, name, described)
        return str(live.info.run_id)

    def _settle_live(self, known: set[str]) -> None:
        """End the runs of jobs that nothing is known of any more. Those of jobs that still run stay as they are."""
        for name, run in self.existing.live.items():
            if name not in known:
                if run.info.status == "RUNNING":
                    self.experiment.end_run(run.info.run_id, "KILLED", datetime.now(UTC))
                self.experiment.set_tag(run.info.run_id, tags.SUPERSEDED, "true")

    def _fill(self, record: Record, parent: ParentRun) -> None:
        """Log what a record says into its run, its curves into its parent run too, and end it."""
        run_id, end = self.exported.records[record.name], record.execution.end
        self.experiment.log_params(run_id, record_params(record))
        there = self.live_points.get(run_id, set())
        missing = [point for point in record_metrics(record, self.results) if _as_shown(point) not in there]
        self.experiment.log_metrics(run_id, missing, end)
        self._show_in_parent(record, parent)
        self.lineage.log_inputs(record, run_id)
        self.experiment.log_artifact(run_id, record.path, "record")
        for name, path in artifact_files(record, self.results):
            self.experiment.log_artifact(run_id, path, name)
        self.experiment.end_run(run_id, "FINISHED", end)

    def _show_accuracies(self, records: list[Record], new: set[str]) -> None:
        """Give each checkpoint its accuracies, by which MLflow ranks models, where either of them is new."""
        by_name: dict[str | None, Record] = {record.name: record for record in records}
        for record in records:
            model = self.lineage.evaluated(record, by_name)
            if model is not None and (record.name in new or model in self.lineage.new):
                points, run_id = accuracies(record, self.results), self.exported.records[record.name]
                problems = next(iter(datasets(record)), None)
                self.experiment.log_metrics(run_id, points, record.execution.end, model, problems)

    def _show_report(self, records: list[Record]) -> None:
        """The report among the artifacts of the parent of what runs share, so that nobody has to look for its job."""
        shared = self.exported.parents.get(SHARED)
        for record in records:
            for path in report_files(record, self.results):
                if shared is not None and self.experiment.tag(shared, tags.REPORT) != record.integrity:
                    self.experiment.log_artifact(shared, path, REPORT_FOLDER)
                    self.experiment.set_tag(shared, tags.REPORT, record.integrity)

    def _show_unfinished(self, unfinished: Unfinished, parent: ParentRun) -> None:
        """Find or create the run of an attempt that came to nothing."""
        if unfinished.digest in self.existing.attempts:
            self.exported.attempts[unfinished.digest] = self.existing.attempts[unfinished.digest].info.run_id
            return
        attempt = unfinished.attempt
        described = tags.of_unfinished(unfinished, self.exported.parents[parent.name])
        name = child_name(attempt, parent.name)
        live = self.existing.live.pop(unfinished.digest, None)
        if live is None:
            run_id = self.experiment.create_run(name, attempt.start, described)
        else:
            self.experiment.adopt_run(live, name, described)
            run_id = live.info.run_id
        self.experiment.end_run(run_id, unfinished.status, unfinished.end)
        self.exported.attempts[unfinished.digest] = run_id


def _name_of(job: Record | Attempt) -> str:
    """The name of a job's start, by which the run is known that it began itself."""
    if isinstance(job, Record):
        execution = job.execution
        return attempt_name(job.rule, job.key.wildcards, execution.start, execution.host, execution.pid)
    return attempt_name(job.rule, job.wildcards, job.start, job.host, job.pid)


def _as_shown(point: Point) -> Point:
    return Point(allowed_name(point.name), point.value, point.step)
