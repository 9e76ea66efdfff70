"""Shares over the groups and steps of a training, with their 95% intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmr1.benchmarks.intervals import wilson
from mmr1.report.results import Series
from mmr1.seeds import generator

RESAMPLES = 2_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A number with its 95% interval."""

    mean: float
    low: float
    high: float


def share_of_groups(count: float, groups: float) -> Share:
    """A share of so many groups with Wilson's interval, which is honest where all or none are counted."""
    low, high = wilson(round(count), round(groups))
    return Share(count / groups, low, high)


def mean_over_steps(series: Sequence[Series]) -> Share | None:
    """The mean of a quantity over all steps and seeds of a run; None if there are none."""
    if not series:
        return None
    values = np.concatenate([one.values for one in series])[:, None]
    return over_steps([values], lambda sums: sums[0][..., 0] / len(values))


def over_steps(tables: Sequence[Floats], statistic: Callable[[list[Floats]], Floats]) -> Share | None:
    """A statistic of column sums, with the interval that it has when steps are resampled with replacement.

    `tables` are float64 [steps, columns], resampled apart. `statistic` gets their sums, each [..., columns], and may
    give infinities or NaN, which are left out; None if the statistic itself is no number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = float(statistic([table.sum(axis=0) for table in tables]))
        drawn = []
        for number, table in enumerate(tables):
            random = generator(0, "steps", number, len(table))
            drawn.append(table[random.integers(len(table), size=(RESAMPLES, len(table)))].sum(axis=1))
        values = statistic(drawn)
    finite = values[np.isfinite(values)]
    if not np.isfinite(mean) or not len(finite):
        return None
    low, high = np.quantile(finite, [0.025, 0.975])
    return Share(mean, float(low), float(high))
