"""The report's figures, as SVG for the page and PNG beside it. One colour means one run throughout.

The same numbers make the same bytes: neither a time nor a version is written. Names are text, never markup or
mathematics.
"""

import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmr1.benchmarks.intervals import wilson
from mmr1.report.accuracy import Accuracy
from mmr1.report.results import BINS, RoundScores, Series, transition

PAPER = "#ffffff"
INK, MUTED, GRID, EDGE, SFT = "#24292f", "#6b7280", "#e5e7eb", "#c9ced6", "#4b5563"
# In the page these follow its colour scheme, dark or light.
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--line", EDGE: "--edge", SFT: "--sft"}
RUN_COLOURS = ("#2a6fdb", "#e0701a", "#0f9b7a", "#b0409a", "#b8960c", "#7458d8", "#d04545", "#4a7d22")
SUBJECT_COLOURS = {"base": "#8b949e", "sft": SFT}
MOST_IN_ONE = 5  # more runs get a panel each
COLUMNS = 4
SINGLE = (4.4, 2.9)  # inches

STYLE = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "figure.facecolor": PAPER,
    "savefig.facecolor": "auto",
    "axes.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": EDGE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and selected
    "svg.hashsalt": "mmr1",
}
DPI = 180


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG text that stands alone; `wide` if it is for the width of a page."""

    svg: str
    figure: Figure
    wide: bool

    def png(self) -> bytes:
        """The same as a picture of pixels."""
        png = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        return png.getvalue()

    def inline(self, name: str, label: str) -> Markup:
        """The SVG as a piece of a page, which gives it its colours and its width.

        `name` goes before its ids, because a page holds several. `label` is its text alternative.
        """
        start = self.svg.index("<svg")
        head, body = self.svg[start:].split(">", 1)
        size = re.search(r'viewBox="[^"]*"', head)
        body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
        body = re.sub(r' id="|href="#|url\(#', lambda found: f"{found.group()}{name}-", body)
        body = body.replace(PAPER, "none")
        for colour in VARIABLES:
            body = body.replace(colour, in_page(colour))
        opening = Markup('<svg role="img" aria-label="{}" {}>').format(label, Markup(size.group() if size else ""))
        return opening + Markup(body.strip())


@dataclass(frozen=True)
class Look:
    """How a quantity is shown: its title, its unit on the axis, and whether it is a share, smoothed or by rounds."""

    title: str
    unit: str = ""
    percent: bool = False
    smooth: bool = True
    stepped: bool = False  # one value a round
    xlabel: str = "step"


class Palette:
    """The colour and dash of every run, by its place in the list: more than eight runs repeat colours, dashed."""

    def __init__(self, runs: Sequence[str]) -> None:
        self.places = {run: place for place, run in enumerate(runs)}

    def colour(self, subject: str) -> str:
        """The colour of a run, of base or of SFT."""
        if subject in SUBJECT_COLOURS:
            return SUBJECT_COLOURS[subject]
        return RUN_COLOURS[self.places[subject] % len(RUN_COLOURS)]

    def dash(self, run: str) -> str:
        """The line style of a run."""
        return ("-", "--", ":", "-.")[self.places[run] // len(RUN_COLOURS) % 4]


def in_page(colour: str) -> str:
    """A colour as a page names it."""
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour


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
    with _figure(SINGLE) as figure:
        axes = figure.add_subplot()
        starts = {one.round_starts for one in series}
        if len(starts) == 1 and look.xlabel == "step":
            _round_lines(axes, starts.pop(), named=True)
        for place, (run, of_run) in enumerate(grouped.items()):
            _curve(axes, of_run, palette, run, look, labels[run], shift=place - (len(runs) - 1) / 2)
        axes.set_title(look.title)
        _finish(axes, look.xlabel, look.unit, look.percent)
        _legend(figure, axes)
        return _drawing(figure)


def side_by_side(
    parts: Sequence[tuple[Look, Sequence[Series]]], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """Several quantities by step in a row, each as `curves` draws it: the paper's Figure 2."""
    with _figure((3.1 * len(parts), 2.9)) as figure:
        for axes, (look, series) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            for run in dict.fromkeys(one.run for one in series):
                _curve(axes, [one for one in series if one.run == run], palette, run, look, labels[run])
            axes.set_title(look.title)
            _finish(axes, look.xlabel, look.unit, look.percent, ticks=5)
        _legend(figure, max(figure.axes, key=lambda axes: len(axes.lines)))
        return _drawing(figure)


def vps_rounds(shares: np.ndarray, moves: np.ndarray, edges: np.ndarray, colour: str) -> Drawing:
    """How VPS is distributed in every round, and where its problems go: the paper's Figure 3.

    `shares` float [seeds, rounds, 10] are of problems by bin: bars are means, lines span the seeds. `moves` float
    [rounds - 1, 10, 10] are shares of a row's problems, from bin (row) to bin (column).
    """
    rounds = shares.shape[1]
    with _figure((2.2 * max(2, rounds), 4.4)) as figure:
        grid = figure.subplots(2, rounds, squeeze=False)
        for number, axes in enumerate(grid[0]):
            of_round, widths = shares[:, number], np.diff(edges)
            axes.bar(edges[:-1], of_round.mean(axis=0), 0.94 * widths, align="edge", color=colour)
            if len(of_round) > 1:
                axes.vlines(edges[:-1] + widths / 2, of_round.min(axis=0), of_round.max(axis=0), color=INK, linewidth=1)
            axes.set_ylim(0, min(1.0, 1.08 * float(shares.max())))
            axes.set_title(f"round {number}", fontsize=9)
            _finish(axes, "VPS", "problems" if number == 0 else "", percent=True)
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
        return _drawing(figure)


def accuracy_by_rollouts(
    points: Mapping[str, tuple[float, Accuracy]], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """Each run's final accuracy with its 95% interval against the rollouts it spent, passes included."""
    unit, name = unit_of_rollouts([spent for spent, _ in points.values()])
    with _figure((SINGLE[0], max(SINGLE[1], 0.19 * len(points) + 1))) as figure:
        axes = figure.add_subplot()
        for run, (spent, accuracy) in points.items():
            colour, x = palette.colour(run), spent / unit
            if accuracy.low is not None and accuracy.high is not None:
                axes.plot([x, x], [accuracy.low, accuracy.high], color=colour, linewidth=1.4, alpha=0.6)
            axes.plot([x], [accuracy.mean], "o", color=colour, ms=5)
        axes.set_xlim(0, 1.08 * max(spent for spent, _ in points.values()) / unit)
        axes.set_title("Accuracy against rollouts spent")
        _finish(axes, name, "accuracy", percent=True)
        _names_beside(axes, {labels[run]: (spent / unit, one.mean) for run, (spent, one) in points.items()})
        return _drawing(figure)


def unit_of_rollouts(numbers: Sequence[float]) -> tuple[int, str]:
    """What an axis of rollouts counts in, and its label."""
    unit = 1000 if max(numbers) >= 10_000 else 1
    return unit, f"{'thousand ' if unit > 1 else ''}rollouts, passes included"


def vps_histogram(scores: RoundScores, edges: np.ndarray, colour: str, top: float) -> Drawing:
    """How the VPS of one round is distributed over ten bins, as a share of problems; `top` is the common height."""
    with _figure((2.5, 1.9), margins=(0.6, 0.45, 0.1, 0.3)) as figure:
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
        _finish(axes, "VPS", "problems", percent=True)
        return _drawing(figure)


def histogram_top(scores: Sequence[RoundScores], edges: np.ndarray) -> float:
    """A height that holds the largest bin of every round."""
    shares = [np.histogram(one.vps, edges)[0].max() / max(1, len(one.vps)) for one in scores]
    return min(1.0, 1.08 * max(shares, default=1.0))


def vps_transition(before: RoundScores, after: RoundScores, edges: np.ndarray) -> Drawing:
    """Where the problems of each VPS bin are one round later: percent of the row, as in the paper's Figure 3."""
    counts = transition(before, after, edges)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    with _figure((2.9, 2.9), margins=(0.5, 0.4, 0.1, 0.3)) as figure:
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
        return _drawing(figure)


def calibration_curve(points: Mapping[str, np.ndarray], palette: Palette, labels: Mapping[str, str]) -> Drawing:
    """Realised variance against predicted OVS, one line per run; `points[run]` is float [bins, 3]: both, and groups."""
    with _figure(SINGLE) as figure:
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
        _finish(axes, "predicted OVS", "realised variance", percent=False)
        if few:
            _legend(figure, axes)
        else:
            _names_beside(axes, {labels[run]: (values[-1, 0], values[-1, 1]) for run, values in points.items()})
        return _drawing(figure)


def two_halves(
    weighted: Sequence[Series], uniform: Sequence[Series], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """A share by step in the weighted (solid) and in the uniform part (dotted) of the batch, a panel per run."""
    runs = sorted({one.run for one in (*weighted, *uniform)}, key=lambda run: palette.places[run])
    columns = min(COLUMNS, len(runs))
    rows = -(-len(runs) // columns)
    size = SINGLE if len(runs) == 1 else (2.3 * max(2, columns), 1.55 * rows + 0.75)
    with _figure(size) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, run in zip(grid.flat, runs, strict=False):
            for half, line, name in ((weighted, "-", "weighted draws"), (uniform, ":", "uniform draws")):
                of_run = [one for one in half if one.run == run]
                if of_run:
                    steps, values = _by_step(of_run)
                    mean = moving_mean(np.nanmean(values, axis=0), _window(steps))
                    axes.plot(steps, mean, line, color=palette.colour(run), linewidth=1.8, label=name)
            axes.set_title(_short(labels[run]), fontsize=8)
            _finish(axes, "", "", percent=True)
        _hide(grid, len(runs))
        figure.suptitle("Zero-variance groups by draw", x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
        for axes in grid.flat[max(0, len(runs) - columns) : len(runs)]:
            axes.set_xlabel("step")
        _legend(figure, max(grid.flat[: len(runs)], key=lambda axes: len(axes.lines)))
        return _drawing(figure)


def loss_curve(points: Sequence[tuple[int, float]], colour: str) -> Drawing:
    """The loss of supervised fine-tuning by step, from pairs of both."""
    with _figure(SINGLE) as figure:
        axes = figure.add_subplot()
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.6)
        axes.set_title("SFT loss")
        _finish(axes, "step", "nats per token", percent=False)
        return _drawing(figure)


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
    with _figure((width, height), margins=(0.7, 0.5, 0.1, 0.55)) as figure:
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
            axes.set_title(_short(labels[run]), fontsize=8)
            _finish(axes, "", "", look.percent, ticks=4)
        _hide(grid, len(grouped))
        against = f" (dashed: {labels[baseline]})" if baseline is not None and baseline in grouped else ""
        title = {"x": 0.01, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
        figure.suptitle(look.title + against, fontsize=10, fontweight="bold", color=INK, **title)
        figure.supxlabel(look.xlabel, fontsize=8, color=MUTED, y=0.08 / height, va="bottom")
        figure.supylabel(look.unit, fontsize=8, color=MUTED, x=0.1 / width)
        return _drawing(figure)


def _hide(grid: np.ndarray, used: int) -> None:
    """Hide the panels behind the last; those above them get the ticks of the common axis."""
    columns = grid.shape[1]
    for axes in grid.flat[used:]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, used - columns) : used]:
        axes.xaxis.set_tick_params(labelbottom=True)


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
        always = f"always {_number(float(mean[0]), look.percent)}"
        axes.text(0.97, 0.9, always, transform=axes.transAxes, ha="right", va="top", fontsize=7, color=MUTED)


def _number(value: float, percent: bool) -> str:
    # As many decimals as it takes: 37.5% was called 38%.
    return f"{round(100 * value, 6):g}%" if percent else f"{value:.4g}"


def _drawn(look: Look) -> str:
    return "steps-post" if look.stepped else "default"


def _window(steps: np.ndarray) -> int:
    return max(1, len(steps) // 12 * 2 + 1)


def _short(label: str, width: int = 26) -> str:
    return textwrap.shorten(label, width, placeholder="…") if " " in label else label[:width]


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


def _names_beside(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Names in the right margin, one above another in the points' order, with a fine line to each."""
    ordered = sorted(points.items(), key=lambda item: (item[1][1], item[0]))
    low, high = axes.get_ylim()
    heights = np.array([(y - low) / (high - low) for _, (_, y) in ordered])
    gap = min(0.9 / max(1, len(ordered)), 0.075)
    for _ in range(200):  # push apart what overlaps, within the axes
        for place in range(1, len(heights)):
            overlap = gap - (heights[place] - heights[place - 1])
            if overlap > 0:
                heights[place - 1] -= overlap / 2
                heights[place] += overlap / 2
        heights = np.clip(heights, 0, 1)
    for (name, (x, y)), height in zip(ordered, heights.tolist(), strict=True):
        line = {"arrowstyle": "-", "color": EDGE, "linewidth": 0.6, "shrinkB": 3}
        where = {"xycoords": "data", "textcoords": "axes fraction", "va": "center", "fontsize": 7.5}
        axes.annotate(_short(name), (x, y), (1.03, height), arrowprops=line, **where)


@contextmanager
def _figure(size: tuple[float, float], margins: tuple[float, float, float, float] | None = None) -> Iterator[Figure]:
    """A figure of its own, drawn with no global state: pyplot is never imported. Sizes are in inches.

    `margins` (left, bottom, right, top) are fixed where there are many axes or figures; else they are fitted.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained" if margins is None else None)
        if margins is not None:
            (width, height), (left, bottom, right, top) = size, margins
            figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, 0.1, 0.33)
        yield figure


def _finish(axes: Axes, xlabel: str, ylabel: str, percent: bool, ticks: int = 7) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=5))
    if not xlabel.startswith(("VPS", "predicted")):
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=ticks))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if percent:
        axes.yaxis.set_major_formatter(lambda share, _: _number(share, percent=True))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(
            handles,
            names,
            loc="outside lower left",
            handlelength=1.6,
            columnspacing=1.2,
            ncols=2 if len(handles) > 2 else 3,
        )


def _drawing(figure: Figure) -> Drawing:
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    if figure.get_layout_engine() is not None:
        figure.set_layout_engine("none")  # what was laid out stays
    return Drawing(_without_ids(svg.getvalue()), figure, figure.get_figwidth() > 1.6 * SINGLE[0])


def _without_ids(svg: str) -> str:
    """Without the ids that nothing refers to, which would stand twice in a page of several figures."""
    used = set(re.findall(r"#([\w.-]+)[\")]", svg))
    return re.sub(r' id="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", svg)
