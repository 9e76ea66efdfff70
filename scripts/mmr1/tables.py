"""The tables that pass between stages (DESIGN §4): their columns, and readers that refuse what breaks the contract."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmr1.errors import UserError
from mmr1.files import atomic

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

# One row a rollout, in the order of the rollouts they judge.
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
        pa.field("origin", pa.string(), nullable=False),  # "weighted" or "uniform"
        pa.field("ovs", pa.float64()),  # null where mix = 0
        pa.field("weight", pa.float64()),  # this problem's VPS over the sum; null where mix = 0
    ]
)


def open_parquet(path: str | Path, schema: pa.Schema) -> pq.ParquetFile:
    """Open a Parquet file after checking that it has the columns of `schema` (more are allowed).

    Raises UserError if the file is missing, is truncated, or lacks a column or has it in another type.
    """
    try:
        # Read as it is needed: by default Arrow keeps all that it has read of a file, whole column chunks at a time.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a complete Parquet file: {str(error).splitlines()[0]}") from None
    found = file.schema_arrow
    for field in schema:
        index = found.get_field_index(field.name)
        if index < 0:
            raise UserError(f"{path}: expected a column {field.name}, found {', '.join(found.names)}")
        if not _compatible(found.field(index).type, field.type):
            raise UserError(f"{path}: column {field.name}: expected {field.type}, found {found.field(index).type}")
    return file


def read(path: str | Path, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` from a Parquet file, in that order and with those types; see `open_parquet` for errors.

    Also raises UserError, with the row, for a null in a column that may not hold one.
    """
    return _checked(path, open_parquet(path, schema).read(columns=schema.names), schema)


def iter_row_groups(path: str | Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """Like `read`, one row group at a time, so that memory stays flat in the length of the table."""
    file = open_parquet(path, schema)
    for group in range(file.num_row_groups):
        yield _checked(path, file.read_row_group(group, columns=schema.names), schema)


def iter_batches(path: str | Path, schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Like `iter_row_groups`, at most `rows` rows at a time, however large the file's row groups are."""
    for batch in open_parquet(path, schema).iter_batches(rows, columns=schema.names):
        yield _checked(path, pa.Table.from_batches([batch]), schema)


def write(path: str | Path, rows: pa.Table | Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write a table or rows as Parquet (zstd) with exactly the columns of `schema`, atomically.

    The same rows make the same bytes: no time and no host enters the file.
    """
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=schema)
    with atomic(path) as temporary:
        pq.write_table(table.select(schema.names).cast(schema), temporary, compression="zstd")


@contextmanager
def writer(path: str | Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer to which tables are given one row group at a time; the file appears when all is written."""
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as parquet:
        yield parquet


def _compatible(found: pa.DataType, expected: pa.DataType) -> bool:
    if pa.types.is_list(expected):
        return (pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_null(found)) and (
            pa.types.is_null(found) or _compatible(found.value_type, expected.value_type)
        )
    if pa.types.is_string(expected):
        return pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_null(found)
    if pa.types.is_binary(expected):
        return pa.types.is_binary(found) or pa.types.is_large_binary(found)
    if pa.types.is_integer(expected):
        return pa.types.is_integer(found)
    if pa.types.is_boolean(expected):
        return pa.types.is_boolean(found)
    return pa.types.is_floating(found) or pa.types.is_integer(found) or pa.types.is_null(found)


def _checked(path: str | Path, table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = table.select(schema.names)
    for field in schema:
        column = table.column(field.name)
        if not field.nullable and column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise UserError(f"{path}: row {row}: {field.name}: expected a value, found null")
    return table.cast(schema)
