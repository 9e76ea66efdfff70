"""Accuracy by kind of problem: what a benchmark divides its problems by, each subject beside the others."""

from dataclasses import dataclass

import numpy as np

from mmr1.report.accuracy import read_scores
from mmr1.report.index import BEFORE_RL, Index


@dataclass(frozen=True)
class Breakdown:
    """One division of a benchmark's problems: a row per group, a column per subject.

    A row has the group's name, its number of responses, and for each of `subjects` the accuracy in [0, 1] as the mean
    over seeds; None where a subject was not evaluated.
    """

    benchmark: str
    name: str
    subjects: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[float | None, ...]], ...]


def breakdowns(index: Index, model: str) -> list[Breakdown]:
    """Every division of every benchmark, of a model's subjects, in the order of the benchmarks' files."""
    return [one for benchmark in index.benchmarks for one in _of_benchmark(index, model, benchmark)]


def _of_benchmark(index: Index, model: str, benchmark: str) -> list[Breakdown]:
    parts: dict[str, list[dict[str, dict[str, dict[str, float]]]]] = {}
    for one in index.evaluations:
        if (one.model, one.benchmark) == (model, benchmark):
            score = read_scores(one)["scores"].get(index.accuracy, {})
            parts.setdefault(one.subject, []).append(score.get("by", {}))
    subjects = tuple(one for one in (*BEFORE_RL, *index.runs(model)) if one in parts)
    divisions = list(dict.fromkeys(name for of_seeds in parts.values() for by in of_seeds for name in by))
    return [_division(benchmark, name, subjects, parts) for name in divisions]


def _division(
    benchmark: str, name: str, subjects: tuple[str, ...], parts: dict[str, list[dict[str, dict[str, dict[str, float]]]]]
) -> Breakdown:
    groups = {
        group: int(cell["n"]) for of_seeds in parts.values() for by in of_seeds for group, cell in by[name].items()
    }
    rows = []
    for group, n in groups.items():
        found = [[by[name][group]["accuracy"] for by in parts[one] if group in by[name]] for one in subjects]
        rows.append((group, n, tuple(float(np.mean(values)) if values else None for values in found)))
    return Breakdown(benchmark, name, subjects, tuple(rows))
