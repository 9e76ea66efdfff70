"""What is kept of a block: a JSON file and two tables, small enough to be committed, and enough for every verdict.

`main-seed0.json` has what a training has once: its settings, rollouts, validation curve, groups by origin, how its
scores moved, and the names of its records. `main-seed0.items.parquet` has a row per test problem (`problem`, `task`,
`count`, `n` responses) and a column per arm: how many were right. `main-seed0.steps.parquet` has a row per arm and
step.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic
from mmr1.plumbing.settings import read_settings
from mmr1.study.blocks import Block, Group

Floats = NDArray[np.float64]

# Of metrics.jsonl, what is kept of every step.
STEP_METRICS = ("gradient_norm", "clip_fraction", "zero_variance_share", "reward_accuracy", "entropy", "kl")
STEPS = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        *(pa.field(name, pa.float32()) for name in STEP_METRICS),
    ]
)
ITEMS = pa.schema(
    [
        pa.field("problem", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("count", pa.int32(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
    ]
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """One training. Counts are of rollouts or groups.

    `passes`: the step before which scores were made, and the rollouts for them. `validation`: step, rollouts that were
    spent until then, passes included, accuracy in [0, 1]. `weighted`, `uniform`: varying and all groups of these draws.
    `moves`: of each two rounds in order, the corrected correlation of p(1-p) (`mmr1.study.moves`), None where there are
    not enough responses. `histograms`: problems by VPS, a round each. `records`: a record's name by its place.
    """

    settings: dict[str, float | int | str]
    training_rollouts: int
    pass_rollouts: int
    passes: list[tuple[int, int]]
    validation: list[tuple[int, int, float]]
    weighted: tuple[float, int]
    uniform: tuple[float, int]
    effective_share: float | None
    moves: list[float | None]
    histograms: list[list[int]]
    training_seconds: float
    pass_seconds: float
    records: dict[str, str]

    @property
    def rollouts(self) -> int:
        """In all."""
        return self.training_rollouts + self.pass_rollouts

    @property
    def groups(self) -> float:
        """Varying groups that were drawn in all."""
        return self.weighted[0] + self.uniform[0]


class Summary(_Strict):
    """The JSON file of a block.

    `sft` is the sha256 of the list of the checkpoint's files that its arms start from: equal weights have the same,
    whatever code made them; `test` is the sha256 of the test problems, `commit` that of the code.
    """

    group: Group
    seed: int
    sft: str
    test: str
    commit: str
    arms: dict[str, Arm]


@dataclass(frozen=True)
class Items:
    """The test problems of a block: `problems`, `tasks`, `counts` [P], `n` int [P], and `right[arm]` int [P]."""

    problems: list[str]
    tasks: list[str]
    counts: list[int]
    n: NDArray[np.int64]
    right: Mapping[str, NDArray[np.int64]]

    def rates(self, arm: str) -> Floats:
        """The pass rate of every problem, float64 [P]."""
        return np.asarray(self.right[arm] / self.n, dtype=np.float64)


@dataclass(frozen=True)
class Kept:
    """All that is kept of one block: `steps[arm][metric]` float64 [S], NaN where a step has no value."""

    summary: Summary
    items: Items
    steps: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)


def path_of(folder: Path, block: Block | str) -> Path:
    """The JSON file of a block: it is written last, and says that the block is done."""
    return folder / f"{block}.json"


def merged(kept: Kept | None, more: Kept, arms: Sequence[str]) -> Kept:
    """A block with arms that were trained later, in the order of `arms`; their commit is that of the later ones.

    Raises UserError unless all start from one checkpoint and answered the same problems.
    """
    if kept is None:
        return more
    name = f"{more.summary.group}-seed{more.summary.seed}"
    for what in ("sft", "test"):
        before, now = getattr(kept.summary, what), getattr(more.summary, what)
        if before != now:
            raise UserError(f"{name}: {what}: expected {before}, as the arms that are kept have, found {now}")
    of_arms = kept.summary.arms | more.summary.arms
    right, steps = {**kept.items.right, **more.items.right}, {**kept.steps, **more.steps}
    ordered = [arm for arm in dict.fromkeys([*arms, *of_arms]) if arm in of_arms]
    return Kept(
        more.summary.model_copy(update={"arms": {arm: of_arms[arm] for arm in ordered}}),
        replace(more.items, right={arm: right[arm] for arm in ordered}),
        {arm: steps[arm] for arm in ordered},
    )


def read_block(folder: Path, block: Block | str) -> Kept | None:
    """A block, if it lies in a folder. Raises UserError naming file and field of a broken one."""
    path = path_of(folder, block)
    if not path.exists():
        return None
    summary = read_settings(path, Summary)
    items = _items(path.with_suffix(".items.parquet"), list(summary.arms))
    return Kept(summary, items, _steps(path.with_suffix(".steps.parquet"), list(summary.arms)))


def read_all(folder: Path) -> list[Kept]:
    """Every block that lies in a folder, main seeds first. Raises UserError naming file and field of a broken one."""
    return list(_blocks(folder))


def _blocks(folder: Path) -> Iterator[Kept]:
    main_first = sorted(folder.glob("*-seed*.json"), key=lambda one: (not one.stem.startswith("main"), _seed(one)))
    for path in main_first:
        if (block := read_block(folder, path.stem)) is not None:
            yield block


def write(folder: Path, kept: Kept) -> None:
    """Write a block: its tables, then its summary."""
    name = f"{kept.summary.group}-seed{kept.summary.seed}"
    items, arms = kept.items, list(kept.summary.arms)
    columns = {"problem": items.problems, "task": items.tasks, "count": items.counts, "n": items.n.tolist()}
    rights = {arm: items.right[arm].tolist() for arm in arms}
    schema = pa.schema([*ITEMS, *(pa.field(arm, pa.int32(), nullable=False) for arm in arms)])
    rows = [
        dict(zip([*columns, *rights], row, strict=True))
        for row in zip(*columns.values(), *rights.values(), strict=True)
    ]
    contracts.write(folder / f"{name}.items.parquet", rows, schema)
    contracts.write(folder / f"{name}.steps.parquet", list(_step_rows(kept)), STEPS)
    with atomic(path_of(folder, name)) as path:
        path.write_text(json.dumps(kept.summary.model_dump(mode="json"), indent=1) + "\n")


def _step_rows(kept: Kept) -> Iterator[dict[str, object]]:
    for arm, metrics in kept.steps.items():
        for step in range(len(next(iter(metrics.values())))):
            values = {name: None if np.isnan(of[step]) else float(f"{of[step]:.4g}") for name, of in metrics.items()}
            yield {"arm": arm, "step": step, **values}


def _items(path: Path, arms: list[str]) -> Items:
    schema = pa.schema([*ITEMS, *(pa.field(arm, pa.int32(), nullable=False) for arm in arms)])
    table = contracts.read(path, schema)
    right = {arm: table[arm].to_numpy().astype(np.int64) for arm in arms}
    n = table["n"].to_numpy().astype(np.int64)
    if any((of < 0).any() or (of > n).any() for of in right.values()):
        raise UserError(f"{path}: expected at most n responses right, found more")
    return Items(table["problem"].to_pylist(), table["task"].to_pylist(), table["count"].to_pylist(), n, right)


def _steps(path: Path, arms: list[str]) -> dict[str, dict[str, Floats]]:
    table = contracts.read(path, STEPS)
    of_arm = np.array(table["arm"].to_pylist())
    values = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in STEP_METRICS}
    return {arm: {name: of[of_arm == arm] for name, of in values.items()} for arm in arms}


def _seed(path: Path) -> int:
    digits = path.stem.rpartition("-seed")[2]
    if not digits.isdigit():
        raise UserError(f"{path}: expected GROUP-seedNUMBER.json, found another name")
    return int(digits)
