"""Weights with a stated effective sample size: how far scores may concentrate the draws."""

import numpy as np

from mmr1.vas.arrays import Floats


def effective_share(weight: Floats) -> float:
    """The effective sample size of weights (M,), (sum w)² / sum w², over M: in (0, 1], 1 if all are equal."""
    return float(weight.sum() ** 2 / (weight**2).sum() / len(weight))


def thinned(values: Floats, share: float) -> tuple[Floats, float]:
    """(v - t)+ of values (M,), and the t at which their effective sample size is `share` of M.

    Of all weights with this effective sample size these give the largest mean of v: maximise Σwv under Σw = 1,
    Σw² ≤ 1/(share·M) and w ≥ 0. A negative t flattens. Where more than `share` of the values are the largest, no t is
    large enough: then these alone have weight.
    """
    top = values.max()
    if np.mean(values == top) >= share:
        return (values == top).astype(np.float64), float(top)
    low, high = top - 1.0, float(top)
    while effective_share(np.maximum(values - low, 0)) < share:
        low = top - 2 * (top - low)
    for _ in range(100):  # the effective sample size falls as t rises
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if effective_share(np.maximum(values - middle, 0)) >= share else (low, middle)
    return np.maximum(values - low, 0), float(low)
