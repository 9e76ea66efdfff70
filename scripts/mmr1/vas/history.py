"""Training rewards read as groups: what samplers observe, and what predictions are held against."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts

# Of a training rewards file, what is read.
REWARDS = pa.schema([contracts.TRAINING_REWARDS.field(name) for name in ("problem_id", "step", "slot", "accuracy")])


def groups_of(rewards: pa.Table) -> pa.Table:
    """One row per group, by step and slot: step, slot, problem_id, pass_rate, right (responses) and n (of so many)."""
    keys = ["step", "slot", "problem_id"]
    aggregates = [("accuracy", "mean"), ("accuracy", "sum"), ("accuracy", "count")]
    groups = rewards.group_by(keys, use_threads=False).aggregate(aggregates)
    named = groups.rename_columns({"accuracy_mean": "pass_rate", "accuracy_sum": "right", "accuracy_count": "n"})
    return named.select([*keys, "pass_rate", "right", "n"]).sort_by([(key, "ascending") for key in keys])


def iter_steps(paths: Sequence[Path]) -> Iterator[tuple[int, pa.Table]]:
    """The steps of training rewards files in order, and the rewards of each."""
    if not paths:
        return
    rewards = pa.concat_tables([contracts.read(path, REWARDS) for path in paths])
    steps = rewards["step"].to_numpy()
    for step in np.unique(steps).tolist():
        yield step, rewards.filter(pa.array(steps == step))
