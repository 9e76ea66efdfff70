"""Conversations for supervised fine-tuning: problems, and the response to learn for each."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from mmr1 import tables
from mmr1.errors import UserError
from mmr1.problems import Problem, problem_rows, read_problems

CONVERSATIONS = tables.PROBLEMS.append(pa.field("response", pa.string(), nullable=False))


def read_conversations(path: str | Path) -> list[tuple[Problem, str]]:
    """Problems with their responses, in the file's order. Raises UserError as `read_problems` does, and for an empty
    response."""
    responses = tables.read(path, CONVERSATIONS).column("response").to_pylist()
    for row, response in enumerate(responses):
        if not response.strip():
            raise UserError(f"{path}: row {row}: response: expected a text, found an empty string")
    return list(zip(read_problems(path), responses, strict=True))


def write_conversations(path: str | Path, conversations: Iterable[tuple[Problem, str]]) -> None:
    """Write problems with their responses as Parquet, atomically."""
    pairs = list(conversations)
    rows = problem_rows(problem for problem, _ in pairs)
    for row, (_, response) in zip(rows, pairs, strict=True):
        row["response"] = response
    tables.write(path, rows, CONVERSATIONS)
