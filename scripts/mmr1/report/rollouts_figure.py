"""The figure of what accuracy cost: each run's last checkpoint against the rollouts that it spent."""

from collections.abc import Mapping, Sequence

from mmr1.report.accuracy import Accuracy
from mmr1.report.drawing import SINGLE, Drawing, Palette, drawing_of, finish, names_beside, new_figure


def accuracy_by_rollouts(
    points: Mapping[str, tuple[float, Accuracy]], palette: Palette, labels: Mapping[str, str]
) -> Drawing:
    """Each run's final accuracy with its 95% interval against the rollouts it spent, passes included."""
    unit, name = unit_of_rollouts([spent for spent, _ in points.values()])
    with new_figure((SINGLE[0], max(SINGLE[1], 0.19 * len(points) + 1))) as figure:
        axes = figure.add_subplot()
        for run, (spent, accuracy) in points.items():
            colour, x = palette.colour(run), spent / unit
            if accuracy.low is not None and accuracy.high is not None:
                axes.plot([x, x], [accuracy.low, accuracy.high], color=colour, linewidth=1.4, alpha=0.6)
            axes.plot([x], [accuracy.mean], "o", color=colour, ms=5)
        axes.set_xlim(0, 1.08 * max(spent for spent, _ in points.values()) / unit)
        axes.set_title("Accuracy against rollouts spent")
        finish(axes, name, "accuracy", percent=True)
        names_beside(axes, {labels[run]: (spent / unit, one.mean) for run, (spent, one) in points.items()})
        return drawing_of(figure)


def unit_of_rollouts(numbers: Sequence[float]) -> tuple[int, str]:
    """What an axis of rollouts counts in, and its label."""
    unit = 1000 if max(numbers) >= 10_000 else 1
    return unit, f"{'thousand ' if unit > 1 else ''}rollouts, passes included"
