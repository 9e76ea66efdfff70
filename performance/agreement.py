"""How well cheaper scores stand in for a full refresh: two scores of the same problems side by side."""

import numpy as np
from scipy.stats import spearmanr

from mmr1.vas.arrays import Floats


def rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's correlation of two scores (M,), ties averaged, in [-1, 1]; None if either is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def top_overlap(a: Floats, b: Floats, share: float = 0.1) -> float:
    """The part of the top `share` (at least one problem) by `a` that is in the top by `b` too, in [0, 1].

    Equal scores are taken in the set's order, the same for both.
    """
    count = max(1, round(share * len(a)))
    top_a, top_b = (np.argsort(-np.asarray(values), kind="stable")[:count] for values in (a, b))
    return len(np.intersect1d(top_a, top_b)) / count
