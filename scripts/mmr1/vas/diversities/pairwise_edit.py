"""Pairwise edit distance (App. A.3): mean over pairs of responses of d², d = Levenshtein distance / the longer length.

In [0, 1]: 0 if all responses are equal. Two empty responses have d = 0. It costs N² comparisons per group: about 40
times the default.
"""

from itertools import pairwise

import numpy as np

from mmr1.vas.arrays import Floats, Ints

TITLE = "pairwise edit distance"
EXAMPLE = "vas: {diversity: pairwise_edit}"


def diversity(tokens: Ints, offsets: Ints, groups: Ints, threads: int) -> Floats:
    """The mean squared normalised distance of every group, (G,); 0 for one response."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    scores = np.zeros(len(groups) - 1)
    for group, (first, end) in enumerate(pairwise(groups.tolist())):
        if end - first > 1:
            texts = _as_strings(tokens, offsets[first : end + 1])
            distances = process.cdist(
                texts, texts, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=threads
            )
            scores[group] = np.mean(distances[np.triu_indices(end - first, 1)] ** 2)
    return scores


def _as_strings(tokens: Ints, offsets: Ints) -> list[str]:
    """The responses as strings, one character per token, which is what rapidfuzz compares fastest.

    Tokens are numbered within the group, so that any vocabulary fits into the code points.
    """
    _, numbers = np.unique(tokens[offsets[0] : offsets[-1]], return_inverse=True)
    text = numbers.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    bounds = (offsets - offsets[0]).tolist()
    return [text[begin:end] for begin, end in pairwise(bounds)]
