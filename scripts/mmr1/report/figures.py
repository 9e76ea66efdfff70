"""The report's figures: small pictures that read on a phone, in which one colour means one run throughout."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmr1.report.results import BINS, RoundScores, Series, transition

INK, MUTED, GRID = "#24292f", "#6b7280", "#e5e7eb"
RUN_COLOURS = ("#2a6fdb", "#e0701a", "#0f9b7a", "#b0409a", "#b8960c", "#7458d8", "#d04545", "#4a7d22")
SUBJECT_COLOURS = {"base": "#9aa3ad", "sft": "#4b5563"}

STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#c9ced6",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
DPI = 180


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


def curves(
    series: Sequence[Series],
    palette: Palette,
    labels: dict[str, str],
    percent: bool = False,
    smooth: bool = True,
    ylabel: str = "",
) -> bytes:
    """A quantity by step: each run's mean over seeds, smoothed and bold; what was smoothed is pale. PNG bytes.

    Several seeds span a band from the lowest to the highest. Upright lines mark the beginnings of rounds.
    """
    with _axes((4.4, 2.75)) as (figure, axes):
        for start in sorted({start for one in series for start in one.round_starts[1:]}):
            axes.axvline(start, color=GRID, linewidth=1.2, zorder=0)
        for run in dict.fromkeys(one.run for one in series):
            steps, values = _by_step([one for one in series if one.run == run])
            style = {"color": palette.colour(run), "linestyle": palette.dash(run)}
            mean = np.nanmean(values, axis=0)
            window = max(1, len(steps) // 12 * 2 + 1) if smooth else 1
            if len(values) > 1:
                axes.fill_between(
                    steps, np.nanmin(values, axis=0), np.nanmax(values, axis=0), color=style["color"], alpha=0.13, lw=0
                )
            if window > 1:
                axes.plot(steps, mean, linewidth=0.8, alpha=0.35, **style)
            marker = "o" if len(steps) <= 12 else None
            axes.plot(
                steps, moving_mean(mean, window), linewidth=1.9, marker=marker, ms=3.2, label=labels[run], **style
            )
        _finish(axes, "step", ylabel, percent)
        _legend(axes)
        return _png(figure)


def vps_histogram(scores: RoundScores, edges: np.ndarray, colour: str, top: float) -> bytes:
    """How the VPS of one round is distributed over ten bins, as a share of problems; `top` is the common height."""
    with _axes((2.3, 1.75)) as (figure, axes):
        counts, _ = np.histogram(np.clip(scores.vps, edges[0], edges[-1]), edges)
        axes.bar(edges[:-1], counts / max(1, len(scores.vps)), np.diff(edges), align="edge", color=colour, ec="white")
        axes.axvline(float(scores.vps.mean()), color=INK, linewidth=1, linestyle="--")
        axes.set_ylim(0, top)
        axes.set_xlim(edges[0], edges[-1])
        axes.grid(axis="x", visible=False)
        axes.set_title(f"round {scores.round}", fontsize=9, loc="left", color=INK)
        _finish(axes, "VPS", "", percent=True)
        return _png(figure)


def histogram_top(scores: Sequence[RoundScores], edges: np.ndarray) -> float:
    """A height that holds the largest bin of every round."""
    shares = [np.histogram(one.vps, edges)[0].max() / max(1, len(one.vps)) for one in scores]
    return min(1.0, 1.08 * max(shares, default=1.0))


def vps_transition(before: RoundScores, after: RoundScores, edges: np.ndarray) -> bytes:
    """Where the problems of each VPS bin are one round later, as shares of the row (the paper's Figure 3)."""
    counts = transition(before, after, edges)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    with _axes((2.9, 2.7)) as (figure, axes):
        axes.grid(False)
        axes.imshow(np.where(counts.sum(axis=1, keepdims=True) > 0, shares, np.nan), cmap="Blues", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
            share = shares[row, column]
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=6,
                color="white" if share > 0.55 else INK,
            )
        ticks = range(0, BINS, 3)
        names = [f"{edges[tick]:.2f}" for tick in ticks]
        axes.set_xticks(ticks, names)
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"round {before.round} → {after.round}", fontsize=9, loc="left", color=INK)
        axes.set_xlabel(f"VPS in round {after.round}", fontsize=8)
        axes.set_ylabel(f"VPS in round {before.round}", fontsize=8)
        return _png(figure)


def calibration_curve(points: dict[str, np.ndarray], palette: Palette, labels: dict[str, str]) -> bytes:
    """Realised variance against predicted OVS, one line per run; `points[run]` is float [bins, 3]: both, and groups."""
    with _axes((4.4, 2.75)) as (figure, axes):
        axes.plot([0, 0.25], [0, 0.25], color=MUTED, linewidth=1, linestyle="--", label="as predicted")
        for run, values in points.items():
            sizes = 14 + 120 * values[:, 2] / values[:, 2].sum()
            axes.plot(values[:, 0], values[:, 1], color=palette.colour(run), linewidth=1.6, label=labels[run])
            axes.scatter(values[:, 0], values[:, 1], s=sizes, color=palette.colour(run), zorder=3)
        axes.set_xlim(-0.005, 0.26)
        axes.set_ylim(-0.005, 0.26)
        _finish(axes, "predicted OVS", "realised variance", percent=False)
        _legend(axes)
        return _png(figure)


def two_halves(
    weighted: Sequence[Series], uniform: Sequence[Series], palette: Palette, labels: dict[str, str]
) -> bytes:
    """A share by step in the weighted (solid) and in the uniform half (dotted) of the batch, one colour per run."""
    with _axes((4.4, 2.75)) as (figure, axes):
        for half, line, name in ((weighted, "-", "weighted"), (uniform, ":", "uniform")):
            for run in dict.fromkeys(one.run for one in half):
                steps, values = _by_step([one for one in half if one.run == run])
                mean = moving_mean(np.nanmean(values, axis=0), max(1, len(steps) // 12 * 2 + 1))
                axes.plot(steps, mean, line, color=palette.colour(run), linewidth=1.8, label=f"{labels[run]}: {name}")
        _finish(axes, "step", "", percent=True)
        _legend(axes)
        return _png(figure)


def loss_curve(steps: Sequence[int], losses: Sequence[float], colour: str) -> bytes:
    """The loss of supervised fine-tuning by step."""
    with _axes((4.4, 2.75)) as (figure, axes):
        axes.plot(steps, losses, color=colour, linewidth=1.6)
        _finish(axes, "step", "", percent=False)
        return _png(figure)


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean over `window` (odd) neighbours of each value; at the ends over those there are. Shape [S] as given."""
    sums = np.convolve(values, np.ones(window), mode="same")
    return sums / np.convolve(np.ones(len(values)), np.ones(window), mode="same")


def _by_step(series: Sequence[Series]) -> tuple[np.ndarray, np.ndarray]:
    """Steps int [S] that any seed has, and values float [seeds, S], NaN where a seed has none."""
    steps = np.array(sorted(set().union(*(one.steps.tolist() for one in series))))
    values = np.full((len(series), len(steps)), np.nan)
    for row, one in zip(values, series, strict=True):
        row[np.searchsorted(steps, one.steps)] = one.values
    return steps, values


@contextmanager
def _axes(size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """A figure of its own, drawn with no global state: pyplot is never imported."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.add_subplot()


def _finish(axes: Axes, xlabel: str, ylabel: str, percent: bool) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.tick_params(length=0)
    if xlabel == "step":
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=7))
    if percent:
        # As many decimals as the ticks need: 37.5% was called 38%.
        axes.yaxis.set_major_formatter(lambda share, _: f"{round(100 * share, 6):g}%")


def _legend(axes: Axes) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(loc="best", handlelength=1.4, labelspacing=0.3, ncols=1 if len(handles) <= 6 else 2)
        for text in legend.get_texts():  # a name is no mathematics
            text.set_parse_math(False)


def _png(figure: Figure) -> bytes:
    """The same figure makes the same bytes: neither a time nor a version is written into it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
