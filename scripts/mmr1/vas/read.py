"""The set and its scores, as the programs of variance-aware sampling read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError

# `scored_at`: the absolute step whose policy the responses come from (the last one, if there are several).
# `diversity`: what `tds` is, so that scores of two kinds are never mixed.
SCORES = contracts.SCORES.append(pa.field("scored_at", pa.int32(), nullable=False)).append(
    pa.field("diversity", pa.string(), nullable=False)
)

GOLDS = pa.schema([contracts.PROBLEMS.field(name) for name in ("id", "answer")])


def read_golds(path: str | Path) -> dict[str, str]:
    """Problem id to gold answer, in the order of `problems.parquet`, without reading its images.

    Raises UserError for a missing or truncated file, an empty set, an empty or duplicate id, an empty answer.
    """
    table = contracts.read(path, GOLDS)
    golds: dict[str, str] = {}
    for row, (name, answer) in enumerate(zip(table["id"].to_pylist(), table["answer"].to_pylist(), strict=True)):
        if not name:
            raise UserError(f"{path}: row {row}: id: expected a name, found an empty string")
        if name in golds:
            raise UserError(f"{path}: row {row}: id: {name!r} stands in an earlier row already")
        if not answer.strip():
            raise UserError(f"{path}: row {row}: answer: expected a gold answer, found an empty string")
        golds[name] = answer
    if not golds:
        raise UserError(f"{path}: expected at least one problem, found none")
    return golds


def read_scores(path: str | Path, ids: Sequence[str], schema: pa.Schema = contracts.SCORES) -> pa.Table:
    """A scores file's rows in the order of `ids`, whatever order the file has.

    Raises UserError for a problem without a score or with two, a score of an unknown problem, a VPS, OVS or TDS that
    is negative or not finite.
    """
    table = contracts.read(path, schema)
    rows: dict[str, int] = {}
    known = set(ids)
    for row, name in enumerate(table["problem_id"].to_pylist()):
        if name in rows:
            raise UserError(f"{path}: row {row}: problem_id: {name!r} has a score in row {rows[name]} already")
        if name not in known:
            raise UserError(f"{path}: row {row}: problem_id: {name!r} is not among the problems")
        rows[name] = row
    if missing := [name for name in ids if name not in rows]:
        raise UserError(f"{path}: {len(missing)} of {len(ids)} problems have no score, first {missing[0]!r}")
    for column in ("pass_rate", "ovs", "tds", "vps"):
        values = table[column].to_numpy()
        if (bad := ~(np.isfinite(values) & (values >= 0))).any():
            row = int(np.flatnonzero(bad)[0])
            raise UserError(f"{path}: row {row}: {column}: expected a number of at least 0, found {values[row]}")
    return table.take(pa.array([rows[name] for name in ids], pa.int64()))


def read_previous(path: str | Path, ids: Sequence[str], diversity: str) -> pa.Table:
    """Like `read_scores`, for scores to carry on from; also refuses scores of another diversity."""
    table = read_scores(path, ids, SCORES)
    for row, name in enumerate(table["diversity"].to_pylist()):
        if name != diversity:
            raise UserError(f"{path}: diversity of {ids[row]!r}: expected {diversity}, found {name}")
    return table
