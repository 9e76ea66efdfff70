"""Inverse self-BLEU (§3): 1 - mean over responses of BLEU-1..3 against the group's other responses. The default.

In [0, 1]: 0 if all responses are equal, 1 if no two share a token. Weights 1/3 each, smoothing method 1, as nltk.

A response with an exact copy in its group has BLEU 1. So says nltk of three tokens and more; here it holds for shorter
and empty ones too, so that a group of nothing but empty responses is not the most diverse of all.
"""

import numpy as np

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.diversities._helpers import group_mean

TITLE = "inverse self-BLEU-1..3"
EXAMPLE = "vas: {diversity: inverse_self_bleu_123}"


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """1 - mean self-BLEU of every group, (G,); 0 for one response."""
    from mmr1.vas.bleu import self_bleu_123

    bleu = self_bleu_123(tokens, offsets, groups, copies=True, threads=threads)
    return np.where(np.diff(groups) > 1, 1.0 - group_mean(bleu, groups), 0.0)
