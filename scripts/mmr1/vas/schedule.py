"""The schedule of a round (Algorithm 1): which problem is trained on at which step, as a table drawn from the scores.

At each step ⌊λB⌋ problems are drawn with replacement with probability VPS / sum of VPS, the other B - ⌊λB⌋ uniformly.
Every step has a generator of its own, so steps 0-69 drawn at once under fixed scores are steps 0-34 and 35-69.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.seeds import generator
from mmr1.vas.arrays import Floats, Ints

DRAWS = ("iid", "permutation")


@dataclass(frozen=True)
class Plan:
    """What is drawn, whatever the scores are.

    `mix` λ as it was written ("0.29"), so that ⌊λB⌋ is exact. `batch_size` B problems a step.
    `longer` K batches are listed for every step, for a trainer that skips groups (DAPO's filter); the first B slots are
    those of K = 1 (with `draws="iid"`). `draws` of the uniform part: "iid" with replacement, or "permutation":
    one seeded permutation of the set after another, so that every problem comes once before any comes again.
    Raises UserError for a value out of range.
    """

    mix: str
    batch_size: int
    first_step: int
    steps: int
    seed: int
    draws: str = "iid"
    longer: int = 1

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("first_step", 0), ("steps", 1), ("longer", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name}: expected at least {least}, found {getattr(self, name)}")
        if self.draws not in DRAWS:
            raise UserError(f"draws: expected one of {', '.join(DRAWS)}, found {self.draws!r}")
        parse_mix(self.mix)

    @property
    def weighted(self) -> int:
        """⌊λB⌋: how many of a batch are drawn by VPS."""
        return int(parse_mix(self.mix) * self.batch_size)


def parse_mix(mix: str) -> Fraction:
    """λ exactly as it was written in decimals; UserError if it is not a number in [0, 1]."""
    try:
        value = Decimal(mix)
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= 1):
        raise UserError(f"mix: expected a number in [0, 1], found {mix!r}")
    return Fraction(value)


def draw_schedule(plan: Plan, ids: Sequence[str], ovs: Floats | None = None, vps: Floats | None = None) -> pa.Table:
    """The schedule of a round, with the columns of `contracts.SCHEDULE`, ordered by step and slot.

    `ids` (M,) in the order of the problems file; `ovs` and `vps` float64 (M,) in that order, needed unless λ = 0. If
    all VPS are 0 the weighted part is uniform too: see `weights`. A pure function of its arguments. Raises UserError
    for a batch larger than the set, and for λ > 0 without scores.
    """
    if plan.batch_size > len(ids):
        raise UserError(f"batch_size: expected at most the {len(ids)} problems of the set, found {plan.batch_size}")
    weight = None
    if parse_mix(plan.mix) > 0:
        if vps is None or ovs is None:
            raise UserError(f"mix {plan.mix}: expected scores (none are needed for mix 0 only)")
        weight = weights(vps)
    batches = [
        _draw_batch(plan, len(ids), weight, step, extra)
        for step in range(plan.first_step, plan.first_step + plan.steps)
        for extra in range(plan.longer)
    ]
    where = np.concatenate([batch[0] for batch in batches])
    origin = np.concatenate([batch[1] for batch in batches])
    slots = plan.batch_size * plan.longer
    nothing = pa.nulls(len(where), pa.float64())
    columns = [
        np.repeat(np.arange(plan.first_step, plan.first_step + plan.steps, dtype=np.int32), slots),
        np.tile(np.arange(slots, dtype=np.int32), plan.steps),
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


def _draw_batch(plan: Plan, size: int, weight: Floats | None, step: int, extra: int) -> tuple[Ints, Ints]:
    """The problems (B,) of one batch as positions in the set, and for each 1 if it was drawn by weight."""
    draw = generator(plan.seed, "schedule", step, *([extra] if extra else []))
    weighted, uniform = plan.weighted, plan.batch_size - plan.weighted
    chosen = np.empty(plan.batch_size, np.int64)
    if weighted and weight is not None:
        chosen[:weighted] = _by_weight(weight, draw.random(weighted))
    if plan.draws == "iid":
        chosen[weighted:] = draw.integers(size, size=uniform)
    else:
        first = (step * plan.longer + extra) * uniform
        chosen[weighted:] = _from_permutations(plan.seed, size, first, uniform)
    # Shuffled, or the trainer's mini-batches, which are consecutive slots, would be all weighted or all uniform.
    order = draw.permutation(plan.batch_size)
    return chosen[order], (np.arange(plan.batch_size) < weighted)[order].astype(np.int64)


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
