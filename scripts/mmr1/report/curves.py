"""Figures by step: what training and validation measured, a line for each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from mmr1.benchmarks.intervals import wilson
from mmr1.report.drawing import (
    COLUMNS,
    GRID,
    INK,
    MOST_IN_ONE,
    MUTED,
    SINGLE,
    Drawing,
    Palette,
    drawing_of,
    finish,
    hide_behind,
    legend,
    new_figure,
    short,
    shown_value,
)
from mmr1.report.results import Series


@dataclass(frozen=True)
class Look:
    """How a quantity is shown: its title, its unit on the axis, and whether it is a share, smoothed or by rounds."""

    title: str
    unit: str = ""
    percent: bool = False
    smooth: bool = True
    stepped: bool = False  # one value a round
    xlabel: str = "step"


def constant(series: Sequence[Series]) -> float | None:
    """The value of a quantity that never changes, in any run or step; None if it does."""
    values = {float(value) for one in series for value in one.values}
    return values.pop() if len(values) == 1 else None


def curves(
    series: Sequence[Series],
    palette: Palette,
    labels: Mapping[str, str],
    look: Look,
    baseline: str | None = None,
) -> Drawing:
    """A quantity by step: each run's mean over seeds, smoothed and bold; what was smoothed is pale.

    Several seeds span a band from the lowest to the highest; shares of a known number of problems have 95% intervals
    (Wilson's, over the problems of one seed). Dashed upright lines between steps mark the beginnings of rounds. More
    than five runs get a panel each, in which `baseline` is dashed and a band spans the means of all runs.
    """
    runs = list(dict.fromkeys(one.run for one in series))
    grouped = {run: [one for one in series if one.run == run] for run in runs}
    if len(runs) > MOST_IN_ONE:
        return _panels(grouped, palette, labels, look, baseline)
    with new_figure(SINGLE) as figure:
        axes = figure.add_subplot()
        starts = {one.round_starts for one in series}
        if len(starts) == 1 and look.xlabel == "step":
            _round_lines(axes, starts.pop(), named=True)
        for place, (run, of_run) in enumerate(grouped.items()):
            _curve(axes, of_run, palette, run, look, labels[run], shift=place - (len(runs) - 1) / 2)
        axes.set_title(look.title)
        finish(axes, look.xlabel, look.unit, look.percent)
        legend(figure, axes)
        return drawing_of(figure)


def side_by_side(
    parts: Sequence[tuple[Look, Sequence[Series]]], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """Several quantities by step in a row, each as `curves` draws it: the paper's Figure 2."""
    with new_figure((3.1 * len(parts), 2.9)) as figure:
        for axes, (look, series) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            for run in dict.fromkeys(one.run for one in series):
                _curve(axes, [one for one in series if one.run == run], palette, run, look, labels[run])
            axes.set_title(look.title)
            finish(axes, look.xlabel, look.unit, look.percent, ticks=5)
        legend(figure, max(figure.axes, key=lambda axes: len(axes.lines)))
        return drawing_of(figure)


def two_halves(
    weighted: Sequence[Series], uniform: Sequence[Series], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """A share by step in the weighted (solid) and in the uniform part (dotted) of the batch, a panel per run."""
    runs = sorted({one.run for one in (*weighted, *uniform)}, key=lambda run: palette.places[run])
    columns = min(COLUMNS, len(runs))
    rows = -(-len(runs) // columns)
    size = SINGLE if len(runs) == 1 else (2.3 * max(2, columns), 1.55 * rows + 0.75)
    with new_figure(size) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, run in zip(grid.flat, runs, strict=False):
            for half, line, name in ((weighted, "-", "weighted draws"), (uniform, ":", "uniform draws")):
                of_run = [one for one in half if one.run == run]
                if of_run:
                    steps, values = _by_step(of_run)
                    mean = moving_mean(np.nanmean(values, axis=0), _window(steps))
                    axes.plot(steps, mean, line, color=palette.colour(run), linewidth=1.8, label=name)
            axes.set_title(short(labels[run]), fontsize=8)
            finish(axes, "", "", percent=True)
        hide_behind(grid, len(runs))
        figure.suptitle("Zero-variance groups by draw", x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
        for axes in grid.flat[max(0, len(runs) - columns) : len(runs)]:
            axes.set_xlabel("step")
        legend(figure, max(grid.flat[: len(runs)], key=lambda axes: len(axes.lines)))
        return drawing_of(figure)


def loss_curve(points: Sequence[tuple[int, float]], colour: str) -> Drawing:
    """The loss of supervised fine-tuning by step, from pairs of both."""
    with new_figure(SINGLE) as figure:
        axes = figure.add_subplot()
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6)
        axes.set_title("SFT loss")
        finish(axes, "step", "nats per token", percent=False)
        return drawing_of(figure)


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over `window` (odd) neighbours of each value; at the ends over those there are. Shape [S] as given."""
    sums = np.convolve(values, np.ones(window), mode="same")
    return sums / np.convolve(np.ones(len(values)), np.ones(window), mode="same")


def _panels(
    grouped: Mapping[str, list[Series]],
    palette: Palette,
    labels: Mapping[str, str],
    look: Look,
    baseline: str | None,
) -> Drawing:
    """One small panel per run, all on the same axes."""
    rows = -(-len(grouped) // COLUMNS)
    everything = _by_step([one for of_run in grouped.values() for one in of_run])
    # A step that no seed of a run has is no warning, it is a gap.
    means = [
        np.ma.masked_invalid(_by_step(of_run, everything[0])[1]).mean(axis=0).filled(np.nan)
        for of_run in grouped.values()
    ]
    width, height = 9.4, 1.45 * rows + 0.75
    with new_figure((width, height), margins=(0.7, 0.5, 0.1, 0.55)) as figure:
        grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for axes, (run, of_run) in zip(grid.flat, grouped.items(), strict=False):
            if look.xlabel == "step":
                axes.fill_between(everything[0], np.nanmin(means, axis=0), np.nanmax(means, axis=0), color=GRID, lw=0)
                _round_lines(axes, of_run[0].round_starts)
            if baseline is not None and baseline in grouped and baseline != run:
                steps, values = _by_step(grouped[baseline])
                mean = np.nanmean(values, axis=0)
                mean = moving_mean(mean, _window(steps)) if look.smooth else mean
                axes.plot(steps, mean, "--", color=MUTED, linewidth=1, drawstyle=_drawn(look))
            _curve(axes, of_run, palette, run, look, labels[run], thin=True)
            axes.set_title(short(labels[run]), fontsize=8)
            finish(axes, "", "", look.percent, ticks=4)
        hide_behind(grid, len(grouped))
        against = f" (dashed: {labels[baseline]})" if baseline is not None and baseline in grouped else ""
        title = {"x": 0.01, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
        figure.suptitle(look.title + against, fontsize=10, fontweight="bold", color=INK, **title)
        figure.supxlabel(look.xlabel, fontsize=8, color=MUTED, y=0.08 / height, va="bottom")
        figure.supylabel(look.unit, fontsize=8, color=MUTED, x=0.1 / width)
        return drawing_of(figure)


def _curve(
    axes: Axes,
    series: Sequence[Series],
    palette: Palette,
    run: str,
    look: Look,
    label: str,
    shift: float = 0.0,
    thin: bool = False,
) -> None:
    """One run's curve. `shift` moves its intervals sideways, in hundredths of the axis, off those of other runs."""
    steps, values = _by_step(series)
    mean, colour = np.nanmean(values, axis=0), palette.colour(run)
    style = {"color": colour, "linestyle": "-" if thin else palette.dash(run), "drawstyle": _drawn(look)}
    window = _window(steps) if look.smooth else 1
    if len(values) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(steps, low, high, color=colour, alpha=0.16, lw=0, step="post" if look.stepped else None)
    if window > 1:
        axes.plot(steps, mean, linewidth=0.8, alpha=0.35, **style)
    if (problems := series[0].problems) is not None:
        bounds = [wilson(round(share * problems), problems) for share in mean.tolist()]
        low, high = np.array(bounds).T
        beside = steps + shift * 0.012 * max(1, np.ptp(steps))
        axes.vlines(beside, low, high, color=colour, linewidth=1, alpha=0.55)
    marker = "o" if len(steps) <= 12 and not look.stepped else None
    smoothed = moving_mean(mean, window)
    axes.plot(
        steps, smoothed, linewidth=1.4 if thin else 1.9, marker=marker, ms=2.4 if thin else 3.2, label=label, **style
    )
    if np.ptp(mean) == 0 and thin:
        always = f"always {shown_value(float(mean[0]), look.percent)}"
        axes.text(0.97, 0.9, always, transform=axes.transAxes, ha="right", va="top", fontsize=7, color=MUTED)


def _drawn(look: Look) -> str:
    return "steps-post" if look.stepped else "default"


def _window(steps: np.ndarray) -> int:
    return max(1, len(steps) // 12 * 2 + 1)


def _by_step(series: Sequence[Series], steps: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Steps int [S] that any seed has (or those given), and values float [seeds, S], NaN where a seed has none."""
    if steps is None:
        steps = np.array(sorted(set().union(*(one.steps.tolist() for one in series))))
    values = np.full((len(series), len(steps)), np.nan)
    for row, one in zip(values, series, strict=True):
        row[np.searchsorted(steps, one.steps)] = one.values
    return steps, values


def _round_lines(axes: Axes, starts: Sequence[int], named: bool = False) -> None:
    """A dashed line before the first step of each round but the first, between steps and so off any tick."""
    for number, start in enumerate(starts[1:], 1):
        axes.axvline(start - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
        if named and len(starts) <= 6:
            axes.annotate(f"round {number}", (start - 0.5, 1), (2, -1), xycoords=("data", "axes fraction"),
                          textcoords="offset points", va="top", fontsize=6.5, color=MUTED)  # fmt: skip
