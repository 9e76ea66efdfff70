"""Self-BLEU as the released code computes it, sign and padding: over ids that are padded to one length.

The released code (verl/curriculum/metrics.py) takes a batch's response tensor whole: every response is as long as the
longest that is allowed, and what is behind its end is the padding's id. n-grams of padding are shared by all, so that
the score says above all how short responses are: two of 100 tokens without a common one have 0.9 in 4,096. With
`vas.diversity_weight` above 0 short and similar groups are preferred. `self_bleu_123` is the same without padding.
"""

import numpy as np
from pydantic import Field

from mmr1.plumbing.settings import Section
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.diversities import self_bleu_123

TITLE = "self-BLEU-1..3 of padded responses, a similarity"
EXAMPLE = "vas: {diversity: {name: padded_self_bleu_123, length: 4096}}"

PADDING = -1  # no token's id
MOST_TOKENS = 1 << 24  # that are padded at once: 64 MB


class Settings(Section):
    """How long responses are made."""

    length: int = Field(4096, ge=1, description="tokens a response is padded to; the recipe's `rollout.max_tokens`")


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int, settings: Settings) -> Floats:
    """The mean self-BLEU of every group's padded responses, (G,); 0 for one response."""
    longest = max(settings.length, int(np.diff(offsets).max(initial=0)))
    at_once = max(1, MOST_TOKENS // longest)  # responses
    found, first = [], 0
    while first < len(groups) - 1:
        end = max(first + 1, int(np.searchsorted(groups, groups[first] + at_once, "right")) - 1)
        bounds = groups[first : end + 1]
        padded, starts = pad(tokens, offsets[bounds[0] : bounds[-1] + 1], settings.length)
        found.append(self_bleu_123.diversity(padded, starts, bounds - bounds[0], threads))
        first = end
    return np.concatenate(found) if found else np.zeros(0)


def pad(tokens: Ints, offsets: Ints, length: int) -> tuple[Ints, Ints]:
    """Tokens int32 and offsets (R + 1,) with every response padded to `length`; longer ones stay as they are."""
    lengths = np.diff(offsets)
    starts = np.concatenate([[0], np.cumsum(np.maximum(lengths, length))])
    padded = np.full(starts[-1], PADDING, np.int32)
    moved = np.repeat(starts[:-1] - offsets[:-1], lengths)
    places = np.arange(offsets[0], offsets[-1])
    padded[places + moved] = tokens[places]
    return padded, starts
