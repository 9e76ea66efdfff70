"""All verdicts about a set so far, of training and of passes for scores, as groups."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.history import REWARDS


@dataclass(frozen=True)
class Evidence:
    """Groups by step, all arrays (G,): `problem` is the position in the set, `right` of `n` responses are right."""

    step: Ints
    problem: Ints
    right: Floats
    n: Ints

    def by_step(self) -> Iterator[tuple[int, "Evidence"]]:
        """The groups of each step, in order."""
        for step in np.unique(self.step).tolist():
            yield step, self.of(self.step == step)

    def of(self, chosen: NDArray[np.bool_]) -> "Evidence":
        """Some of the groups."""
        return Evidence(self.step[chosen], self.problem[chosen], self.right[chosen], self.n[chosen])


def add_history_arguments(parser: argparse.ArgumentParser) -> None:
    """What a refresh that follows pass rates takes of the rounds before."""
    parser.add_argument(
        "--training-rewards", type=Path, nargs="+", default=[], help="training rewards of all steps so far"
    )
    parser.add_argument(
        "--pass-rewards", type=Path, nargs="+", default=[], help="rewards of all passes for scores so far"
    )
    parser.add_argument("--pass-steps", type=int, nargs="+", default=[], metavar="T", help="the step before each pass")


def passes_of(args: argparse.Namespace) -> dict[int, Path]:
    """The rewards of the passes by their steps. Raises UserError unless there are as many of both."""
    if len(args.pass_steps) != len(args.pass_rewards):
        raise UserError(f"--pass-steps: expected {len(args.pass_rewards)}, one a file, found {len(args.pass_steps)}")
    return dict(zip(args.pass_steps, args.pass_rewards, strict=True))


def evidence_of(
    ids: Sequence[str], training: Sequence[Path], passes: Mapping[int, Path], now: Evidence | None = None
) -> Evidence:
    """All verdicts so far as groups: training rewards files, rewards of passes by their step, and what is known now."""
    columns = pa.schema([REWARDS.field(name) for name in ("problem_id", "accuracy")])
    tables = [contracts.read(path, REWARDS).select(REWARDS.names) for path in training]
    for step, path in passes.items():
        rows = contracts.read(path, columns)
        place = {name: np.full(len(rows), value, np.int32) for name, value in (("step", step), ("slot", -1))}
        tables.append(pa.table({name: rows[name] for name in columns.names} | place, schema=REWARDS))
    position = {name: index for index, name in enumerate(ids)}
    groups = [] if not tables else [_groups(pa.concat_tables(tables), position)]
    return joined([*groups, *([] if now is None else [now])])


def joined(parts: Sequence[Evidence]) -> Evidence:
    """The groups of all parts."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Evidence(nothing, nothing, np.zeros(0), nothing)
    step, problem, right, n = (
        np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Evidence)
    )
    return Evidence(step, problem, right, n)


def _groups(rewards: pa.Table, position: Mapping[str, int]) -> Evidence:
    """Verdicts as groups, by step and slot."""
    keys = ["step", "slot", "problem_id"]
    groups = rewards.group_by(keys, use_threads=False).aggregate([("accuracy", "sum"), ("accuracy", "count")])
    groups = groups.sort_by([(key, "ascending") for key in keys])
    problem = np.array([position[name] for name in groups["problem_id"].to_pylist()], np.int64)
    step, right, n = (groups[name].to_numpy() for name in ("step", "accuracy_sum", "accuracy_count"))
    return Evidence(step.astype(np.int64), problem, right, n)
