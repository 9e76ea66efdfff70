"""The schedule of a round: which problem is trained at which step, as a table of what a sampler chose."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.vas.samplers import Choice, ProblemSampler


def draw_schedule(
    sampler: ProblemSampler, ids: Sequence[str], steps: range, observed: Mapping[int, pa.Table] | None = None
) -> pa.Table:
    """The schedule of the absolute `steps`, with the columns of `contracts.SCHEDULE`, ordered by step and slot.

    `ids` (M,): the set. `observed`: the training rewards of each of the steps, for a sampler that observes.
    """
    parts = []
    for step in steps:
        parts.append(_rows(step, sampler.choose(step), ids))
        if observed is not None:
            sampler.observe(step, observed[step])
    return pa.concat_tables(parts).combine_chunks()


def _rows(step: int, choice: Choice, ids: Sequence[str]) -> pa.Table:
    """A step of the schedule."""
    slots = len(choice.problems)
    nothing = pa.nulls(slots, pa.float64())
    columns = [
        np.full(slots, step, np.int32),
        np.arange(slots, dtype=np.int32),
        pa.array([ids[problem] for problem in choice.problems.tolist()], pa.string()),
        pa.array(choice.origin, pa.string()),
        nothing if choice.ovs is None else choice.ovs,
        nothing if choice.weight is None else choice.weight,
    ]
    return pa.table(columns, schema=contracts.SCHEDULE)
