"""The tables between stages (docs/design.md §4): their columns, and readers that refuse what breaks the contract.

Every page of a table that is written here has a checksum, and every reader compares it: a damaged byte is an error in
one line, never another value. Nothing else of the package opens a Parquet file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic

PROBLEMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("images", pa.list_(pa.binary()), nullable=False),
        pa.field("choices", pa.list_(pa.string())),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("answer_type", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)

ROLLOUTS = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("rollout", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("token_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),  # "stop" or "length"
        pa.field("logprob", pa.float32(), nullable=False),  # mean over the response's tokens
    ]
)

# Rollouts that were trained on say when: the same columns, and the step and slot of the schedule.
TRAINING_ROLLOUTS = ROLLOUTS.append(pa.field("step", pa.int32(), nullable=False)).append(
    pa.field("slot", pa.int32(), nullable=False)
)

# One row per rollout, in the order of the rollouts they judge.
REWARDS = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("rollout", pa.int32(), nullable=False),
        pa.field("accuracy", pa.float64(), nullable=False),  # the verdict: 0 or 1
        pa.field("format", pa.float64(), nullable=False),  # 0 or 1
        pa.field("extracted", pa.string()),  # the answer as extracted; null if there was none
        pa.field("reason", pa.string(), nullable=False),  # which rule decided: see mmr1.rewards
    ]
)

TRAINING_REWARDS = REWARDS.append(pa.field("step", pa.int32(), nullable=False)).append(
    pa.field("slot", pa.int32(), nullable=False)
)

SCORES = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("pass_rate", pa.float64(), nullable=False),
        pa.field("ovs", pa.float64(), nullable=False),
        pa.field("tds", pa.float64(), nullable=False),
        pa.field("vps", pa.float64(), nullable=False),
    ]
)

SCHEDULE = pa.schema(
    [
        pa.field("step", pa.int32(), nullable=False),  # absolute
        pa.field("slot", pa.int32(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),  # "weighted", "uniform", or the name of a sampler
        pa.field("ovs", pa.float64()),  # predicted P(1-P); null where nothing is
        pa.field("weight", pa.float64()),  # this problem's VPS over the sum; null where mix = 0
    ]
)


Part = TypeVar("Part")

# What all tables are written with.
WRITING: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}

# Bytes. To read a row is to read its row group: one may be this large, and those that were read last are kept.
LARGEST_GROUP = 256 << 20
KEPT_GROUPS = 64 << 20


def open_parquet(path: str | Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a Parquet file after checking that it has the columns of `schema` (more are allowed).

    Raises UserError if the file is missing, is truncated, or lacks a column or has it in another type.
    """
    file = open_any(path)
    columns = file.schema_arrow
    for field in schema:
        index = columns.get_field_index(field.name)
        if index < 0:
            raise UserError(f"{path}: expected a column {field.name}, found {', '.join(columns.names)}")
        if not _compatible(columns.field(index).type, field.type):
            raise UserError(f"{path}: column {field.name}: expected {field.type}, found {columns.field(index).type}")
    return file


def open_any(path: str | Path) -> pq.ParquetFile:
    """Open a Parquet file of any columns; read it by `batches`. Raises UserError if it is missing or truncated."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file")
    with damage_named(path, "not a complete Parquet file"):
        # Read as it is needed: by default Arrow keeps all that it has read of a file, whole column chunks at a time.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20, page_checksum_verification=True)
        file.schema_arrow.names  # noqa: B018  # a damaged name is found out here
    return file


@contextmanager
def damage_named(path: str | Path, problem: str = "expected whole pages, found damage") -> Iterator[None]:
    """Turn what Arrow says of damaged bytes into a UserError of one line that begins with the file and the problem."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: {problem}: {str(error).splitlines()[0]}") from None


def batches(path: str | Path, file: pq.ParquetFile, rows: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The rows of an open file, at most `rows` at a time. Raises UserError for damaged bytes, or a missing column."""
    count = 0
    for batch in _undamaged(path, file.iter_batches(rows, columns=columns)):
        if missing := [name for name in columns or () if name not in batch.schema.names]:
            raise UserError(f"{path}: expected a column {missing[0]}, found {', '.join(batch.schema.names)}")
        count += len(batch)
        yield pa.Table.from_batches([batch])
    _check_rows(path, count, file.metadata.num_rows)


def read(path: str | Path, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` from a Parquet file, in that order and with those types; see `open_parquet` for errors.

    Also raises UserError for damaged bytes and, with the row, for a null in a column that may not hold one.
    """
    file = open_parquet(path, schema)
    with damage_named(path):
        table = file.read(columns=schema.names)
    _check_rows(path, len(table), file.metadata.num_rows)
    return _checked(path, 0, table, schema)


def iter_row_groups(path: str | Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Like `read`, one row group at a time, so that memory stays flat in the length of the table."""
    file = open_parquet(path, schema)
    first = 0
    groups = (file.read_row_group(group, columns=schema.names) for group in range(file.num_row_groups))
    for table in _undamaged(path, groups):
        yield _checked(path, first, table, schema)
        first += len(table)
    _check_rows(path, first, file.metadata.num_rows)


def iter_batches(path: str | Path, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Like `iter_row_groups`, at most `rows` rows at a time, however large the file's row groups are."""
    first = 0
    for table in batches(path, open_parquet(path, schema), rows, schema.names):
        yield _checked(path, first, table, schema)
        first += len(table)


class RowReader:
    """The rows of a Parquet file by their numbers, read when they are asked for, in memory that does not grow with it.

    A row costs the reading of its row group, a few milliseconds where groups are small. An Arrow copy (`datasets`)
    would read the row alone, but takes the file's size again on disk (hundreds of GB) and a pass over it before the
    first step, and ranks would have to wait for the one that writes it. Here no rank writes anything.
    """

    def __init__(self, path: str | Path, schema: pa.Schema) -> None:
        """Raises UserError as `open_parquet` does, and for a row group that is too large to be read for one row."""
        self.path = path
        self.schema = schema
        self._file = open_parquet(path, schema)
        metadata = self._file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self._first_rows = np.cumsum([0, *(group.num_rows for group in groups)])
        largest = max((group.total_byte_size for group in groups), default=0)
        if largest > LARGEST_GROUP:
            raise UserError(
                f"{path}: expected row groups of at most {LARGEST_GROUP >> 20} MiB, for one is read whole for a row of "
                f"it, found one of {largest >> 20} MiB: write it with a smaller row_group_size"
            )
        self._kept: dict[int, pa.Table] = {}  # the group that was asked for last stands last
        self._kept_bytes = 0

    def __len__(self) -> int:
        return int(self._first_rows[-1])

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Raises UserError as `read_group` does, and IndexError for a number that the file does not have."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        group = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return self._keep_group(group).slice(row - self.rows_of(group).start, 1).to_pylist()[0]

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return self._file.num_row_groups

    def rows_of(self, group: int) -> range:
        """The numbers of a group's rows."""
        return range(int(self._first_rows[group]), int(self._first_rows[group + 1]))

    def read_group(self, group: int, names: Sequence[str] | None = None) -> pa.Table:
        """A group's columns, all or those of `names`. Raises UserError for damaged bytes, or a null, as `read` does."""
        schema = pa.schema([field for field in self.schema if names is None or field.name in names])
        with damage_named(self.path, f"row group {group}: expected a whole one, found damage"):
            table = self._file.read_row_group(group, columns=schema.names)
        _check_rows(f"{self.path}: row group {group}", len(table), len(self.rows_of(group)))
        return _checked(self.path, self.rows_of(group).start, table, schema)

    def _keep_group(self, group: int) -> pa.Table:
        table = self._kept.pop(group, None)
        if table is None:
            table = self.read_group(group)
            self._kept_bytes += table.nbytes
        self._kept[group] = table
        while self._kept_bytes > KEPT_GROUPS and len(self._kept) > 1:
            self._kept_bytes -= self._kept.pop(next(iter(self._kept))).nbytes
        return table

    def count_entries(self, group: int, name: str) -> int:
        """How many entries a list column has in a group, by the file's own count; an empty list counts as one."""
        row_group = self._file.metadata.row_group(group)
        columns = (row_group.column(index) for index in range(row_group.num_columns))
        return sum(column.num_values for column in columns if column.path_in_schema.split(".")[0] == name)


def write(path: str | Path, rows: pa.Table | Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a table or rows as Parquet (zstd) with exactly the columns of `schema`, atomically.

    The same rows make the same bytes: no time and no host enters the file.
    """
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
    with atomic(path) as temporary:
        pq.write_table(table.select(schema.names).cast(schema), temporary, **WRITING)


@contextmanager
def writer(path: str | Path, schema: pa.Schema, *, statistics: bool = True) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer to which tables are given one row group at a time; the file appears when all is written.

    Without `statistics` (each group's least and largest texts) the index of many groups is a tenth as large.
    """
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, write_statistics=statistics, **WRITING) as parquet,
    ):
        yield parquet


def as_rows(path: str | Path, first_row: int, table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a part of `path`, whose first is row `first_row`. Raises UserError for a text that is not UTF-8."""
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError:
        _check_texts(path, first_row, table)
        raise
    return rows


def _check_texts(path: str | Path, first_row: int, table: pa.Table | pa.RecordBatch) -> None:
    """Raises UserError, with row and column, for a text that is not UTF-8, which Arrow does not look for by itself."""
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            for row, cell in enumerate(column):
                try:
                    cell.as_py()
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path}: row {first_row + row}: {name}: expected a text in UTF-8: {error.reason}"
                    ) from None


def _undamaged(path: str | Path, parts: Iterator[Part]) -> Iterator[Part]:
    """Parts of a file as they are read; `damage_named` for the reading of each."""
    while True:
        with damage_named(path):
            part = next(parts, None)
        if part is None:
            return
        yield part


def _check_rows(where: str | Path, found: int, expected: int) -> None:
    """Raises UserError where there are not as many rows as the file says: no checksum covers a page's count."""
    if found != expected:
        raise UserError(f"{where}: expected {expected} rows, as it says itself, found {found}")


def _compatible(actual: pa.DataType, expected: pa.DataType) -> bool:
    if pa.types.is_list(expected):
        return (pa.types.is_list(actual) or pa.types.is_large_list(actual) or pa.types.is_null(actual)) and (
            pa.types.is_null(actual) or _compatible(actual.value_type, expected.value_type)
        )
    if pa.types.is_string(expected):
        return pa.types.is_string(actual) or pa.types.is_large_string(actual) or pa.types.is_null(actual)
    if pa.types.is_binary(expected):
        return pa.types.is_binary(actual) or pa.types.is_large_binary(actual)
    if pa.types.is_integer(expected):
        return pa.types.is_integer(actual)
    if pa.types.is_boolean(expected):
        return pa.types.is_boolean(actual)
    return pa.types.is_floating(actual) or pa.types.is_integer(actual) or pa.types.is_null(actual)


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, or lists of them."""
    return pa.types.is_string(kind) or (pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def _checked(path: str | Path, first_row: int, table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = table.select(schema.names)
    for field in schema:
        column = table.column(field.name)
        if not field.nullable and column.null_count:
            row = first_row + column.is_null().to_pylist().index(True)
            raise UserError(f"{path}: row {row}: {field.name}: expected a value, found null")
    texts = [name for name in schema.names if holds_text(schema.field(name).type)]
    _check_texts(path, first_row, table.select(texts))
    return table.cast(schema)
