"""Figures 2 and 3 of the paper from our runs: a drawing, and the numbers behind it, one row each.

Figure 2 has gradient norm, clip fraction and validation accuracy by step for uniform draws and for VAS at each λ: lines
are means over seeds, bands span them. Figure 3 has the distribution of VPS in every round, and the moves between its
ten bins from one round to the next, all seeds together. The paper prints both without numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mmr1.plumbing.errors import UserError
from mmr1.report import results
from mmr1.report.curves import Look, side_by_side
from mmr1.report.drawing import Drawing, Palette
from mmr1.report.figures_index import FigureIndex
from mmr1.report.index import Training
from mmr1.report.vps_figures import vps_rounds

Name = Literal["2", "3"]
QUANTITIES = (
    ("metrics", "gradient_norm", Look("Gradient norm", "norm")),
    ("metrics", "clip_fraction", Look("Clip fraction", "of tokens", percent=True)),
    ("validation", "accuracy", Look("Validation accuracy", "accuracy", percent=True, smooth=False)),
)


@dataclass(frozen=True)
class Figure:
    """A drawing and the rows of its CSV."""

    drawing: Drawing
    rows: list[dict[str, Any]]


def make(figure: Name, index: FigureIndex) -> Figure:
    """Figure "2" of all trainings of the index, or "3" of those with scores. Raises UserError where there is none."""
    return _curves(index) if figure == "2" else _rounds(index)


def _curves(index: FigureIndex) -> Figure:
    runs = list(dict.fromkeys(one.run for one in index.trainings))
    labels = {run: index.labels.get(run, run) for run in runs}
    parts = [(look, results.series_of(index.trainings, file, key)) for file, key, look in QUANTITIES]
    rows = [
        {"figure": "2", "quantity": key, "run": one.run, "seed": one.seed, "step": step, "value": value}
        for (_, key, _), (_, series) in zip(QUANTITIES, parts, strict=True)
        for one in series
        for step, value in zip(one.steps.tolist(), one.values.tolist(), strict=True)
    ]
    return Figure(side_by_side(parts, Palette(runs), labels), rows)


def _rounds(index: FigureIndex) -> Figure:
    scored = [(one, results.round_scores(one)) for one in index.trainings]
    scored = [(one, scores) for one, scores in scored if scores]
    if not scored:
        raise UserError("figure 3: expected a run with scores, found none")
    edges = results.vps_edges(score for _, scores in scored for score in scores)
    shares = np.array([[_shares(one.vps, edges) for one in scores] for _, scores in scored])
    counts = np.array(
        [[results.transition(*pair, edges) for pair in pairwise(scores)] for _, scores in scored]
    ).reshape(len(scored), -1, results.BINS, results.BINS)
    moved = counts.sum(axis=0)
    moves = moved / np.maximum(1, moved.sum(axis=2, keepdims=True))
    drawing = vps_rounds(shares, moves, edges, Palette([scored[0][0].run]).colour(scored[0][0].run))
    return Figure(drawing, list(_rows_of_rounds([one for one, _ in scored], shares, counts, edges)))


def _shares(vps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(np.clip(vps, edges[0], edges[-1]), edges)
    return np.asarray(counts / max(1, len(vps)))


def _rows_of_rounds(
    trainings: Sequence[Training], shares: np.ndarray, counts: np.ndarray, edges: np.ndarray
) -> Iterator[dict[str, Any]]:
    """A row per bin of a round (its share of problems), and one per move between two bins (how many problems)."""
    for training, of_rounds, moves in zip(trainings, shares, counts, strict=True):
        common = {"figure": "3", "run": training.run, "seed": training.seed}
        for (number, place), value in np.ndenumerate(of_rounds):
            bins = {"bin": f"{edges[place]:.4f}", "to_bin": ""}
            yield common | {"quantity": "share", "round": number, **bins, "value": value}
        for (number, row, column), value in np.ndenumerate(moves):
            if value:
                bins = {"bin": f"{edges[row]:.4f}", "to_bin": f"{edges[column]:.4f}"}
                yield common | {"quantity": "moved", "round": number, **bins, "value": value}
