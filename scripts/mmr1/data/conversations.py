"""Conversations for supervised fine-tuning: problems, and the response to learn for each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.images import BrokenImage
from mmr1.data.problems import (
    IMAGE_MARK,
    BrokenRow,
    Problem,
    check_row,
    check_texts,
    check_words,
    problem_rows,
    row_problem,
)
from mmr1.plumbing.errors import UserError

CONVERSATIONS = contracts.PROBLEMS.append(pa.field("response", pa.string(), nullable=False))

# A row group that is written: 1.6 M conversations with images of 200 kB make 40 000 groups, whose index takes 35 MB.
ROWS_A_GROUP = 64
BYTES_A_GROUP = 8 << 20


class ConversationFile:
    """The conversations of a Parquet file, each read when it is asked for (`contracts.RowReader` says at what cost)."""

    def __init__(self, path: str | Path, decoded: int | None = 64) -> None:
        """Go through all texts once. Raises UserError as `read_problems` does, and for an empty response.

        Hundreds of GB of images take hours to decode: those of the first `decoded` conversations (None: of all) are
        decoded here, which shows a mistake that all have, the others by who shows them to a model (`naming_row`).
        """
        self.path = path
        self._rows = contracts.RowReader(path, CONVERSATIONS)
        if not len(self):
            raise UserError(f"{path}: expected at least one problem, found none")
        ids = pa.chunked_array([self._check_group(group) for group in range(self._rows.groups)], pa.string())
        if len(ids.unique()) < len(ids):
            raise self._duplicate(ids)
        for row in range(len(self))[:decoded]:
            self.check(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> tuple[Problem, str]:
        """A problem and its response; no image is decoded. Raises UserError, with the row, for marks unlike images."""
        conversation = self._rows[row]
        return row_problem(self.path, row, conversation), conversation["response"]

    def check(self, row: int) -> None:
        """Decode a conversation's images. Raises UserError, with the row, for one that no model can be shown."""
        check_row(self.path, row, *self[row])

    def texts(self) -> Iterator[tuple[Problem, str]]:
        """Every conversation in order, with empty bytes in place of its images, which are not read."""
        names = [name for name in CONVERSATIONS.names if name != "images"]
        for group in range(self._rows.groups):
            rows = self._rows.read_group(group, names).to_pylist()
            for number, row in zip(self._rows.rows_of(group), rows, strict=True):
                images = [b""] * row["question"].count(IMAGE_MARK)
                yield row_problem(self.path, number, {**row, "images": images}), row["response"]

    def _check_group(self, group: int) -> pa.Array:
        """The ids of a row group, whose texts are checked, and that it has as many images as marks."""
        numbers = self._rows.rows_of(group)
        table = self._rows.read_group(group, ["id", "question", "choices", "answer", "metadata", "response"])
        rows = table.to_pylist()
        for number, row in zip(numbers, rows, strict=True):
            check_texts(self.path, number, row)
            if not row["response"].strip():
                raise UserError(f"{self.path}: row {number}: response: expected a text, found an empty string")
            try:
                check_words(row["question"], row["answer"], row["choices"], row["response"])
            except BrokenRow as reason:
                raise UserError(f"{self.path}: row {number}: {reason}") from None
        # The file's index counts the images of a group, without reading them; which row is wrong, the rows say.
        marks = [row["question"].count(IMAGE_MARK) for row in rows]
        if sum(max(1, count) for count in marks) != self._rows.count_entries(group, "images"):
            for number in numbers:
                self[number]
        return table.column("id").combine_chunks()

    def _duplicate(self, ids: pa.ChunkedArray) -> UserError:
        seen: dict[Any, int] = {}
        for number, name in enumerate(ids.to_pylist()):
            if seen.setdefault(name, number) != number:
                return UserError(f"{self.path}: row {number}: id: {name!r} stands in row {seen[name]} already")
        raise AssertionError("no id occurs twice")


Pairs = Sequence[tuple[Problem, str]] | ConversationFile


@contextmanager
def naming_row(rows: Pairs, *numbers: int) -> Iterator[None]:
    """Raises UserError, with file and row, where the images of one of these conversations turn out to be none."""
    try:
        yield
    except BrokenImage:
        if isinstance(rows, ConversationFile):
            for number in numbers:
                rows.check(number)
        raise


@contextmanager
def conversation_writer(path: str | Path) -> Iterator[Callable[[Problem, str], None]]:
    """Yields a function that adds a conversation to the file, which appears when all are added.

    At most one row group is in memory, and groups are small enough that a conversation can be read by itself.
    """
    rows: list[dict[str, Any]] = []
    size = 0
    with contracts.writer(path, CONVERSATIONS, statistics=False) as file:

        def write() -> None:
            nonlocal size
            file.write_table(pa.Table.from_pylist(rows, schema=CONVERSATIONS))
            rows.clear()
            size = 0

        def add(problem: Problem, response: str) -> None:
            nonlocal size
            size += len(response) + sum(len(image) for image in problem.images)
            rows.extend(row | {"response": response} for row in problem_rows([problem]))
            if len(rows) == ROWS_A_GROUP or size >= BYTES_A_GROUP:
                write()

        yield add
        if rows:
            write()


def write_conversations(path: str | Path, conversations: Iterable[tuple[Problem, str]]) -> None:
    """Write problems with their responses as Parquet, atomically."""
    with conversation_writer(path) as add:
        for problem, response in conversations:
            add(problem, response)
