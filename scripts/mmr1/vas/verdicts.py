"""Verdicts of rollouts, chunk by chunk: judged now and written to rewards.parquet, or read from stored ones."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.rewards.accuracy import judge
from mmr1.rewards.format import well_formed
from mmr1.rewards.verifier.verify import Verifier
from mmr1.vas.groups import KEY, Groups, is_training

# Takes the next chunk of rollouts and returns the accuracy, 0 or 1, of each of its rows: float64 (rows,).
Verdicts = Callable[[Groups], NDArray[np.float64]]


@contextmanager
def judged_now(
    golds: Mapping[str, str],
    rewards: str | Path,
    *,
    training: bool,
    workers: int,
    seconds: float,
    reasons: Counter[str],
) -> Iterator[Verdicts]:
    """Judge responses in `workers` processes and write all verdicts to `rewards` in the order they come.

    `seconds`: the time limit of one verdict. `reasons` counts what decided. `training`: keep step and slot.
    """
    schema = contracts.TRAINING_REWARDS if training else contracts.REWARDS
    with contracts.writer(rewards, schema) as file, Verifier(workers, seconds) as verifier:

        def verdicts(groups: Groups) -> NDArray[np.float64]:
            rows = groups.table
            names = rows.column("problem_id").to_pylist()
            texts = rows.column("text").to_pylist()
            judged = judge([golds[name] for name in names], texts, verifier)
            reasons.update(one.reason for one in judged)
            columns = {name: rows.column(name) for name in (*KEY, "rollout") if name in rows.column_names}
            columns["format"] = pa.array([float(well_formed(text)) for text in texts])
            for name in ("accuracy", "extracted", "reason"):
                columns[name] = pa.array([getattr(one, name) for one in judged], schema.field(name).type)
            file.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
            return np.array([one.accuracy for one in judged])

        yield verdicts


@contextmanager
def stored(paths: Sequence[Path], rewards: Path | None) -> Iterator[Verdicts]:
    """Take verdicts from rewards files, whose rows must be those of the rollouts, in the same order.

    At the end they are copied to `rewards`, if given, so that a round's rewards lie where they always do.
    Raises UserError at the first row that is another rollout's, at a verdict that is not 0 or 1, and at the end if
    verdicts are left over.
    """
    for path in paths:
        if is_training(path) != is_training(paths[0]):
            raise UserError(f"{path}: expected rewards with the columns of {paths[0]}: both or neither of training")
    whole = pa.concat_tables([_read(path) for path in paths])
    names = [name for name in whole.column_names if name != "accuracy"]
    position = 0

    def verdicts(groups: Groups) -> NDArray[np.float64]:
        nonlocal position
        count = len(groups.table)
        rows = whole.slice(position, count)
        same = np.ones(len(rows), bool)
        for name in names:
            if name not in groups.table.column_names:
                raise UserError(f"{groups.path}: expected training rollouts, with the {name} that {paths[0]} has")
            same &= pc.equal(rows.column(name), groups.table.column(name).slice(0, len(rows))).to_numpy()
        if len(rows) < count or not same.all():
            row = groups.row + (len(rows) if same.all() else int(np.flatnonzero(~same)[0]))
            raise UserError(
                f"{groups.path}: row {row}: expected its verdict in row {row - groups.row + position} of "
                f"{', '.join(map(str, paths))}, found {'the end' if same.all() else 'another rollout'}"
            )
        position += count
        return rows.column("accuracy").to_numpy()

    yield verdicts
    if position < len(whole):
        raise UserError(f"{paths[-1]}: expected {position} verdicts, as many as rollouts, found {len(whole)}")
    if rewards is not None:
        schema = _schema(paths[0])
        contracts.write(rewards, pa.concat_tables([contracts.read(path, schema) for path in paths]), schema)


def _schema(path: Path) -> pa.Schema:
    return contracts.TRAINING_REWARDS if is_training(path) else contracts.REWARDS


def _read(path: Path) -> pa.Table:
    kept = pa.schema([field for field in _schema(path) if field.name in (*KEY, "rollout", "accuracy")])
    table = contracts.read(path, kept)
    accuracy = table["accuracy"].to_numpy()
    if (wrong := (accuracy != 0) & (accuracy != 1)).any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(f"{path}: row {row}: accuracy: expected 0 or 1, found {accuracy[row]}")
    return table
