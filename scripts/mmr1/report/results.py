"""What the report says, read from the files of the index: accuracies, curves, score distributions."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmr1.benchmarks.base import benchmark as benchmark_of
from mmr1.benchmarks.intervals import bootstrap
from mmr1.data import contracts
from mmr1.data.problems import Problem, read_problems
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, read_jsonl
from mmr1.report.index import Evaluation, Index, Training

BINS = 10  # as in the paper's Figure 3


@dataclass(frozen=True)
class Accuracy:
    """A subject's accuracy on a benchmark, in [0, 1], as the mean over `seeds` runs of `n` items each.

    `low` and `high` bound its 95% interval; None where several seeds come without per-item verdicts.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    seeds: int


@dataclass(frozen=True)
class Series:
    """One quantity of one seed of one run: `steps` int [S] increasing, `values` float [S], and where rounds begin."""

    run: str
    seed: int
    steps: np.ndarray
    values: np.ndarray
    round_starts: tuple[int, ...]


@dataclass(frozen=True)
class RoundScores:
    """VPS of the problems of one round: ids and values [P], in the order of the scores file."""

    round: int
    ids: list[str]
    vps: np.ndarray


def accuracy(index: Index, model: str, subject: str, benchmark: str, kind: str) -> Accuracy | None:
    """Mean over seeds of a subject's accuracy; None if it was not evaluated there.

    One seed has the interval of its `scores.json`. For several, problems (with all their versions and seeds) are
    resampled: seeds share their items, so that they are no independent samples.
    """
    chosen = [
        one for one in index.evaluations if (one.model, one.subject, one.benchmark) == (model, subject, benchmark)
    ]
    if not chosen:
        return None
    scores = [_score(one, kind) for one in chosen]
    if len(chosen) == 1:
        low, high = scores[0]["ci95"]
    else:
        low, high = _interval_over_seeds(index, chosen, kind)
    mean = float(np.mean([score["accuracy"] for score in scores]))
    return Accuracy(mean, low, high, read_json(chosen[0].scores)["n"], len(chosen))


def series(index: Index, model: str, file: str, key: str) -> list[Series]:
    """One quantity of every run and seed of a model, over all rounds, from a round's `metrics`, `timings`, ….

    A run whose files lack the quantity, or hold only nulls, is left out.
    """
    found = []
    for training in index.trainings:
        if training.model == model:
            one = _series(training, file, key)
            if one is not None:
                found.append(one)
    return found


def rows(training: Training, file: str) -> list[dict[str, Any]]:
    """The rows of a run's files of one kind, over all rounds, in order."""
    return [row for _, row in _rows(training, file)]


def jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of curves. Raises UserError for a row without a step."""
    found = read_jsonl(path)
    for number, row in enumerate(found, 1):
        if not isinstance(row.get("step"), int):
            raise UserError(f"{path}: line {number}: step: expected an integer, found {row.get('step')!r}")
    return found


def round_scores(training: Training) -> list[RoundScores]:
    """The VPS of every round that has scores."""
    found = []
    for one in training.rounds:
        if one.scores is not None:
            table = contracts.read(one.scores, contracts.SCORES)
            found.append(RoundScores(one.round, table["problem_id"].to_pylist(), table["vps"].to_numpy()))
    return found


def vps_edges(scores: Iterable[RoundScores]) -> np.ndarray:
    """The edges [11] of ten equal bins from 0 to the largest VPS of any round, so that rounds can be compared."""
    largest = max((float(one.vps.max()) for one in scores if len(one.vps)), default=0.0)
    return np.linspace(0.0, largest or 1.0, BINS + 1)


def transition(before: RoundScores, after: RoundScores, edges: np.ndarray) -> np.ndarray:
    """Int [10, 10]: how many problems went from which bin (row) to which (column) between two rounds (Figure 3)."""
    later = dict(zip(after.ids, after.vps.tolist(), strict=True))
    pairs = [(value, later[name]) for name, value in zip(before.ids, before.vps.tolist(), strict=True) if name in later]
    counts = np.zeros((BINS, BINS), dtype=np.int64)
    if pairs:
        np.add.at(counts, tuple(_bins(np.array(pairs).T, edges)), 1)
    return counts


def verdicts(path: Path, kind: str) -> dict[str, bool]:
    """Whether each item of a benchmark was right, by its id, from `items.parquet`."""
    table = contracts.read(path, pa.schema([("id", pa.string()), (kind, pa.bool_())]))
    return dict(zip(table["id"].to_pylist(), table[kind].to_pylist(), strict=True))


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)


def _score(evaluation: Evaluation, kind: str) -> dict[str, Any]:
    scores = read_json(evaluation.scores)
    try:
        return scores["scores"][kind]
    except (KeyError, TypeError):
        raise UserError(f"{evaluation.scores}: scores.{kind}: expected a score, found none") from None


def _interval_over_seeds(index: Index, chosen: list[Evaluation], kind: str) -> tuple[float | None, float | None]:
    right: list[bool] = []
    names: list[str] = []
    cluster = _cluster(index, chosen[0].benchmark)
    for evaluation in chosen:
        if evaluation.items is None:
            return None, None
        by_id = verdicts(evaluation.items, kind)
        right += by_id.values()
        names += [cluster(name) for name in by_id]
    return bootstrap(right, names)


def _cluster(index: Index, benchmark: str) -> Callable[[str], str]:
    """The problem that an item is a version of: itself, but for a benchmark that shows problems in versions."""
    known = benchmark_of(benchmark)
    if known.cluster is None:
        return lambda name: name
    problems = {one.id: one for one in read_problems(index.benchmarks[benchmark], images=False)}
    cluster: Callable[[Problem], str] = known.cluster
    return lambda name: cluster(problems[name])


def _rows(training: Training, file: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for one in training.rounds:
        path: Path | None = getattr(one, file)
        if path is not None:
            found += [(one.round, row) for row in jsonl(path)]
    return found


def _series(training: Training, file: str, key: str) -> Series | None:
    starts: dict[int, int] = defaultdict(lambda: 1 << 62)
    points = {}
    for number, row in _rows(training, file):
        starts[number] = min(starts[number], row["step"])
        if row.get(key) is not None:
            points[row["step"]] = float(row[key])
    if not points:
        return None
    steps = sorted(points)
    values = np.array([points[step] for step in steps])
    return Series(training.run, training.seed, np.array(steps), values, tuple(sorted(starts.values())))
