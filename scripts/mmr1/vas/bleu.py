"""Self-BLEU and distinct-n of groups of token sequences, exactly nltk's numbers from one pass over the tokens.

A response's self-BLEU compares it with the N-1 others of its group. For an n-gram g, let c_j(g) be its count in
response j. nltk clips c_i(g) by the largest count among the others, max over j ≠ i of c_j(g). If i is not the response
with the largest count of all, that clips nothing; if it is, the clipped count is the second largest. So

    matches_i = (number of n-grams of i) - sum over g whose largest count is i's of (largest - second largest)

and the two largest counts of every n-gram, found in one pass over the group, serve all N responses at once.

n-grams are numbered densely, order by order: an n-gram is the pair (number of its first n-1 tokens, its last token) in
an open-addressing hash table. Pairs are compared in full, so nothing depends on the hash.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from mmr1.vas.arrays import Floats, Ints

MAX_ORDER = 3  # BLEU-1..3, as released
EPSILON = 0.1  # nltk's smoothing method 1: a precision of 0/d becomes 0.1/d


def self_bleu_123(tokens: Ints, offsets: Ints, groups: Ints, *, copies: bool = False, threads: int = 1) -> Floats:
    """The self-BLEU of every response of many groups.

    `tokens` int32 (T,): the responses' tokens, one response after another. `offsets` (R + 1,): response r is
    `tokens[offsets[r]:offsets[r + 1]]`. `groups` (G + 1,): group g is the responses `groups[g]` to `groups[g + 1] - 1`.
    Returns (R,) in [0, 1], equal to nltk's `sentence_bleu(others, response, weights=(1/3, 1/3, 1/3),
    smoothing_function=SmoothingFunction().method1)` to 1e-12. NaN for the only response of a group (nltk refuses it).

    nltk scores a response of fewer than 3 tokens below 1 (an empty one 0) even where another response is its exact
    copy, though a copy of 3 tokens or more scores 1. With `copies` every exact copy scores 1.
    """
    matches, _ = _scan(tokens, offsets, groups, MAX_ORDER, threads)
    bleu = np.empty(len(offsets) - 1, np.float64)
    _bleu_of_groups(tokens, offsets, groups, matches, copies, bleu)
    return bleu


def distinct(tokens: Ints, offsets: Ints, groups: Ints, order: int, *, threads: int = 1) -> Floats:
    """Distinct-n of every group: different n-grams over n-grams, counted over all of a group's responses together.

    Arrays as for `self_bleu_123`; `order` is n, 1 to 3. Returns (G,) in [0, 1]; 0 where a group has no n-gram.
    """
    _, different = _scan(tokens, offsets, groups, order, threads)
    grams = np.concatenate([[0], np.cumsum(np.maximum(np.diff(offsets) - order + 1, 0))])
    return different[:, order - 1] / np.maximum(np.diff(grams[groups]), 1)


def _scan(tokens: Ints, offsets: Ints, groups: Ints, orders: int, threads: int) -> tuple[Ints, Ints]:
    """Per response the clipped matches of orders 1..`orders`, int64 (R, 3); per group its different n-grams (G, 3).

    Threads take ranges of groups of about equally many tokens; the kernel holds no lock, and no group sees another.
    """
    offsets, groups = offsets.astype(np.int64), groups.astype(np.int64)
    matches, different = (
        np.zeros((len(offsets) - 1, MAX_ORDER), np.int64),
        np.zeros((len(groups) - 1, MAX_ORDER), np.int64),
    )
    ends = offsets[groups]
    inner = np.searchsorted(ends, np.linspace(ends[0], ends[-1], threads + 1)[1:-1]).tolist()
    bounds = sorted({0, *inner, len(groups) - 1})

    def part(first: int, last: int) -> None:
        _scan_groups(tokens, offsets, groups[first : last + 1], orders, matches, different[first:last])

    if len(bounds) == 2:
        part(*bounds)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, bounds[:-1], bounds[1:]))
    return matches, different


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile once for all processes: numba caches beside this file or, where that is read-only, in the user's cache.

    Where neither can be written every process compiles again (seconds).
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no writable place
        return njit(nogil=True)(function)


@_compiled
def _number(heads, tails, starts, order, bits, slots, grams, numbers):  # type: ignore[no-untyped-def]
    """Number the n-grams of one group and find each one's two largest counts.

    The n-gram that begins at t is the pair (`heads[t]`, `tails[t + order - 1]`). `starts` (N + 1,) bounds the
    responses. Fills `numbers` (dense, in order of appearance) and one row of `grams` for each different n-gram, in 32
    bytes so that a look-up costs one cache line: its pair, its largest count, the second largest, the response with
    the largest, the last response that had it and how often so far. Returns how many different n-grams there are.
    """
    for slot in range(len(slots)):
        slots[slot] = -1
    mask, shift = np.uint64((1 << bits) - 1), np.uint64(64 - bits)
    kinds = 0
    for response in range(len(starts) - 1):
        for t in range(starts[response], starts[response + 1] - order + 1):
            head, tail = heads[t], tails[t + order - 1]
            key = np.uint64(np.uint32(head)) << np.uint64(32) | np.uint64(np.uint32(tail))
            place = (key * np.uint64(0x9E3779B97F4A7C15)) >> shift
            number = slots[place]
            while number >= 0 and (grams[number, 0] != head or grams[number, 1] != tail):
                place = (place + np.uint64(1)) & mask
                number = slots[place]
            if number < 0:
                number = kinds
                kinds += 1
                slots[place] = number
                gram = grams[number]
                gram[0], gram[1] = head, tail
                gram[2], gram[3], gram[4] = 1, 0, response
                gram[5], gram[6] = response, 1
            else:
                gram = grams[number]
                count = gram[6] + 1 if gram[5] == response else 1
                gram[5], gram[6] = response, count
                if gram[4] == response:
                    gram[2] = count
                elif count > gram[2]:
                    gram[2], gram[3], gram[4] = count, gram[2], response
                elif count > gram[3]:
                    gram[3] = count
            numbers[t] = number
    return kinds


@_compiled
def _scan_groups(tokens, offsets, groups, orders, matches, different):  # type: ignore[no-untyped-def]
    """Fill `matches` and `different` (see `_scan`) for the responses of `groups`."""
    room = np.int64(1)
    for group in range(len(groups) - 1):
        room = max(room, offsets[groups[group + 1]] - offsets[groups[group]])
    bits = 1
    while 1 << bits < 2 * room:  # at most half full
        bits += 1
    slots, grams = np.empty(1 << bits, np.int32), np.empty((room, 8), np.int32)
    heads, tails, numbers = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    for group in range(len(groups) - 1):
        first, begin = groups[group], offsets[groups[group]]
        starts = offsets[first : groups[group + 1] + 1] - begin
        for t in range(starts[-1]):
            heads[t], tails[t] = 0, tokens[begin + t]
        for order in range(1, orders + 1):
            kinds = _number(heads, tails, starts, order, bits, slots, grams, numbers)
            different[group, order - 1] = kinds
            for response in range(len(starts) - 1):
                matches[first + response, order - 1] = max(0, starts[response + 1] - starts[response] - order + 1)
            for number in range(kinds):
                gram = grams[number]
                matches[first + gram[4], order - 1] -= gram[2] - gram[3]
            heads, numbers = numbers, heads


@_compiled
def _bleu_of_groups(tokens, offsets, groups, matches, copies, bleu):  # type: ignore[no-untyped-def]
    """Fill `bleu` (R,) from the matches of each response; see `self_bleu_123`."""
    for group in range(len(groups) - 1):
        first, end = groups[group], groups[group + 1]
        for response in range(first, end):
            if end - first == 1:
                bleu[response] = math.nan
                continue
            length = offsets[response + 1] - offsets[response]
            if copies and length < 3 and _has_copy(tokens, offsets, first, end, response):
                bleu[response] = 1.0
            else:
                closest = _closest_length(offsets, first, end, response)
                bleu[response] = _bleu(length, closest, matches[response])


@_compiled
def _bleu(length, closest, matches):  # type: ignore[no-untyped-def]
    """nltk's BLEU from a response's length, the closest reference length and the matches of each order."""
    if matches[0] == 0:
        return 0.0
    total = 0.0
    for order in range(1, MAX_ORDER + 1):
        grams = max(1, length - order + 1)
        matched = matches[order - 1]
        total += math.log(matched / grams if matched > 0 else EPSILON / grams) / MAX_ORDER
    penalty = 1.0 if length > closest else math.exp(1.0 - closest / length)
    return penalty * math.exp(total)


@_compiled
def _closest_length(offsets, first, end, response):  # type: ignore[no-untyped-def]
    """The length among the others' that is nearest to the response's; of two equally near the shorter (nltk)."""
    length = offsets[response + 1] - offsets[response]
    closest = -1
    for other in range(first, end):
        candidate = offsets[other + 1] - offsets[other]
        gap, best = abs(candidate - length), abs(closest - length)
        if other != response and (closest < 0 or gap < best or (gap == best and candidate < closest)):
            closest = candidate
    return closest


@_compiled
def _has_copy(tokens, offsets, first, end, response):  # type: ignore[no-untyped-def]
    """Whether another response of the group has the same tokens."""
    begin, length = offsets[response], offsets[response + 1] - offsets[response]
    for other in range(first, end):
        if other != response and offsets[other + 1] - offsets[other] == length:
            equal = True
            for t in range(length):
                equal = equal and tokens[offsets[other] + t] == tokens[begin + t]
            if equal:
                return True
    return False
