"""Rollouts tables read as groups: all responses of a problem (of a slot, in training), a few MiB at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Ints

# What makes two consecutive rollouts members of one group; the last two only in training rollouts.
KEY = ("problem_id", "step", "slot")

CHUNK_TOKENS = 4 * 2**20  # held at once, about, with as many bytes of tokens and perhaps of text as this times 4


@dataclass(frozen=True)
class Groups:
    """Whole groups that stand together in a rollouts file.

    `table` holds their rows, of which the first is row `row` of the file `path`; `bounds` int64 (G + 1,) says where
    in `table` each group begins and ends.
    """

    path: Path
    row: int
    table: pa.Table
    bounds: Ints

    @property
    def problem_ids(self) -> list[str]:
        """The problem of each group (G,)."""
        return self.table.column("problem_id").take(pa.array(self.bounds[:-1])).to_pylist()

    @property
    def steps(self) -> Ints | None:
        """The step that each group was trained on at, int64 (G,); None for rollouts made for scores."""
        if "step" not in self.table.column_names:
            return None
        return self.table.column("step").to_numpy()[self.bounds[:-1]].astype(np.int64)

    @property
    def tokens(self) -> tuple[Ints, Ints]:
        """Tokens int32 (T,) and offsets (R + 1,) of all responses, as `mmr1.vas.bleu` takes them; no copy."""
        lists = self.table.column("token_ids").combine_chunks()
        if lists.values.null_count:
            raise UserError(f"{self.path}: token_ids: expected int32 values, found null")
        return lists.values.to_numpy(), lists.offsets.to_numpy()


def is_training(path: str | Path) -> bool:
    """Whether a rollouts (or rewards) file says at which step and slot its rows were trained on."""
    return {"step", "slot"} <= set(contracts.open_parquet(path, pa.schema([])).schema_arrow.names)


def count_rows(path: str | Path) -> int:
    """The rows of a Parquet file."""
    return contracts.open_parquet(path, pa.schema([])).metadata.num_rows


def iter_groups(path: str | Path, *, text: bool) -> Iterator[Groups]:
    """The groups of a rollouts file in its order, in chunks of about `CHUNK_TOKENS`; with the texts if `text`.

    A group is a run of rows with the same problem (and step and slot). Raises UserError for what breaks the contract
    of a rollouts table, and for a rollout index that occurs twice in a group.
    """
    schema = contracts.TRAINING_ROLLOUTS if is_training(path) else contracts.ROLLOUTS
    names = [*KEY, "rollout", "token_ids"] + ["text"] * text
    schema = pa.schema([field for field in schema if field.name in names])
    rest, row = schema.empty_table(), 0
    for batch in contracts.iter_batches(path, schema, _rows_at_once(path)):
        table = pa.concat_tables([rest, batch]).combine_chunks()
        starts = _starts(table)
        whole = int(starts[-1])  # the last group may go on in the next batch
        if whole:
            yield _checked(Groups(Path(path), row, table.slice(0, whole), starts))
        rest, row = table.slice(whole), row + whole
    if len(rest):
        yield _checked(Groups(Path(path), row, rest.combine_chunks(), np.array([0, len(rest)])))


def _rows_at_once(path: str | Path) -> int:
    metadata = contracts.open_parquet(path, pa.schema([])).metadata
    tokens = 0
    for number in range(metadata.num_row_groups):
        row_group = metadata.row_group(number)
        columns = [row_group.column(index) for index in range(row_group.num_columns)]
        tokens += sum(column.num_values for column in columns if column.path_in_schema.startswith("token_ids"))
    return max(1, min(65536, CHUNK_TOKENS * metadata.num_rows // max(1, tokens)))


def _starts(table: pa.Table) -> Ints:
    """Where groups begin in a table that is not empty."""
    new = np.zeros(len(table), bool)
    new[0] = True
    for name in KEY:
        if name in table.column_names:
            column = table.column(name)
            new[1:] |= pc.not_equal(column.slice(1), column.slice(0, len(table) - 1)).to_numpy()
    return np.flatnonzero(new)


def _checked(groups: Groups) -> Groups:
    rollouts = groups.table.column("rollout").to_numpy().astype(np.int64)
    group = np.repeat(np.arange(len(groups.bounds) - 1), np.diff(groups.bounds))
    order = np.lexsort((rollouts, group))
    twice = (np.diff(rollouts[order]) == 0) & (np.diff(group[order]) == 0)
    if twice.any():
        row = int(order[1:][twice][0])
        problem = groups.table.column("problem_id")[row].as_py()
        raise UserError(
            f"{groups.path}: row {groups.row + row}: rollout: {rollouts[row]} occurs twice in the group of {problem!r}"
        )
    return groups
