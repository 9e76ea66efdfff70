"""Interquartile means and performance profiles as `rliable` defines them (Agarwal et al. 2021, arXiv 2108.13264).

A score is one seed's pass rate on one task; a task is a kind of question with so many digits. The library is not a
dependency: it brings plotting and bootstrap packages for two formulas.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import trim_mean

from mmr1.study.kept import Floats
from mmr1.study.verdicts import Trained


def scores(seeds: Sequence[Trained]) -> Floats:
    """Float64 [seeds, tasks]: pass rates, tasks in order of kind and count."""
    items = seeds[0].items
    tasks = sorted(set(zip(items.tasks, items.counts, strict=True)))
    of_task = [tasks.index(task) for task in zip(items.tasks, items.counts, strict=True)]
    sizes = np.bincount(of_task, minlength=len(tasks))
    return np.array([np.bincount(of_task, one.rates, len(tasks)) / sizes for one in seeds])


def interquartile_mean(values: Floats) -> float:
    """The mean of the middle half of all seeds' scores on all tasks."""
    return float(trim_mean(values, 0.25, axis=None))


def profile(values: Floats, thresholds: Floats) -> Floats:
    """The share of scores above each threshold."""
    return np.asarray((values[..., None] > thresholds).mean(axis=(0, 1)), dtype=np.float64)
