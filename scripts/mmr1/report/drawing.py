"""What the report's figures are drawn on: their style and colours, and how one becomes SVG for the page, and PNG.

One colour means one run throughout. The same numbers make the same bytes: neither a time nor a version is written.
Names are text, never markup or mathematics.
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


@contextmanager
def new_figure(size: tuple[float, float], margins: tuple[float, float, float, float] | None = None) -> Iterator[Figure]:
    """A figure of its own, drawn with no global state: pyplot is never imported. Sizes are in inches.

    `margins` (left, bottom, right, top) are fixed where there are many axes or figures; else they are fitted.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained" if margins is None else None)
        if margins is not None:
            (width, height), (left, bottom, right, top) = size, margins
            figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, 0.1, 0.33)
        yield figure


def finish(axes: Axes, xlabel: str, ylabel: str, percent: bool, ticks: int = 7) -> None:
    """Label both axes; at most so many ticks stand under whole numbers."""
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.tick_params(length=0)
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=5))
    if not xlabel.startswith(("VPS", "predicted")):
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=ticks))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if percent:
        axes.yaxis.set_major_formatter(lambda share, _: shown_value(share, percent=True))


def legend(figure: Figure, axes: Axes) -> None:
    """The names of what `axes` shows, under the figure, if there are several."""
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


def names_beside(axes: Axes, points: Mapping[str, tuple[float, float]]) -> None:
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
        axes.annotate(short(name), (x, y), (1.03, height), arrowprops=line, **where)


def hide_behind(grid: np.ndarray, used: int) -> None:
    """Hide the panels behind the last; those above them get the ticks of the common axis."""
    columns = grid.shape[1]
    for axes in grid.flat[used:]:
        axes.set_visible(False)
    for axes in grid.flat[max(0, used - columns) : used]:
        axes.xaxis.set_tick_params(labelbottom=True)


def short(label: str, width: int = 26) -> str:
    """A name that fits beside an axis."""
    return textwrap.shorten(label, width, placeholder="…") if " " in label else label[:width]


def shown_value(value: float, percent: bool) -> str:
    """A value with as many decimals as it takes: 37.5% was called 38%."""
    return f"{round(100 * value, 6):g}%" if percent else f"{value:.4g}"


def drawing_of(figure: Figure) -> Drawing:
    """A figure that is finished, as SVG."""
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    if figure.get_layout_engine() is not None:
        figure.set_layout_engine("none")  # what was laid out stays
    return Drawing(_without_ids(svg.getvalue()), figure, figure.get_figwidth() > 1.6 * SINGLE[0])


def _without_ids(svg: str) -> str:
    """Without the ids that nothing refers to, which would stand twice in a page of several figures."""
    used = set(re.findall(r"#([\w.-]+)[\")]", svg))
    return re.sub(r' id="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", svg)
