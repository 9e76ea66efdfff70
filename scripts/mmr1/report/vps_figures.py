"""Figures of the scores: how VPS is distributed and moves, and whether it promised what training found."""

from collections.abc import Mapping, Sequence

import numpy as np

from mmr1.report.drawing import (
    INK,
    MOST_IN_ONE,
    MUTED,
    RUN_COLOURS,
    SINGLE,
    Drawing,
    Palette,
    drawing_of,
    finish,
    legend,
    names_beside,
    new_figure,
)
from mmr1.report.results import BINS, RoundScores, transition


def vps_rounds(shares: np.ndarray, moves: np.ndarray, edges: np.ndarray, colour: str) -> Drawing:
    """How VPS is distributed in every round, and where its problems go: the paper's Figure 3.

    `shares` float [seeds, rounds, 10] are of problems by bin: bars are means, lines span the seeds. `moves` float
    [rounds - 1, 10, 10] are shares of a row's problems, from bin (row) to bin (column).
    """
    rounds = shares.shape[1]
    with new_figure((2.2 * max(2, rounds), 4.4)) as figure:
        grid = figure.subplots(2, rounds, squeeze=False)
        for number, axes in enumerate(grid[0]):
            of_round, widths = shares[:, number], np.diff(edges)
            axes.bar(edges[:-1], of_round.mean(axis=0), 0.94 * widths, align="edge", color=colour)
            if len(of_round) > 1:
                axes.vlines(edges[:-1] + widths / 2, of_round.min(axis=0), of_round.max(axis=0), color=INK, linewidth=1)
            axes.set_ylim(0, min(1.0, 1.08 * float(shares.max())))
            axes.set_title(f"round {number}", fontsize=9)
            finish(axes, "VPS", "problems" if number == 0 else "", percent=True)
        for number, axes in enumerate(grid[1]):
            if number == len(moves):
                axes.set_visible(False)
                continue
            axes.grid(False)
            axes.imshow(moves[number], vmin=0, vmax=1, cmap="Blues", extent=(edges[0], edges[-1], edges[-1], edges[0]))
            axes.set_title(f"round {number} → {number + 1}", fontsize=9)
            axes.set_xlabel("VPS after")
            axes.set_ylabel("VPS before" if number == 0 else "")
            axes.tick_params(length=0)
        return drawing_of(figure)


def vps_histogram(scores: RoundScores, edges: np.ndarray, colour: str, top: float) -> Drawing:
    """How the VPS of one round is distributed over ten bins, as a share of problems; `top` is the common height."""
    with new_figure((2.5, 1.9), margins=(0.6, 0.45, 0.1, 0.3)) as figure:
        axes = figure.add_subplot()
        counts, _ = np.histogram(np.clip(scores.vps, edges[0], edges[-1]), edges)
        widths = np.diff(edges)
        axes.bar(
            edges[:-1] + 0.03 * widths, counts / max(1, len(scores.vps)), 0.94 * widths, align="edge", color=colour
        )
        axes.axvline(float(scores.vps.mean()), color=INK, linewidth=1, linestyle="--")
        axes.set_ylim(0, top)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_title(f"round {scores.round}", fontsize=9)
        finish(axes, "VPS", "problems", percent=True)
        return drawing_of(figure)


def histogram_top(scores: Sequence[RoundScores], edges: np.ndarray) -> float:
    """A height that holds the largest bin of every round."""
    shares = [np.histogram(one.vps, edges)[0].max() / max(1, len(one.vps)) for one in scores]
    return min(1.0, 1.08 * max(shares, default=1.0))


def vps_transition(before: RoundScores, after: RoundScores, edges: np.ndarray) -> Drawing:
    """Where the problems of each VPS bin are one round later: percent of the row, as in the paper's Figure 3."""
    counts = transition(before, after, edges)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    with new_figure((2.9, 2.9), margins=(0.5, 0.4, 0.1, 0.3)) as figure:
        axes = figure.add_subplot()
        axes.grid(False)
        for row, column in zip(*np.nonzero(shares), strict=True):
            share = float(shares[row, column])
            axes.fill_between(
                [column - 0.5, column + 0.5],
                row - 0.5,
                row + 0.5,
                color=RUN_COLOURS[0],
                alpha=0.08 + 0.72 * share,
                lw=0,
            )
            if share >= 0.005:
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=INK)
        axes.set_xlim(-0.5, BINS - 0.5)
        axes.set_ylim(BINS - 0.5, -0.5)
        axes.set_aspect("equal")
        ticks = range(0, BINS, 3)
        names = [f"{edges[tick]:.2f}" for tick in ticks]
        axes.set_xticks(ticks, names)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        axes.set_title(f"round {before.round} → {after.round}", fontsize=9)
        axes.set_xlabel(f"VPS in round {after.round}", fontsize=8)
        axes.set_ylabel(f"VPS in round {before.round}", fontsize=8)
        return drawing_of(figure)


def calibration_curve(points: Mapping[str, np.ndarray], palette: Palette, labels: Mapping[str, str]) -> Drawing:
    """Realised variance against predicted OVS, one line per run; `points[run]` is float [bins, 3]: both, and groups."""
    with new_figure(SINGLE) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 0.25], [0, 0.25], color=MUTED, linewidth=1, linestyle="--", label="as predicted")
        few = len(points) <= MOST_IN_ONE
        for run, values in points.items():
            sizes = 14 + 120 * values[:, 2] / values[:, 2].sum()
            style = {"color": palette.colour(run), "alpha": 1 if few else 0.55}
            axes.plot(values[:, 0], values[:, 1], palette.dash(run), linewidth=1.6, label=labels[run], **style)
            axes.scatter(values[:, 0], values[:, 1], s=sizes, zorder=3, **style)
        axes.set_xlim(-0.005, 0.26)
        axes.set_ylim(-0.005, 0.26)
        axes.set_title("Calibration of OVS")
        finish(axes, "predicted OVS", "realised variance", percent=False)
        if few:
            legend(figure, axes)
        else:
            names_beside(axes, {labels[run]: (values[-1, 0], values[-1, 1]) for run, values in points.items()})
        return drawing_of(figure)
