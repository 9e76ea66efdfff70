"""Distinct-3 (§3): different runs of three tokens over all such runs, of the group's responses together.

In [0, 1]: 1 if none appears twice, 0 if there is none (responses of fewer than 3 tokens). It counts repetition inside a
response too, so that N = 1 has a value, and N equal responses have at most 1/N, not 0.
"""

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.diversities._helpers import distinct_n

TITLE = "distinct-3"
EXAMPLE = "vas: {diversity: distinct_3}"


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """Distinct-3 of every group, (G,)."""
    return distinct_n(3, tokens, offsets, groups, threads)
