"""The metrics of a run: curves in its record's outputs, accuracies on a benchmark, what the job measured and cost.

None is shown twice: where curves or a benchmark's scores say what a record measured, they say it. MLflow shows what is
called `system/…` on a page of its own.
"""

from pathlib import Path
from typing import NamedTuple

from mmr1.plumbing.curves import SYSTEM, named_values, numbers_of
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, read_jsonl
from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking.record_files import artifact_files

CURVES, SCORES = ".jsonl", "scores.json"


class Point(NamedTuple):
    """One value of a metric; `step` is 0 where there are no steps."""

    name: str
    value: float
    step: int = 0


def record_metrics(record: Record, results: Path) -> list[Point]:
    """All that a record's own run shows: curves, accuracies, and of a job without either what it measured."""
    return [*curves(record, results), *accuracies(record, results), *_measured(record), *_costs(record)]


def curves(record: Record, results: Path) -> list[Point]:
    """The rows of a record's JSON-lines outputs by step."""
    paths = [path for _, path in artifact_files(record, results) if path.suffix == CURVES]
    return [point for path in paths for point in _curves(path)]


def accuracies(record: Record, results: Path) -> list[Point]:
    """The accuracies of a model on a benchmark, by what decides, such as `eval/mathvista/official/accuracy`."""
    points = []
    for _, path in artifact_files(record, results):
        if path.name == SCORES:
            scores = read_json(path)
            prefix = f"eval/{scores.get('benchmark', 'benchmark')}"
            points += [
                Point(f"{prefix}/{kind}/accuracy", value)
                for kind, score in scores.get("scores", {}).items()
                for _, value in numbers_of({"accuracy": score.get("accuracy")})
            ]
    return points


def _measured(record: Record) -> list[Point]:
    """What a job measured, if it has no curves and no scores; else it stands in its run's description."""
    files = [file.path for files in record.outputs.values() for file in files]
    if any(path.endswith((CURVES, f"/{SCORES}")) for path in files):
        return []
    return [Point(f"{record.rule}/{name}", value) for name, value in numbers_of(record.metrics)]


def _costs(record: Record) -> list[Point]:
    """Time, and use of the machine: under MLflow's own names where it has some."""
    execution = record.execution
    points = [
        Point(f"{SYSTEM}seconds", execution.seconds),
        Point(f"{SYSTEM}cpu_seconds", execution.cpu_seconds),
        Point(f"{SYSTEM}system_memory_usage_megabytes", execution.peak_memory_mib),
    ]
    for number, gpu in enumerate(execution.gpu):
        used = {
            f"{SYSTEM}gpu_{number}_utilization_percentage": gpu.get("utilization"),
            f"{SYSTEM}gpu_{number}_memory_usage_megabytes": gpu.get("peak_memory_mib"),
        }
        points += [Point(name, value) for name, value in numbers_of(used)]
    return points


def _curves(path: Path) -> list[Point]:
    """One point per number and row. A file whose first row has no step holds no curves."""
    rows, points = read_jsonl(path), []
    if not rows or "step" not in rows[0]:
        return []
    for number, row in enumerate(rows, 1):
        step = row.get("step")
        if not isinstance(step, int):
            raise UserError(f"{path}: line {number}: step: expected an integer, found {step!r}")
        points += [Point(name, value, step) for name, value in named_values(path.stem, row).items()]
    return points
