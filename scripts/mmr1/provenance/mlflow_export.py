"""MLflow as a projection of the records: the records are the truth, MLflow shows them (DESIGN §9 "MLflow").

One process writes. An experiment is a recipe; a parent run is one model × run × seed, and one parent named "shared"
holds what runs have in common (data, SFT, evaluation of base and SFT, tables); a child run is one record, found again
by a tag that holds the record's digest. A second export therefore creates nothing, and an export that was killed is
finished by the next one. Runs in the driver's environment, which has mlflow.
"""

import fcntl
import json
import os
import re
import socket
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
import mlflow.db
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    ViewType,
)

from mmr1.errors import UserError
from mmr1.files import digest, read_json, read_jsonl, sha256
from mmr1.provenance.ledger import Attempt, File, Record, locate, read_attempts, read_records

EXPORTER = "export_mlflow"
SHARED = "shared"
INITIAL_ROLLOUTS = "generate_initial"  # its `model/<settings>/seedS/…` is no run

# Copied into MLflow whole, so that its pages show them. Anything else is logged by reference and hash.
ARTIFACT_SUFFIXES = {".csv", ".html", ".json", ".jsonl", ".md", ".png", ".svg", ".tex", ".yaml"}
ARTIFACT_BYTES = 20_000_000
DATASET_SUFFIXES = {".parquet", ".jsonl"}

# MLflow's limits: longer values are cut here, and stand in full in the record among the artifacts.
PARAM_LENGTH, TAG_LENGTH, KEY_LENGTH, DATASET_DIGEST_LENGTH = 6000, 8000, 250, 36
PARAMS_A_BATCH, METRICS_A_BATCH = 100, 1000

Tags = dict[str, str]


@dataclass
class Exported:
    """What the export found or made: MLflow run ids by parent name, record digest and attempt digest."""

    experiment_id: str
    parents: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    created: int = 0


def export(results: Path, tracking_uri: str, artifacts: Path | None = None) -> Exported:
    """Bring MLflow up to date with the records and attempts under `results`; its experiment is named like the folder.

    `artifacts` is where a new experiment keeps its files; None leaves that to the server. Raises UserError for a
    broken record and for a database, server or folder that cannot be written to.
    """
    records = exportable(results)
    attempts = [attempt for attempt in read_attempts(results) if attempt.rule != EXPORTER]
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    with _sole_writer(tracking_uri):
        mlflow.set_tracking_uri(tracking_uri)  # create_external_model takes no client
        experiment = _open_experiment(tracking_uri, results, artifacts)
        return _Projection(results, experiment).update(records, attempts)


def exportable(results: Path) -> list[Record]:
    """The records to show: all but those of exports, which would otherwise make each export find one more."""
    return [record for record in read_records(results) if record.key.program != EXPORTER]


def parent_name(job: Record | Attempt) -> str:
    """The parent run of a job: `model/run/seedS` for what belongs to one run, else "shared".

    Round-0 rollouts are shared by runs; an evaluation (`…/run-seedS/…`) belongs to its run.
    """
    parts = job.place.parts
    if job.rule == INITIAL_ROLLOUTS:
        return SHARED
    if len(parts) >= 3 and re.fullmatch(r"seed\d+", parts[2]):
        return "/".join(parts[:3])
    for part in parts[1:]:
        if match := re.fullmatch(r"(.+)-(seed\d+)", part):
            return "/".join((parts[0], *match.groups()))
    return SHARED


@dataclass(frozen=True)
class Fate:
    """An attempt that came to nothing: a digest that names it, and whether it FAILED or was KILLED."""

    name: str
    attempt: Attempt
    status: str

    @property
    def end(self) -> datetime:
        """When it ended; for a killed one only its start is known."""
        return self.attempt.end or self.attempt.start


class _Projection:
    """One export into one experiment."""

    def __init__(self, results: Path, experiment: str) -> None:
        self.results = results
        self.client = mlflow.MlflowClient()
        self.experiment = experiment
        self.exported = Exported(experiment)
        self.models: dict[str, str] = {}  # a checkpoint's digest to its MLflow model id

    def update(self, records: list[Record], attempts: list[Attempt]) -> Exported:
        """Create what is missing, set aside what was superseded, and end every run with its state."""
        known = self._known_runs({record.digest for record in records})
        grouped: dict[str, tuple[list[Record], list[Fate]]] = defaultdict(lambda: ([], []))
        for record in records:
            grouped[parent_name(record)][0].append(record)
        for fate in _fates(attempts):
            grouped[parent_name(fate.attempt)][1].append(fate)
        new = []
        for name, (group, fates) in grouped.items():
            parent = self._parent(name, group, fates, known)
            for record in group:
                if record.digest in known["record"]:
                    self._adopt(known["record"][record.digest], record.digest, parent)
                else:
                    new.append((record, self._create_child(record, name, parent)))
        for record, run_id in new:  # after all were created, so that a model is known before it is used
            self._fill(record, run_id)
        for name, (group, fates) in grouped.items():
            for fate in fates:
                self._attempt(fate, known["attempt"])
            self._end_parent(name, group, fates)
        return self.exported

    def _known_runs(self, current: set[str]) -> dict[str, dict[str, Run]]:
        """Runs of earlier exports by kind and name. Half-written ones are deleted; superseded ones are set aside."""
        known: dict[str, dict[str, Run]] = {"parent": {}, "record": {}, "attempt": {}}
        superseded = set()
        models = self._known_models()
        for run in self._runs():
            kind, name = run.data.tags.get("mmr1.kind"), run.data.tags.get("mmr1.name", "")
            if "mmr1.superseded" in run.data.tags:
                continue
            if run.info.status == "RUNNING":
                self._delete(run, models)
            elif kind == "record" and name not in current:
                self.client.set_tag(run.info.run_id, "mmr1.superseded", "true")
                superseded.add(run.data.tags.get("mlflow.parentRunId"))
            elif kind in known:
                known[kind][name] = run
        for name, run in list(known["parent"].items()):
            if run.info.run_id in superseded:  # its curves hold steps that were done again: a new parent shows the new
                self.client.set_tag(run.info.run_id, "mmr1.superseded", "true")
                del known["parent"][name]
        return known

    def _known_models(self) -> dict[str, list[str]]:
        """Model ids by the run that made them."""
        by_run = defaultdict(list)
        token = None
        while True:
            page = self.client.search_logged_models([self.experiment], page_token=token)
            for model in page:
                by_run[model.source_run_id].append(model.model_id)
                self.models[model.tags.get("sha256", "")] = model.model_id
            token = page.token
            if not token:
                return by_run

    def _delete(self, run: Run, models: dict[str, list[str]]) -> None:
        for model in models.get(run.info.run_id, []):
            self.client.delete_logged_model(model)
            self.models = {content: known for content, known in self.models.items() if known != model}
        self.client.delete_run(run.info.run_id)

    def _runs(self) -> list[Run]:
        """Every run of the experiment, read before any is changed, for pages shift under changes."""
        runs, token = [], None
        while True:
            page = self.client.search_runs([self.experiment], run_view_type=ViewType.ACTIVE_ONLY, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _parent(self, name: str, group: list[Record], fates: list[Fate], known: dict[str, dict[str, Run]]) -> str:
        if name in known["parent"]:
            self.exported.parents[name] = known["parent"][name].info.run_id
            return self.exported.parents[name]
        start = min([record.execution.start for record in group] + [fate.attempt.start for fate in fates])
        tags = {"mmr1.kind": "parent", "mmr1.name": name}
        if name != SHARED:
            tags |= dict(zip(("mmr1.model", "mmr1.run", "mmr1.seed"), name.split("/"), strict=True))
        self.exported.parents[name] = run_id = self._create(name, start, tags)
        if name != SHARED:
            self._log_params(run_id, _common_params(group))
        for record in group:  # a parent that replaces a superseded one takes over what stays
            if name != SHARED and record.digest in known["record"]:
                self._log_metrics(run_id, self._metrics(record))
        return run_id

    def _adopt(self, run: Run, record_digest: str, parent: str) -> None:
        if run.data.tags.get("mlflow.parentRunId") != parent:
            self.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
        self.exported.records[record_digest] = run.info.run_id

    def _create_child(self, record: Record, name: str, parent: str) -> str:
        """Create a record's run and the models it made."""
        execution = record.execution
        tags = {
            "mmr1.kind": "record",
            "mmr1.name": record.digest,
            "mmr1.rule": record.rule,
            "mmr1.wildcards": record.key.wildcards,
            "mmr1.record": record.path.as_posix(),
            "mmr1.code": str(record.key.code.get("sha256")),
            "mmr1.environment": str(record.key.environment.get("sha256")),
            "mmr1.host": execution.host,
            "mmr1.dirty": str(execution.git.get("dirty")),
            "mlflow.parentRunId": parent,
            "mlflow.source.name": f"scripts/{record.key.program}.py",
            "mlflow.source.type": "LOCAL",
            **({"mlflow.source.git.commit": execution.git["commit"]} if execution.git.get("commit") else {}),
            **{f"mmr1.slurm.{key}": value for key, value in execution.slurm.items()},
            **{f"mmr1.input.{key}": _files_digest(files) for key, files in record.key.inputs.items()},
            **{f"mmr1.output.{key}": _files_digest(files) for key, files in record.outputs.items()},
        }
        run_id = self._create(_child_name(record, name), execution.start, tags)
        self.exported.records[record.digest] = run_id
        made = [
            LoggedModelOutput(self._create_model(folder, files, run_id), step=_last_step(record))
            for folder, files in checkpoints(record.outputs).items()
        ]
        if made:
            self.client.log_outputs(run_id, made)
        return run_id

    def _create(self, name: str, start: datetime, tags: Tags) -> str:
        tags = {_name(key): value[:TAG_LENGTH] for key, value in tags.items()}
        run = self.client.create_run(self.experiment, start_time=_milliseconds(start), tags=tags, run_name=name)
        self.exported.created += 1
        return run.info.run_id

    def _create_model(self, folder: str, files: list[File], run_id: str | None) -> str:
        content = _files_digest(files)
        model = mlflow.create_external_model(
            name=re.sub(r"[^\w-]+", "-", folder).strip("-"),
            source_run_id=run_id,
            tags={"uri": folder, "sha256": content},
            experiment_id=self.experiment,
        )
        self.models[content] = model.model_id
        return model.model_id

    def _fill(self, record: Record, run_id: str) -> None:
        """Log what a record says into its run, its curves into its parent too, and end it."""
        self._log_params(run_id, _params(record))
        metrics = self._metrics(record)
        self._log_metrics(run_id, [*metrics, *_execution_metrics(record)])
        if parent_name(record) != SHARED:
            self._log_metrics(self.exported.parents[parent_name(record)], metrics)
        self._log_inputs(record, run_id)
        self._log_artifacts(record, run_id)
        self.client.set_terminated(run_id, "FINISHED", _milliseconds(record.execution.end))

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        texts = {_name(name): _text(value)[:PARAM_LENGTH] for name, value in params.items() if value is not None}
        for batch in _batches([Param(name, text) for name, text in texts.items()], PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=batch)

    def _log_metrics(self, run_id: str, metrics: list[Metric]) -> None:
        for batch in _batches(metrics, METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=batch)

    def _metrics(self, record: Record) -> list[Metric]:
        """A record's own metrics, the rows of its JSON-lines outputs by step, and the scores of a benchmark."""
        end, metrics = _milliseconds(record.execution.end), []
        for name, value in _numbers(record.metrics):
            metrics.append(Metric(_name(f"{record.rule}/{name}"), value, end, 0))
        for _, path in self._intact_outputs(record):
            if path.suffix == ".jsonl":
                metrics += _metrics_by_step(path, end)
            elif path.name == "scores.json":
                metrics += _benchmark_metrics(path, end)
        return metrics

    def _log_inputs(self, record: Record, run_id: str) -> None:
        datasets, models = [], []
        for name, files in record.key.inputs.items():
            for folder, parts in checkpoints({name: files}).items():
                known = self.models.get(_files_digest(parts)) or self._create_model(folder, parts, None)
                models.append(LoggedModelInput(known))
            datasets += [_dataset(name, file) for file in files if Path(file.path).suffix in DATASET_SUFFIXES]
        if datasets or models:
            self.client.log_inputs(run_id, datasets=datasets or None, models=models or None)

    def _log_artifacts(self, record: Record, run_id: str) -> None:
        self.client.log_artifact(run_id, str(record.path), "record")
        for name, path in self._intact_outputs(record):
            self.client.log_artifact(run_id, str(path), name)

    def _intact_outputs(self, record: Record) -> Iterator[tuple[str, Path]]:
        """The small readable outputs, by name, that still hold the bytes of the record; others are not shown."""
        models = {file.path for files in checkpoints(record.outputs).values() for file in files}
        for name, files in record.outputs.items():
            for file in files:
                if (
                    Path(file.path).suffix in ARTIFACT_SUFFIXES
                    and file.bytes <= ARTIFACT_BYTES
                    and file.path not in models
                ):
                    path = locate(file.path, self.results)
                    if path is not None and sha256(path) == file.sha256:
                        yield name, path

    def _attempt(self, fate: Fate, known: dict[str, Run]) -> None:
        attempt = fate.attempt
        if fate.name in known:
            self.exported.attempts[fate.name] = known[fate.name].info.run_id
            return
        parent = parent_name(attempt)
        tags = {
            "mmr1.kind": "attempt",
            "mmr1.name": fate.name,
            "mmr1.rule": attempt.rule,
            "mmr1.wildcards": attempt.wildcards,
            "mmr1.host": attempt.host,
            "mmr1.argv": " ".join(attempt.argv),
            "mlflow.parentRunId": self.exported.parents[parent],
            "mlflow.note.content": attempt.error or "killed: its start marker was never closed",
            **{f"mmr1.slurm.{key}": value for key, value in attempt.slurm.items()},
        }
        run_id = self._create(_child_name(attempt, parent), attempt.start, tags)
        self.client.set_terminated(run_id, fate.status, _milliseconds(fate.end))
        self.exported.attempts[fate.name] = run_id

    def _end_parent(self, name: str, group: list[Record], fates: list[Fate]) -> None:
        """A parent has failed if a job of it failed or was killed and has not been finished since."""
        done = {(record.rule, record.place): record.execution.end for record in group}
        lost = [
            fate
            for fate in fates
            if (job := (fate.attempt.rule, fate.attempt.place)) not in done or done[job] < fate.attempt.start
        ]
        end = max([record.execution.end for record in group] + [fate.end for fate in fates])
        status = lost[-1].status if lost else "FINISHED"
        self.client.set_terminated(self.exported.parents[name], status, _milliseconds(end))


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; a list is one value."""
    if not isinstance(value, Mapping):
        return {prefix: value} if prefix else {}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= flat(item, f"{prefix}.{name}" if prefix else str(name))
    return found


def _params(record: Record) -> dict[str, Any]:
    return {**record.key.params, **flat(record.key.settings)}


def _common_params(group: list[Record]) -> dict[str, Any]:
    """The parameters in which all jobs of a program agree, such as `draw_schedule.mix`: they tell runs apart."""
    common: dict[str, dict[str, Any]] = {}
    for record in group:
        params = _params(record)
        agreed = common.setdefault(record.key.program, params)
        common[record.key.program] = {name: value for name, value in agreed.items() if params.get(name) == value}
    return flat(common)


def checkpoints(named: Mapping[str, list[File]]) -> dict[str, list[File]]:
    """The model folders among a record's files: those that hold a `config.json` and safetensors, with their files."""
    folders = defaultdict(list)
    for files in named.values():
        for file in files:
            folders[PurePosixPath(file.path).parent.as_posix()].append(file)
    return {
        folder: files
        for folder, files in folders.items()
        if any(PurePosixPath(file.path).name == "config.json" for file in files)
        and any(file.path.endswith(".safetensors") for file in files)
    }


def _fates(attempts: list[Attempt]) -> Iterator[Fate]:
    for attempt in attempts:
        name = digest([attempt.rule, attempt.wildcards, attempt.start.isoformat(), attempt.host, attempt.pid])
        if attempt.state == "failed":
            yield Fate(name, attempt, "FAILED")
        elif attempt.state == "running" and not _alive(attempt):
            yield Fate(name, attempt, "KILLED")


def _alive(attempt: Attempt) -> bool:
    """Whether a job that never closed its marker still runs: SLURM knows of its jobs, this host of its own."""
    if "SLURM_JOB_ID" in attempt.slurm:
        try:
            command = ["squeue", "--noheader", "--jobs", attempt.slurm["SLURM_JOB_ID"]]
            listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
            return bool(listed.stdout.strip())
        except (OSError, subprocess.TimeoutExpired):
            return False
    if attempt.host != socket.gethostname():
        return False
    try:
        command_line = Path(f"/proc/{attempt.pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "\0".join(attempt.argv) in command_line  # else the number belongs to another process by now


def _child_name(job: Record | Attempt, parent: str) -> str:
    rest = job.place.as_posix().removeprefix(parent).strip("/.")
    return f"{job.rule} {rest}".strip()


def _files_digest(files: list[File]) -> str:
    """A file's own sha256; for several, one over their names under the common folder and their hashes."""
    if len(files) == 1:
        return files[0].sha256
    if not files:
        return digest([])
    common = os.path.commonpath([PurePosixPath(file.path).parent.as_posix() for file in files])
    return digest(sorted([os.path.relpath(file.path, common), file.sha256] for file in files))


def _dataset(name: str, file: File) -> DatasetInput:
    dataset = Dataset(
        name=file.path[-500:],
        digest=file.sha256[:DATASET_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": file.path}),
        profile=json.dumps({"bytes": file.bytes}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", name), InputTag("sha256", file.sha256)])


def _metrics_by_step(path: Path, timestamp: int) -> list[Metric]:
    """One metric a number a row; the trainer's own under their names, others under the file's, as `timings/…`.

    A file whose first row has no step holds no curves.
    """
    prefix = "" if path.stem == "metrics" else f"{path.stem}/"
    rows, metrics = read_jsonl(path), []
    if not rows or "step" not in rows[0]:
        return []
    for number, row in enumerate(rows, 1):
        step = row.get("step")
        if not isinstance(step, int):
            raise UserError(f"{path}: line {number}: step: expected an integer, found {step!r}")
        values = {name: value for name, value in flat(row).items() if name != "step"}
        metrics += [Metric(_name(prefix + name), value, timestamp, step) for name, value in _numbers(values)]
    return metrics


def _benchmark_metrics(path: Path, timestamp: int) -> list[Metric]:
    scores = read_json(path)
    prefix = f"eval/{scores.get('benchmark', 'benchmark')}"
    values = {f"{prefix}/{kind}/accuracy": score.get("accuracy") for kind, score in scores.get("scores", {}).items()}
    return [Metric(_name(name), value, timestamp, 0) for name, value in _numbers(values)]


def _execution_metrics(record: Record) -> list[Metric]:
    execution, end = record.execution, _milliseconds(record.execution.end)
    values = {
        "job/seconds": execution.seconds,
        "job/cpu_seconds": execution.cpu_seconds,
        "job/peak_memory_mib": execution.peak_memory_mib,
    }
    return [Metric(name, value, end, 0) for name, value in values.items()]


def _last_step(record: Record) -> int:
    settings = record.key.settings if isinstance(record.key.settings, dict) else {}
    first, steps = settings.get("first_step"), settings.get("steps")
    return first + steps if isinstance(first, int) and isinstance(steps, int) else 0


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float):
            yield name, float(value)


def _batches(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _name(text: str) -> str:
    """A name as MLflow allows it: letters, digits and `_ - . / space` only, 250 of them."""
    return re.sub(r"[^\w\-./ ]", "_", text)[:KEY_LENGTH]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _open_experiment(tracking_uri: str, results: Path, artifacts: Path | None) -> str:
    """Migrate the database if it is one, and find or create the experiment; a write shows that we may write."""
    try:
        if _sqlite_file(tracking_uri) is not None:
            mlflow.db.upgrade.callback(tracking_uri)  # first, and alone: openers that race leave it half migrated
        location = None
        if artifacts is not None:
            artifacts.mkdir(parents=True, exist_ok=True)
            location = artifacts.resolve().as_uri()
        client, name = mlflow.MlflowClient(), results.resolve().name
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=location)
        client.set_experiment_tag(experiment, "mmr1.results", results.as_posix())
    except Exception as error:  # sqlalchemy, requests, alembic and mlflow have a family of errors each
        raise UserError(
            f"{tracking_uri}: cannot write to MLflow: {type(error).__name__}: {_first_line(error)}"
        ) from error
    return experiment


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


@contextmanager
def _sole_writer(tracking_uri: str) -> Iterator[None]:
    """Two exports into one SQLite file wait for each other; a server looks after itself."""
    file = _sqlite_file(tracking_uri)
    if file is None:
        yield
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f"{file.name}.lock").open("w")
    except OSError as error:
        raise UserError(f"{tracking_uri}: cannot write to MLflow: {error.strerror}: {error.filename}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sqlite_file(tracking_uri: str) -> Path | None:
    """The file of an SQLite URI. Raises UserError for one that is not absolute."""
    if not tracking_uri.startswith("sqlite:"):
        return None
    path = Path(tracking_uri.removeprefix("sqlite:///"))
    if not path.is_absolute():
        raise UserError(
            f"--tracking-uri {tracking_uri}: expected an absolute path, as in sqlite:////home/you/mlflow.db"
        )
    return path
