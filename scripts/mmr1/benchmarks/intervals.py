"""95% intervals of an accuracy: Wilson's for independent items, a bootstrap over problems where items are versions."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from mmr1.seeds import generator

RESAMPLES = 10_000


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's score interval for `correct` out of `n` independent items, within [0, 1]; (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    bounds = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def bootstrap(correct: Sequence[bool], clusters: Sequence[str]) -> tuple[float, float]:
    """A percentile interval for the accuracy when whole clusters are resampled, 10,000 times from a fixed seed.

    `correct[i]` is the verdict on an item of the problem `clusters[i]`. Versions of one problem are right or wrong
    together more often than not, so that an interval for independent items would be too short.
    """
    names = {name: index for index, name in enumerate(dict.fromkeys(clusters))}
    if not names:
        return 0.0, 1.0
    where = np.array([names[name] for name in clusters])
    right = np.bincount(where, weights=np.asarray(correct, dtype=np.float64), minlength=len(names))
    sizes = np.bincount(where, minlength=len(names)).astype(np.float64)
    random = generator(0, "bootstrap", len(names))
    shares = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 500):
        drawn = random.integers(len(names), size=(500, len(names)))
        shares[start : start + 500] = right[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def interval(correct: Sequence[bool], clusters: Sequence[str]) -> tuple[float, float]:
    """Wilson's interval, or the bootstrap's where a problem has more than one item."""
    if len(set(clusters)) == len(clusters):
        return wilson(sum(correct), len(correct))
    return bootstrap(correct, clusters)
