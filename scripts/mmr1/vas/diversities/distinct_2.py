"""Distinct-2 (§3): different pairs of neighbouring tokens over all such pairs, of the group's responses together.

In [0, 1]: 1 if none appears twice, 0 if there is none (responses of fewer than 2 tokens). It counts repetition inside a
response too, so that N = 1 has a value, and N equal responses have at most 1/N, not 0.
"""

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.diversities._helpers import distinct_n

TITLE = "distinct-2"
EXAMPLE = "vas: {diversity: distinct_2}"


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """Distinct-2 of every group, (G,)."""
    return distinct_n(2, tokens, offsets, groups, threads)
