"""Self-BLEU as released: mean over responses of BLEU-1..3 against the group's other responses, a *similarity*.

In [0, 1]: 1 if all responses are equal (and have three tokens). nltk's numbers to the letter. The released code
(verl/curriculum/metrics.py) adds it to the VPS as it is, so that groups of similar responses are preferred; it also
padded the tokens, which this does not.
"""

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.diversities._helpers import group_mean

TITLE = "self-BLEU-1..3, a similarity"
EXAMPLE = "vas: {diversity: self_bleu_123}"


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """The mean self-BLEU of every group, (G,); 0 for one response."""
    from mmr1.vas.bleu import self_bleu_123

    return group_mean(self_bleu_123(tokens, offsets, groups, threads=threads), groups)
