"""The metrics of a run: what its record measured, the curves in its outputs, and the accuracy on a benchmark."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, read_jsonl
from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking.params import flat
from mmr1.provenance.tracking.record_files import artifact_files


class Point(NamedTuple):
    """One value of a metric; `step` is 0 where there are no steps."""

    name: str
    value: float
    step: int = 0


def record_metrics(record: Record, results: Path) -> list[Point]:
    """A record's own metrics, the rows of its JSON-lines outputs by step, and the scores of a benchmark."""
    points = [Point(f"{record.rule}/{name}", value) for name, value in _numbers(record.metrics)]
    for _, path in artifact_files(record, results):
        if path.suffix == ".jsonl":
            points += _curves(path)
        elif path.name == "scores.json":
            points += _accuracies(path)
    return points


def execution_metrics(record: Record) -> list[Point]:
    """What a job cost."""
    execution = record.execution
    return [
        Point("job/seconds", execution.seconds),
        Point("job/cpu_seconds", execution.cpu_seconds),
        Point("job/peak_memory_mib", execution.peak_memory_mib),
    ]


def _curves(path: Path) -> list[Point]:
    """One point per number and row; the trainer's own metrics under their names, others under the file's: `timings/…`.

    A file whose first row has no step holds no curves.
    """
    prefix = "" if path.stem == "metrics" else f"{path.stem}/"
    rows, points = read_jsonl(path), []
    if not rows or "step" not in rows[0]:
        return []
    for number, row in enumerate(rows, 1):
        step = row.get("step")
        if not isinstance(step, int):
            raise UserError(f"{path}: line {number}: step: expected an integer, found {step!r}")
        values = {name: value for name, value in flat(row).items() if name != "step"}
        points += [Point(prefix + name, value, step) for name, value in _numbers(values)]
    return points


def _accuracies(path: Path) -> list[Point]:
    scores = read_json(path)
    prefix = f"eval/{scores.get('benchmark', 'benchmark')}"
    values = {f"{prefix}/{kind}/accuracy": score.get("accuracy") for kind, score in scores.get("scores", {}).items()}
    return [Point(name, value) for name, value in _numbers(values)]


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, int | float):
            yield name, float(value)
