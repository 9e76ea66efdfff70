"""What several diversities share. Arrays are those of `mmr1.vas.bleu`."""

import numpy as np

from mmr1.vas.arrays import Floats, Ints


def group_mean(values: Floats, groups: Ints) -> Floats:
    """The mean over each group's responses of `values` (R,): (G,); 0 for a group of one response."""
    means = np.add.reduceat(values, groups[:-1]) / np.diff(groups)
    return np.where(np.diff(groups) > 1, means, 0.0)


def distinct_n(order: int, tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """Distinct-n: different n-grams over all n-grams of a group's responses together, (G,) in [0, 1]."""
    from mmr1.vas.bleu import distinct  # numba: not where the recipe is read

    return distinct(tokens, offsets, groups, order, threads=threads)
