"""The paper's RL set: rows of `MMR1/MMR1-RL` as problems."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from mmr1.data.problems import IMAGE_MARK, Problem, open_image
from mmr1.plumbing.errors import UserError

# What the source has; the images of a row are encoded bytes beside the path that they had.
COLUMNS = ("problem", "answer", "images")
ROWS_AT_A_TIME = 64

Item = TypeVar("Item")


class BrokenRow(Exception):
    """A row that makes no problem; the message says why."""


def source_files(folder: Path) -> list[Path]:
    """The Parquet files of the data set, in the order of their names. Raises UserError for a folder without any."""
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise UserError(f"{folder}: expected Parquet files of the RL set, found none")
    return files


def rl_rows(folder: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each row of the data set with its number over all files, and where it stands for error messages."""
    number = 0
    for path in source_files(folder):
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: not a complete Parquet file: {str(error).splitlines()[0]}") from None
        for name in COLUMNS:
            if name not in file.schema_arrow.names:
                raise UserError(f"{path}: expected a column {name}, found {', '.join(file.schema_arrow.names)}")
        in_file = 0
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                yield number, f"{path}: row {in_file}", row
                number, in_file = number + 1, in_file + 1


def rl_problem(number: int, row: dict[str, Any]) -> Problem:
    """A row as a problem. Its id is its number, so that leaving a row out moves no other. Raises BrokenRow."""
    images = []
    for index, image in enumerate(row["images"] or []):
        data = image.get("bytes") if isinstance(image, dict) else None
        if not data:
            raise BrokenRow(f"images[{index}]: expected encoded bytes, found none")
        images.append(data)
    answer = (row["answer"] or "").strip()
    if not answer:
        raise BrokenRow("answer: expected a gold answer, found none")
    return Problem(
        id=f"rl-{number:05d}",
        source="MMR1/MMR1-RL",
        question=marked(row["problem"] or "", len(images)),
        images=checked(images),
        answer=answer,
    )


def marked(question: str, images: int) -> str:
    """The question with a mark for each image: those it has, or all of them in front where it has none.

    Raises BrokenRow if it has another number of marks than images.
    """
    marks = question.count(IMAGE_MARK)
    if marks == 0 and images:
        return IMAGE_MARK * images + "\n" + question
    if marks != images:
        raise BrokenRow(f"expected one {IMAGE_MARK} mark per image, found {marks} marks and {images} images")
    if not question.replace(IMAGE_MARK, "").strip() and not images:
        raise BrokenRow("expected a question, found none")
    return question


def checked(images: list[bytes]) -> tuple[bytes, ...]:
    """The images, after each was decoded once. Raises BrokenRow for one that cannot be."""
    for index, data in enumerate(images):
        try:
            open_image(data).load()
        except Exception as error:  # Pillow raises many types for damaged data
            raise BrokenRow(f"images[{index}]: {len(data)} bytes that do not decode: {error}") from None
    return tuple(images)


def with_letter(problem: Problem) -> Problem:
    """A benchmark's problem as RL asks it: the gold of a multiple choice is the letter that the prompt asks for.

    Raises UserError if the gold is none of the choices.
    """
    if not problem.choices or (len(problem.answer) == 1 and problem.answer not in problem.choices):
        return problem
    if problem.answer not in problem.choices:
        raise UserError(f"{problem.id}: answer: expected one of {problem.choices}, found {problem.answer!r}")
    return replace(problem, answer=chr(ord("A") + problem.choices.index(problem.answer)))


def in_blocks(problems: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, in order; the last may be shorter."""
    items = iter(problems)
    while block := list(islice(items, size)):
        yield block


class Dropped:
    """Counts broken rows, and gives up when there are more than the recipe allows."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: list[dict[str, Any]] = []

    def add(self, number: int, where: str, reason: str) -> None:
        """Leave a row out. Raises UserError, naming it, if that is one too many."""
        self.rows.append({"row": number, "reason": reason})
        if len(self.rows) > self.limit:
            raise UserError(f"{where}: {reason} ({len(self.rows)} such rows, {self.limit} may be left out)")


def kept_problems(folder: Path, dropped: Dropped, tokens: Callable[[Problem], int], limit: int) -> Iterator[Problem]:
    """The problems of the RL set in their order, without broken rows and without prompts of over `limit` tokens."""
    for number, where, row in rl_rows(folder):
        try:
            problem = rl_problem(number, row)
            if (found := tokens(problem)) > limit:
                raise BrokenRow(f"expected a prompt of at most {limit} tokens, found {found}")
        except BrokenRow as reason:
            dropped.add(number, where, str(reason))
        else:
            yield problem
