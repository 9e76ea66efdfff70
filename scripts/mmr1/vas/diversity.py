"""Trajectory diversity scores (TDS, §3 and App. A.3): how different a problem's N responses are.

All take the responses' own tokens: no padding, no prompt. Arrays are those of `mmr1.vas.bleu`. The order of a group's
responses does not matter. Decided edge cases, the same for all: one response (N = 1) has no diversity between
responses, so self-BLEU and edit distance give 0; an empty response is a response like any other.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.bleu import distinct, self_bleu_123

DEFAULT = "inverse_self_bleu_123"


def diversity(name: str, tokens: Ints, offsets: Ints, groups: Ints, *, threads: int = 1) -> Floats:
    """The diversity `name` (a key of `DIVERSITIES`) of every group: (G,) in [0, 1]."""
    return DIVERSITIES[check_name(name)](tokens, offsets, groups, threads)


def check_name(name: str) -> str:
    """Return `name` if it is a diversity; raise UserError if not."""
    if name not in DIVERSITIES:
        raise UserError(f"diversity: expected one of {', '.join(DIVERSITIES)}, found {name!r}")
    return name


def inverse_self_bleu(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """1 - mean over responses of BLEU-1..3 against the others (§3, "inverse self-BLEU"); the default.

    In [0, 1]; 0 if all responses are equal, 1 if no two share a token. A response with an exact copy in its group has
    BLEU 1. So says nltk of three tokens and more; here it holds for shorter and empty ones too, so that a group of
    nothing but empty responses is not the most diverse of all.
    """
    return np.where(
        np.diff(groups) > 1,
        1.0 - _mean(self_bleu_123(tokens, offsets, groups, copies=True, threads=threads), groups),
        0.0,
    )


def released_self_bleu(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """Mean over responses of BLEU-1..3 against the others, nltk's to the letter: a *similarity*, as released.

    In [0, 1], 1 if all responses are equal (and have three tokens). The released code (verl/curriculum/metrics.py)
    adds it to the VPS as it is, so that alike groups are preferred; it also padded the tokens, which this does not.
    """
    return np.where(np.diff(groups) > 1, _mean(self_bleu_123(tokens, offsets, groups, threads=threads), groups), 0.0)


def distinct_n(order: int) -> Callable[[Ints, Ints, Ints, int], Floats]:
    """Distinct-n (§3): different n-grams over all n-grams of the group's responses together.

    In [0, 1]; 1 if no n-gram appears twice, 0 if there is none (responses shorter than n). It counts repetition inside
    a response too, so N = 1 has a value, and N equal responses have at most 1/N, not 0.
    """
    return lambda tokens, offsets, groups, threads: distinct(tokens, offsets, groups, order, threads=threads)


def pairwise_edit(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """Mean over pairs of responses of d², d the Levenshtein distance over the longer length (App. A.3).

    In [0, 1]; 0 if all are equal. Two empty responses have d = 0.
    """
    scores = np.zeros(len(groups) - 1)
    for group, (first, end) in enumerate(pairwise(groups.tolist())):
        if end - first > 1:
            texts = _as_strings(tokens, offsets[first : end + 1])
            distances = process.cdist(
                texts, texts, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=threads
            )
            scores[group] = np.mean(distances[np.triu_indices(end - first, 1)] ** 2)
    return scores


DIVERSITIES: dict[str, Callable[[Ints, Ints, Ints, int], Floats]] = {
    DEFAULT: inverse_self_bleu,
    "self_bleu_123": released_self_bleu,
    "distinct_1": distinct_n(1),
    "distinct_2": distinct_n(2),
    "distinct_3": distinct_n(3),
    "pairwise_edit": pairwise_edit,
}


def _mean(values: Floats, groups: Ints) -> Floats:
    return np.add.reduceat(values, groups[:-1]) / np.diff(groups)


def _as_strings(tokens: Ints, offsets: Ints) -> list[str]:
    """The responses as strings, one character a token, which is what rapidfuzz compares fastest.

    Tokens are numbered within the group, so that any vocabulary fits into the code points.
    """
    _, numbers = np.unique(tokens[offsets[0] : offsets[-1]], return_inverse=True)
    text = numbers.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    bounds = (offsets - offsets[0]).tolist()
    return [text[begin:end] for begin, end in pairwise(bounds)]
