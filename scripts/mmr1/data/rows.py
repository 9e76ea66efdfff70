"""Rows from outside become problems: what is broken in one is said, and a bounded number of them may be left out."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from mmr1.data.problems import IMAGE_MARK, open_image
from mmr1.plumbing.errors import UserError

Item = TypeVar("Item")


class BrokenRow(Exception):
    """A row that makes no problem; the message says why."""


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
