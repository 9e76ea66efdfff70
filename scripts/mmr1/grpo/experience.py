"""What a step learns from: schedule entries, their groups of judged rollouts, and the tables these are stored in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.grpo.judging import Judged
from mmr1.grpo.settings import ALWAYS, GRPOSettings
from mmr1.plugins import Weighted
from mmr1.plumbing.errors import UserError
from mmr1.rollout.requests import Rollout


@dataclass(frozen=True)
class Entry:
    """One slot of a step of the schedule: its problem, and why it was chosen (columns of SCHEDULE)."""

    slot: int
    problem: Problem
    origin: str = ""
    ovs: float | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Group:
    """An entry's rollouts with their verdicts."""

    entry: Entry
    rollouts: list[Rollout]
    judged: list[Judged]

    def rewards(self, settings: GRPOSettings) -> list[float]:
        """The weighted sum of the run's rewards, one per rollout."""
        return [one.total(settings.rewards) for one in self.judged]


def read_schedule(path: Path, problems: dict[str, Problem]) -> dict[int, list[Entry]]:
    """Step to entries in the order of slots. Raises UserError for an unknown problem, a missing step or slot."""
    table = contracts.read(path, contracts.SCHEDULE)
    schedule: dict[int, list[Entry]] = {}
    columns = (table.column(name).to_pylist() for name in table.column_names)
    for row, (step, slot, problem_id, *why) in enumerate(zip(*columns, strict=True)):
        if problem_id not in problems:
            raise UserError(f"{path}: row {row}: problem_id: expected the id of a problem, found {problem_id!r}")
        schedule.setdefault(step, []).append(Entry(slot, problems[problem_id], *why))
    if not schedule:
        raise UserError(f"{path}: expected at least one step, found none")
    for step in range(min(schedule), max(schedule) + 1):
        entries = schedule.get(step, [])
        entries.sort(key=lambda entry: entry.slot)
        if not entries or [entry.slot for entry in entries] != list(range(len(entries))):
            raise UserError(f"{path}: step {step}: expected slots 0, 1, 2, …, found {[e.slot for e in entries][:5]}")
    return dict(sorted(schedule.items()))


def schedule_table(entries: Sequence[Entry], step: int) -> pa.Table:
    """The entries of a step with the columns of SCHEDULE."""
    rows = [
        {
            "step": step,
            "slot": entry.slot,
            "problem_id": entry.problem.id,
            "origin": entry.origin,
            "ovs": entry.ovs,
            "weight": entry.weight,
        }
        for entry in entries
    ]
    return pa.Table.from_pylist(rows, schema=contracts.SCHEDULE)


def rollouts_table(groups: Sequence[Group], step: int) -> pa.Table:
    """The groups' rollouts with the columns of TRAINING_ROLLOUTS, in the order of slot and rollout."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    slots = [group.entry.slot for group in groups for _ in group.rollouts]
    offsets = np.concatenate([[0], np.cumsum([len(one.token_ids) for one in rollouts])])
    tokens = np.concatenate([one.token_ids for one in rollouts]).astype(np.int32)
    columns = {
        "problem_id": [one.problem_id for one in rollouts],
        "rollout": [one.rollout for one in rollouts],
        "seed": [one.seed for one in rollouts],
        "token_ids": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(tokens)),
        "text": [one.text for one in rollouts],
        "finish_reason": [one.finish_reason for one in rollouts],
        "logprob": [float(one.logprobs.mean()) for one in rollouts],
        "step": [step] * len(rollouts),
        "slot": slots,
    }
    return pa.table(columns, schema=contracts.TRAINING_ROLLOUTS)


def rewards_schema(rewards: Mapping[str, Weighted]) -> pa.Schema:
    """TRAINING_REWARDS, and behind it the column of each further reward of a run, with its text columns."""
    schema = contracts.TRAINING_REWARDS
    for name, chosen in rewards.items():
        if name not in ALWAYS:
            schema = schema.append(pa.field(name, pa.float64(), nullable=False))
            for column in getattr(chosen.module, "COLUMNS", ()):
                schema = schema.append(pa.field(column, pa.string()))
    return schema


def rewards_table(groups: Sequence[Group], step: int, schema: pa.Schema) -> pa.Table:
    """What the groups' rollouts earned, with the columns of `rewards_schema`, in the same order."""
    rows = [
        {
            "problem_id": group.entry.problem.id,
            "rollout": rollout.rollout,
            "step": step,
            "slot": group.entry.slot,
            **judged.rewards,
            **judged.texts,
        }
        for group in groups
        for rollout, judged in zip(group.rollouts, group.judged, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=schema)
