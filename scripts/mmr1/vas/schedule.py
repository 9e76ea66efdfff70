"""The schedule of a round (Algorithm 1): which problem is trained on at which step, as a table drawn from the scores.

At each step ⌊λB⌋ problems are drawn with replacement with probability VPS / sum of VPS, the other B - ⌊λB⌋ uniformly.
Every step has a generator of its own, so steps 0-69 drawn at once under fixed scores are steps 0-34 and 35-69.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.seeds import generator
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.settings import DrawSettings


def weighted_slots(mix: float, batch_size: int) -> int:
    """⌊λB⌋: how many of a batch are drawn by VPS. λ counts as it is written in decimals: 0.29 of 100 is 29."""
    return int(Fraction(repr(mix)) * batch_size)


def draw_schedule(
    settings: DrawSettings,
    ids: Sequence[str],
    steps: range,
    seed: int,
    ovs: Floats | None = None,
    vps: Floats | None = None,
) -> pa.Table:
    """The schedule of a round, with the columns of `contracts.SCHEDULE`, ordered by step and slot.

    `ids` (M,) in the order of the problems file; `steps` absolute; `ovs` and `vps` float64 (M,) in the order of `ids`,
    needed unless λ = 0. If all VPS are 0 the weighted part is uniform too: see `weights`. A pure function of its
    arguments. Raises UserError for a batch larger than the set, and for λ > 0 without scores.
    """
    if settings.batch_size > len(ids):
        raise UserError(f"batch_size: expected at most the {len(ids)} problems of the set, found {settings.batch_size}")
    weight = None
    if settings.mix > 0:
        if vps is None or ovs is None:
            raise UserError(f"mix {settings.mix}: expected scores (none are needed for mix 0 only)")
        weight = weights(vps)
    batches = [
        _draw_batch(settings, len(ids), weight, seed, step, extra)
        for step in steps
        for extra in range(settings.queue_factor)
    ]
    where = np.concatenate([batch[0] for batch in batches])
    origin = np.concatenate([batch[1] for batch in batches])
    slots = settings.batch_size * settings.queue_factor
    nothing = pa.nulls(len(where), pa.float64())
    columns = [
        np.repeat(np.array(steps, dtype=np.int32), slots),
        np.tile(np.arange(slots, dtype=np.int32), len(steps)),
        pa.array(list(ids), pa.string()).take(pa.array(where)),
        pa.array(["uniform", "weighted"]).take(pa.array(origin)),
        nothing if weight is None else np.asarray(ovs)[where],
        nothing if weight is None else weight[where],
    ]
    return pa.table(columns, schema=contracts.SCHEDULE)


def weights(vps: Floats) -> Floats:
    """VPS over its sum, (M,); 1/M each if all are 0 (no problem promises variance: none is preferred).

    Sums run from first to last, so that the same scores make the same bits on any machine.
    """
    total = np.cumsum(vps)[-1]
    return vps / total if total > 0 else np.full(len(vps), 1 / len(vps))


def _draw_batch(
    settings: DrawSettings, size: int, weight: Floats | None, seed: int, step: int, extra: int
) -> tuple[Ints, Ints]:
    """The problems (B,) of one batch as positions in the set, and for each 1 if it was drawn by weight."""
    draw = generator(seed, "schedule", step, *([extra] if extra else []))
    weighted = weighted_slots(settings.mix, settings.batch_size)
    uniform = settings.batch_size - weighted
    chosen = np.empty(settings.batch_size, np.int64)
    if weighted and weight is not None:
        chosen[:weighted] = _by_weight(weight, draw.random(weighted))
    if settings.draws == "iid":
        chosen[weighted:] = draw.integers(size, size=uniform)
    else:
        first = (step * settings.queue_factor + extra) * uniform
        chosen[weighted:] = _from_permutations(seed, size, first, uniform)
    # Shuffled, or the trainer's mini-batches, which are consecutive slots, would be all weighted or all uniform.
    order = draw.permutation(settings.batch_size)
    return chosen[order], (np.arange(settings.batch_size) < weighted)[order].astype(np.int64)


def _by_weight(weight: Floats, points: Floats) -> Ints:
    """For each point in [0, 1) the problem on whose share of the cumulated weights it falls."""
    ends = np.cumsum(weight)
    # A point that rounds up to the very end belongs to the last problem that has weight.
    return np.minimum(np.searchsorted(ends, points * ends[-1], side="right"), np.flatnonzero(weight)[-1])


def _from_permutations(seed: int, size: int, first: int, count: int) -> Ints:
    """Elements `first` to `first + count - 1` of seeded permutations of 0..size-1, laid end to end."""
    positions = np.arange(first, first + count)
    chosen = np.empty(count, np.int64)
    for number in np.unique(positions // size).tolist():
        permutation = generator(seed, "schedule permutation", number).permutation(size)
        inside = positions // size == number
        chosen[inside] = permutation[positions[inside] % size]
    return chosen
