"""Whether MLflow still shows what records say: tags, params, metrics and artifacts of the runs of a results folder."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow.entities import Run

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, sha256
from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking import tags
from mmr1.provenance.tracking.experiment import TAG_LENGTH, Experiment, allowed_name, artifact_folder, param_texts
from mmr1.provenance.tracking.metrics import Point, accuracies, curves, record_metrics
from mmr1.provenance.tracking.params import common_params, record_params
from mmr1.provenance.tracking.record_files import REPORT_FOLDER, artifact_files, report_files
from mmr1.provenance.tracking.runs import SHARED, parent_runs
from mmr1.provenance.tracking.store import Store, read_experiment, store_at

# Which run is the parent, and where results lay when they were shown.
NOT_COMPARED = {tags.PARENT, tags.RECORD}


def shown_differently(results: Path, tracking_uri: str, records: list[Record]) -> Iterator[tuple[str, str]]:
    """What MLflow shows otherwise than the records: a run's name, and what differs in words.

    Raises UserError for a store that cannot be read, and for an experiment that is not there, was deleted or renamed.
    """
    store = store_at(tracking_uri, results)
    experiment = Experiment(read_experiment(store).experiment_id, store)
    runs = {
        (run.data.tags.get(tags.KIND), run.data.tags.get(tags.NAME)): run
        for run in experiment.runs()
        if tags.SUPERSEDED not in run.data.tags
    }
    for parent in parent_runs(records, [], results / "logs"):
        yield from _compare_parent(experiment, results, parent.name, parent.records, runs)
        for record in parent.records:
            job = f"{record.rule} {record.key.wildcards}"
            run = runs.get((tags.RECORD_RUN, record.name))
            if run is None:
                yield job, "expected a run for its record, found none"
                continue
            for problem in _compare_record(experiment, results, record, run):
                yield job, problem


def _compare_parent(
    experiment: Experiment, results: Path, name: str, records: list[Record], runs: Mapping[Any, Run]
) -> Iterator[tuple[str, str]]:
    run = runs.get((tags.PARENT_RUN, name))
    if run is None:
        yield name, "expected a run for it, found none"
    elif name != SHARED:
        points = [point for one in records for point in (*curves(one, results), *accuracies(one, results))]
        for problem in [
            *_different_texts("param", param_texts(common_params(records)), run.data.params),
            *_different_metrics(experiment, run, points),
        ]:
            yield name, problem
    else:
        with TemporaryDirectory() as temporary:
            root = _artifacts(run, experiment.store, Path(temporary))
            for file in [file for record in records for file in report_files(record, results)]:
                shown = None if root is None else root / REPORT_FOLDER / file.name
                if shown is None or not shown.is_file() or sha256(shown) != sha256(file):
                    found = "found no such file" if shown is None or not shown.is_file() else "found another"
                    yield name, f"artifact {REPORT_FOLDER}/{file.name}: {found}"


def _compare_record(experiment: Experiment, results: Path, record: Record, run: Run) -> Iterator[str]:
    said = {name: value[:TAG_LENGTH] for name, value in tags.of_record(record, "").items() if name not in NOT_COMPARED}
    yield from _different_texts("tag", said, {name: run.data.tags.get(name, "") for name in said})
    yield from _different_texts("param", param_texts(record_params(record)), run.data.params)
    yield from _different_metrics(experiment, run, record_metrics(record, results))
    yield from _different_artifacts(record, results, run, experiment.store)


def _different_texts(kind: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            values = (
                f"{value[:60]!r}" if value is not None else "none" for value in (expected.get(name), found.get(name))
            )
            yield "{} {}: expected {}, found {}".format(kind, name, *values)


def _different_metrics(experiment: Experiment, run: Run, points: Iterable[Point]) -> Iterator[str]:
    """Every point of every metric: name, step and value."""
    expected: dict[str, Counter[tuple[int, str]]] = {}
    for point in points:
        expected.setdefault(allowed_name(point.name), Counter())[point.step, _text(point.value)] = 1
    for name in sorted({*expected, *run.data.metrics}):
        history = experiment.client.get_metric_history(run.info.run_id, name) if name in run.data.metrics else []
        found = {(metric.step, _text(metric.value)) for metric in history}
        missing = sorted(set(expected.get(name, Counter())) - found)
        extra = sorted(found - set(expected.get(name, Counter())))
        if missing or extra:
            step = (missing or extra)[0][0]
            values = [next((value for at, value in some if at == step), "none") for some in (missing, extra)]
            yield "metric {}, step {}: expected {}, found {}".format(name, step, *values)


def _text(value: float) -> str:
    return "nan" if math.isnan(value) else repr(float(value))


def _different_artifacts(record: Record, results: Path, run: Run, store: Store) -> Iterator[str]:
    expected = {f"record/{record.path.name}": sha256(record.path)}
    expected |= {f"{name}/{path.name}": sha256(path) for name, path in artifact_files(record, results)}
    with TemporaryDirectory() as temporary:
        root = _artifacts(run, store, Path(temporary))
        found = {} if root is None else {path.relative_to(root).as_posix(): path for path in files_under(root)}
        made = {file.sha256 for files in record.outputs.values() for file in files}
        for name in sorted({*expected, *found}):
            actual = sha256(found[name]) if name in found else None
            gone = name not in expected and actual in made  # from the results, and was shown before
            if actual != expected.get(name) and not gone:
                yield f"artifact {name}: " + ("found no such file" if actual is None else "found another")


def _artifacts(run: Run, store: Store, temporary: Path) -> Path | None:
    """The folder of a run's artifacts: where it lies, or fetched from a server."""
    folder = artifact_folder(run.info.artifact_uri, store)
    if folder is not None:
        return folder if folder.is_dir() else None
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(temporary)))
    except Exception as error:  # MLflow's, and those of whatever store it asks
        raise UserError(f"{run.info.artifact_uri}: cannot read MLflow's artifacts: {type(error).__name__}") from None
