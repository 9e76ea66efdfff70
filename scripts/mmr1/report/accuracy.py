"""A subject's accuracy on a benchmark over its seeds, with its interval: the one reader of `scores.json`.

The report and the printed tables show the same number for the same cell.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from mmr1.benchmarks.base import benchmark as benchmark_of
from mmr1.benchmarks.intervals import bootstrap
from mmr1.data import contracts
from mmr1.data.problems import Problem, read_problems
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json


class Evaluated(Protocol):
    """What is asked of an evaluation: `scores` is its scores.json, `items` its verdicts, if they are there."""

    @property
    def benchmark(self) -> str: ...
    @property
    def scores(self) -> Path: ...
    @property
    def items(self) -> Path | None: ...


@dataclass(frozen=True)
class Accuracy:
    """A subject's accuracy on a benchmark, in [0, 1], as the mean over `seeds` runs of `n` responses each.

    `low` and `high` bound its 95% interval; None where several seeds come without per-item verdicts. `spread` is the
    standard deviation over seeds, if there are several.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    seeds: int
    spread: float | None = None


def read_scores(evaluation: Evaluated) -> dict[str, Any]:
    """The content of a scores.json. Raises UserError for another benchmark's, and for what is none."""
    scores = read_json(evaluation.scores)
    if not isinstance(scores, dict) or not {"benchmark", "n", "scores"} <= scores.keys():
        raise UserError(f"{evaluation.scores}: expected benchmark, n and scores, found something else")
    if scores["benchmark"] != evaluation.benchmark:
        raise UserError(f"{evaluation.scores}: benchmark: expected {evaluation.benchmark}, found {scores['benchmark']}")
    if "reader" not in scores["scores"]:  # it was called "paper" once
        raise UserError(
            f"{evaluation.scores}: scores: expected reader, found {', '.join(scores['scores'])}: scored by another "
            "version of this package; score it again"
        )
    return scores


def accuracy_of(seeds: Sequence[Evaluated], kind: str, problems: Path | None = None) -> Accuracy:
    """The mean over the evaluations of one subject on one benchmark, one per seed, by the score `kind`.

    One seed has the interval of its scores.json. For several, problems (with all their versions and seeds) are
    resampled: seeds share their items, so that they are no independent samples. `problems` is the benchmark's file,
    which says which items are versions of one problem. Raises UserError for a score that is not there.
    """
    read = [read_scores(one) for one in seeds]
    scores_of_seeds = [_score(one, scores, kind) for one, scores in zip(seeds, read, strict=True)]
    values = [score["accuracy"] for score in scores_of_seeds]
    low, high = scores_of_seeds[0]["ci95"] if len(seeds) == 1 else _interval_over_seeds(seeds, kind, problems)
    spread = stdev(values) if len(values) > 1 else None
    return Accuracy(float(np.mean(values)), low, high, read[0]["n"], len(seeds), spread)


def mean_of(cells: Sequence[Accuracy]) -> Accuracy:
    """The mean over benchmarks, each counting the same, with the interval that follows from theirs.

    Distances from the mean to the bounds add up in squares (Zou and Donner 2008), for benchmarks share no problems.
    """
    mean = float(np.mean([cell.mean for cell in cells]))
    n, seeds = sum(cell.n for cell in cells), min(cell.seeds for cell in cells)
    if any(cell.low is None or cell.high is None for cell in cells):
        return Accuracy(mean, None, None, n, seeds)
    below = np.sqrt(sum((cell.mean - (cell.low or 0)) ** 2 for cell in cells)) / len(cells)
    above = np.sqrt(sum(((cell.high or 0) - cell.mean) ** 2 for cell in cells)) / len(cells)
    return Accuracy(mean, mean - float(below), mean + float(above), n, seeds)


def verdicts(path: Path, kind: str) -> list[tuple[str, bool]]:
    """Each item's id, and whether it was right, from an `items.parquet`."""
    table = contracts.read(path, pa.schema([("id", pa.string()), (kind, pa.bool_())]))
    return list(zip(table["id"].to_pylist(), table[kind].to_pylist(), strict=True))


def _score(evaluation: Evaluated, scores: dict[str, Any], kind: str) -> dict[str, Any]:
    try:
        score: dict[str, Any] = scores["scores"][kind]
    except (KeyError, TypeError):
        raise UserError(f"{evaluation.scores}: scores.{kind}: expected a score, found none") from None
    return score


def _interval_over_seeds(
    seeds: Sequence[Evaluated], kind: str, problems: Path | None
) -> tuple[float | None, float | None]:
    right: list[bool] = []
    names: list[str] = []
    cluster = cluster_of(seeds[0].benchmark, problems)
    for evaluation in seeds:
        if evaluation.items is None or cluster is None:
            return None, None
        for name, correct in verdicts(evaluation.items, kind):
            right.append(correct)
            names.append(cluster(name))
    return bootstrap(right, names)


def cluster_of(benchmark: str, path: Path | None) -> Callable[[str], str] | None:
    """The problem that an item is a version of: itself, but for a benchmark that shows problems in versions."""
    known = benchmark_of(benchmark)
    if known.cluster is None:
        return lambda name: name
    if path is None:
        return None
    problems = {one.id: one for one in read_problems(path, images=False, allow_empty_answer=True)}
    cluster: Callable[[Problem], str] = known.cluster
    return lambda name: cluster(problems[name])
