"""Rows that are left out, each with its reason: counted, written as a table; too many of them fail a job at its end.

A message says "field: expected …, found …". What was expected is the reason, by which rows are counted; what was found
is this row's detail.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.progress import log

REJECTS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),  # a path or a name, as error messages have it
        pa.field("item", pa.int64(), nullable=False),  # its number in the data set, from 0
        pa.field("id", pa.string(), nullable=False),  # what the problem would have been called
        pa.field("reason", pa.string(), nullable=False),  # what was expected: the same for all rows of a kind
        pa.field("detail", pa.string(), nullable=False),  # what was found in this one
    ]
)
SHOWN = 100  # rows that a record names
_PLACE = re.compile(r"\[\d+\]|(?<=row )\d+|(?<=line )\d+|(?<=item )\d+")


class LeftOut(Exception):
    """A good row that a rule of the recipe leaves out; its message is like that of a broken row."""


class Rejects:
    """The rows that a job leaves out: at most `limit` broken ones, and as many as the rules of the recipe say."""

    def __init__(self, limit: int, path: Path | None = None) -> None:
        self.limit = limit
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.broken = 0
        self._shown: list[dict[str, Any]] = []
        self._first = ""

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, file: str | Path, where: str, number: int, name: str, message: object) -> None:
        """Leave a row out: the `number`-th of a data set, which is `where` in its `file` ("line 3")."""
        text = plain(str(message))
        if not isinstance(message, LeftOut):
            self.broken += 1
            self._first = self._first or f"{file}: {where}: {text}"
        expected, _, found = text.partition(", found ")
        reason = _PLACE.sub("", expected).strip()
        row = {"file": plain(str(file)), "item": number, "id": plain(name), "reason": reason, "detail": found or text}
        self.rows.append(row)
        if len(self._shown) < SHOWN:
            self._shown.append({"row": number, "reason": text})

    def by_reason(self) -> dict[str, int]:
        """How many rows each reason has, the most frequent first."""
        return dict(Counter(row["reason"] for row in self.rows).most_common())

    def settle(self) -> None:
        """Say how many rows are left out and why. Raises UserError, with the first, if more than `limit` are broken."""
        for reason, count in self.by_reason().items():
            log(f"left out: {count} rows: {reason}")
        if self.broken > self.limit:
            listed = f"; {failed(self.path)} lists them" if self.path else ""
            rows = f"{self.broken} such rows, " if self.broken > 1 else ""
            raise UserError(f"{self._first} ({rows}{self.limit} may be left out{listed})")

    def notes(self) -> dict[str, Any]:
        """What the record says: counts by reason, and the first rows."""
        return {"dropped": self._shown, "dropped_by_reason": self.by_reason()}


@contextmanager
def reject_table(path: Path | None, limit: int) -> Iterator[Rejects]:
    """Yields rejects whose table is written to `path` when the body is done, or to `failed(path)` if it fails.

    A failed job's outputs go with it, and this table is what its person needs.
    """
    rejects = Rejects(limit, path)
    try:
        yield rejects
    except BaseException:
        if path is not None and rejects.rows:
            contracts.write(failed(path), rejects.rows, REJECTS)
        raise
    if path is not None:
        contracts.write(path, rejects.rows, REJECTS)
        failed(path).unlink(missing_ok=True)


def failed(path: Path) -> Path:
    """Where a job that failed leaves the table that would have been `path`."""
    return path.with_name(f"{path.stem}.failed{path.suffix}")


def plain(text: str) -> str:
    """A text that UTF-8 can hold: half of a surrogate pair, or a byte that is no UTF-8, is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
