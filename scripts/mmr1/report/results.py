"""What the report says, read from the files of the index: accuracies, curves, score distributions."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmr1.data import contracts
from mmr1.plumbing.curves import flat
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_jsonl
from mmr1.report.accuracy import Accuracy, accuracy_of
from mmr1.report.index import Index, Training

BINS = 10  # as in the paper's Figure 3


@dataclass(frozen=True)
class Series:
    """One quantity of one seed of one run: `steps` int [S] increasing, `values` float [S], and where rounds begin.

    `problems`: how many problems each value is a share of, where the file says so.
    """

    run: str
    seed: int
    steps: np.ndarray
    values: np.ndarray
    round_starts: tuple[int, ...]
    problems: int | None = None


@dataclass(frozen=True)
class RoundScores:
    """VPS of the problems of one round: ids and values [P], in the order of the scores file."""

    round: int
    ids: list[str]
    vps: np.ndarray


def accuracy(index: Index, model: str, subject: str, benchmark: str, kind: str) -> Accuracy | None:
    """Mean over seeds of a subject's accuracy; None if it was not evaluated there."""
    chosen = [
        one for one in index.evaluations if (one.model, one.subject, one.benchmark) == (model, subject, benchmark)
    ]
    return accuracy_of(chosen, kind, index.benchmarks.get(benchmark)) if chosen else None


def series(index: Index, model: str, file: str, key: str) -> list[Series]:
    """One quantity of every run and seed of a model, over all rounds, from a round's `metrics`, `timings`, ….

    What a row nests is named with dots: `by.task.max`. A run whose files lack the quantity, or hold only nulls, is left
    out.
    """
    return series_of([training for training in index.trainings if training.model == model], file, key)


def series_of(trainings: Iterable[Training], file: str, key: str) -> list[Series]:
    """One quantity of some runs and seeds, over all rounds; without those whose files lack it or hold only nulls."""
    found = [_series(training, file, key) for training in trainings]
    return [one for one in found if one is not None]


def rows(training: Training, file: str) -> list[dict[str, Any]]:
    """The rows of a run's files of one kind, over all rounds, in order."""
    return [row for _, row in _rows(training, file)]


def jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of curves. Raises UserError for a row without a step."""
    points = read_jsonl(path)
    for number, row in enumerate(points, 1):
        if not isinstance(row.get("step"), int):
            raise UserError(f"{path}: line {number}: step: expected an integer, found {row.get('step')!r}")
    return points


def round_scores(training: Training) -> list[RoundScores]:
    """The VPS of every round that has scores."""
    scores = []
    for one in training.rounds:
        if one.scores is not None:
            table = contracts.read(one.scores, contracts.SCORES)
            scores.append(RoundScores(one.round, table["problem_id"].to_pylist(), table["vps"].to_numpy()))
    return scores


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


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, BINS - 1)


def _rows(training: Training, file: str) -> list[tuple[int, dict[str, Any]]]:
    collected = []
    for one in training.rounds:
        path: Path | None = getattr(one, file)
        if path is not None:
            collected += [(one.round, row) for row in jsonl(path)]
    return collected


def _series(training: Training, file: str, key: str) -> Series | None:
    starts: dict[int, int] = defaultdict(lambda: 1 << 62)
    points = {}
    problems = None
    for number, row in _rows(training, file):
        starts[number] = min(starts[number], row["step"])
        problems = None if "." in key else row.get("n", problems)  # `n` is of all kinds together
        value = flat(row).get(key)
        if value is not None:
            points[row["step"]] = float(value)
    if not points:
        return None
    steps = sorted(points)
    values = np.array([points[step] for step in steps])
    return Series(training.run, training.seed, np.array(steps), values, tuple(sorted(starts.values())), problems)
