"""Draws that several samplers share. Every step has a generator of its own, so that no draw depends on another's."""

from typing import TYPE_CHECKING

import numpy as np

from mmr1.seeds import generator
from mmr1.vas.arrays import Floats, Ints

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings


def draw_step(
    settings: "DrawSettings", size: int, seed: int, step: int, weighted: int = 0, weight: Floats | None = None
) -> tuple[Ints, list[str]]:
    """The problems (slots,) of a step as positions in the set, `queue_factor` batches, and the origin of each.

    `weighted` of each batch are drawn with replacement in proportion to `weight` (M,), the others uniformly.
    """
    batches = [
        _draw_batch(settings, size, seed, step, extra, weighted, weight) for extra in range(settings.queue_factor)
    ]
    is_weighted = np.concatenate([batch[1] for batch in batches])
    return np.concatenate([batch[0] for batch in batches]), np.where(is_weighted, "weighted", "uniform").tolist()


def _draw_batch(
    settings: "DrawSettings", size: int, seed: int, step: int, extra: int, weighted: int, weight: Floats | None
) -> tuple[Ints, np.ndarray]:
    """The problems (B,) of one batch, and for each whether it was drawn by weight."""
    draw = generator(seed, "schedule", step, *([extra] if extra else []))
    uniform = settings.batch_size - weighted
    chosen = np.empty(settings.batch_size, np.int64)
    if weighted and weight is not None:
        chosen[:weighted] = by_weight(weight, draw.random(weighted))
    if settings.draws == "iid":
        chosen[weighted:] = draw.integers(size, size=uniform)
    else:
        first = (step * settings.queue_factor + extra) * uniform
        chosen[weighted:] = from_permutations(seed, size, first, uniform)
    # Shuffled, or the trainer's mini-batches, which are consecutive slots, would be all weighted or all uniform.
    order = draw.permutation(settings.batch_size)
    return chosen[order], (np.arange(settings.batch_size) < weighted)[order]


def by_weight(weight: Floats, points: Floats) -> Ints:
    """For each point in [0, 1) the problem on whose share of the cumulated weights it falls."""
    ends = np.cumsum(weight)
    # A point that rounds up to the very end belongs to the last problem that has weight.
    return np.minimum(np.searchsorted(ends, points * ends[-1], side="right"), np.flatnonzero(weight)[-1])


def from_permutations(seed: int, size: int, first: int, count: int) -> Ints:
    """Elements `first` to `first + count - 1` of seeded permutations of 0..size-1, laid end to end."""
    positions = np.arange(first, first + count)
    chosen = np.empty(count, np.int64)
    for number in np.unique(positions // size).tolist():
        permutation = generator(seed, "schedule permutation", number).permutation(size)
        inside = positions // size == number
        chosen[inside] = permutation[positions[inside] % size]
    return chosen
