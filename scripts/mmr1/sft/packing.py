"""Which conversations run at the same time, so that ranks seldom wait for the longest: full rows, or equal lengths.

The lengths of long chains of thought differ by orders of magnitude. Under ZeRO-3 ranks meet in every layer, so that a
forward pass takes as long as its longest row on any rank: with one conversation a row, most of the time is waiting.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from mmr1 import seeds

# Conversations that are packed together, drawn at random. Enough to fill rows, few enough that a row's neighbours in
# length do not all come from the same end of the whole set.
WINDOW = 4096
# Batches that are sorted by length together.
BATCHES = 64


def pack(lengths: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Rows of at most `budget` tokens, as lists of indices into `lengths`; each conversation is in one.

    Best fit, longest first (Johnson 1974), within windows of `WINDOW` conversations drawn at random. Every length must
    be at most `budget`.
    """
    order = seeds.generator(seed, "sft rows").permutation(len(lengths))
    rows = []
    for start in range(0, len(order), WINDOW):
        rows += _best_fit(order[start : start + WINDOW].tolist(), lengths, budget)
    return rows


def _best_fit(members: list[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (room, row), by room
    for member in sorted(members, key=lambda member: -lengths[member]):
        length = lengths[member]
        place = bisect_left(free, (length, 0))
        if place == len(free):
            room, row = budget, len(rows)
            rows.append([])
        else:
            room, row = free.pop(place)
        rows[row].append(member)
        insort(free, (room - length, row))
    return rows


class EqualLengths(Sampler[int]):
    """The order of an epoch in which each batch holds conversations of nearly the same length.

    `BATCHES` batches of a random order are sorted by length together, and the batches that this makes are drawn at
    random; a last one that is not full stays last. Epochs differ, and an epoch's order follows from the seed and its
    number.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = seeds.generator(self.seed, "sft order", self.epoch)
        order = random.permutation(len(self.lengths))
        window, size = BATCHES * self.batch_size, self.batch_size
        batches = []
        for start in range(0, len(order), window):
            members = order[start : start + window]
            members = members[np.argsort(-self.lengths[members], kind="stable")]
            batches += [members[first : first + size] for first in range(0, len(members), size)]
        full = [batch for batch in batches if len(batch) == size]
        for index in random.permutation(len(full)):
            yield from full[index].tolist()
        for batch in batches:
            if len(batch) < size:
                yield from batch.tolist()
