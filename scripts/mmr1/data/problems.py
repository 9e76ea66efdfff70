"""Problems: one question with its images and gold answer, checked when they are read (docs/design.md §4)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmr1.data import contracts
from mmr1.data.images import BrokenImage, open_image
from mmr1.models.family import special_texts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import parse_json

IMAGE_MARK = "<image>"


class BrokenRow(Exception):
    """A row that makes no problem; the message says which field, what was expected and what was found."""


@dataclass(frozen=True)
class Problem:
    """One question.

    `question` holds one `<image>` mark per image, in the order of `images` (encoded bytes: PNG, JPEG, …). `choices`
    is None for an open question. `answer` is the gold, never empty except where `read_problems` allows it. `metadata`
    is whatever its source says of it.
    """

    id: str
    source: str
    question: str
    images: tuple[bytes, ...]
    answer: str
    answer_type: str = "text"
    choices: tuple[str, ...] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.id)


def read_problems(path: str | Path, *, images: bool = True, allow_empty_answer: bool = False) -> list[Problem]:
    """The problems of a `problems.parquet`, in its order.

    `images=False` skips what a model's view of them needs, the images and `check_words` (scoring needs none).
    `allow_empty_answer` is for benchmarks, one of which has an item without a gold that stays in its denominator.
    Raises UserError naming file, row and field for: a missing or truncated file, an empty or duplicate id, marks that
    do not match the images, an image that `open_image` refuses, a special token in a text, an empty gold, metadata that
    is not a JSON object, an empty table.
    """
    rows = contracts.read(path, contracts.PROBLEMS).to_pylist()
    return rows_problems(path, rows, images=images, allow_empty_answer=allow_empty_answer)


def iter_blocks(path: str | Path, size: int) -> Iterator[list[Problem]]:
    """The problems of a table of problems or conversations, `size` at a time, in its order; responses are not read."""
    first = 0
    for table in contracts.iter_batches(path, contracts.PROBLEMS, size):
        rows = contracts.as_rows(path, first, table)
        yield [row_problem(path, first + number, row) for number, row in enumerate(rows)]
        first += len(rows)


def rows_problems(
    path: str | Path, rows: list[dict[str, Any]], *, images: bool = True, allow_empty_answer: bool = False
) -> list[Problem]:
    """All rows of `path` as problems; what `read_problems` says of a file's rows holds of these."""
    if not rows:
        raise UserError(f"{path}: expected at least one problem, found none")
    problems = [row_problem(path, number, row, allow_empty_answer) for number, row in enumerate(rows)]
    check_ids(path, problems)
    if images:
        for number, problem in enumerate(problems):
            check_row(path, number, problem)
    return problems


def check_ids(path: str | Path, problems: Iterable[Problem]) -> None:
    """Raises UserError for an id that occurs twice."""
    seen: dict[str, int] = {}
    for number, problem in enumerate(problems):
        if problem.id in seen:
            raise UserError(f"{path}: row {number}: id: {problem.id!r} stands in row {seen[problem.id]} already")
        seen[problem.id] = number


def write_problems(path: str | Path, problems: Iterable[Problem]) -> None:
    """Write a `problems.parquet`, atomically."""
    contracts.write(path, problem_rows(problems), contracts.PROBLEMS)


def problem_rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as rows with the columns of `contracts.PROBLEMS`."""
    return [
        {
            "id": problem.id,
            "source": problem.source,
            "question": problem.question,
            "images": list(problem.images),
            "choices": None if problem.choices is None else list(problem.choices),
            "answer": problem.answer,
            "answer_type": problem.answer_type,
            "metadata": json.dumps(problem.metadata, sort_keys=True, ensure_ascii=False),
        }
        for problem in problems
    ]


def row_problem(path: str | Path, number: int, row: dict[str, Any], allow_empty_answer: bool = False) -> Problem:
    """A row of `path` as a problem. Raises UserError as `read_problems` does for what one row can show."""
    where = f"{path}: row {number}"
    metadata = check_texts(path, number, row, allow_empty_answer)
    marks, images = row["question"].count(IMAGE_MARK), tuple(row["images"])
    if marks != len(images):
        raise UserError(
            f"{where}: question: expected one {IMAGE_MARK} mark per image, found {marks} marks and {len(images)} images"
        )
    if None in images:
        raise UserError(f"{where}: images[{images.index(None)}]: expected an image, found null")
    choices = None if row["choices"] is None else tuple(row["choices"])
    return Problem(
        id=row["id"],
        source=row["source"],
        question=row["question"],
        images=images,
        answer=row["answer"],
        answer_type=row["answer_type"],
        choices=choices,
        metadata=metadata,
    )


def check_texts(path: str | Path, number: int, row: dict[str, Any], allow_empty_answer: bool = False) -> dict[str, Any]:
    """The metadata of a row (looked at: `id`, `answer`, `metadata`). Raises UserError as `row_problem` does."""
    where = f"{path}: row {number}"
    if not row["id"]:
        raise UserError(f"{where}: id: expected a name, found an empty string")
    if not row["answer"].strip() and not allow_empty_answer:
        raise UserError(f"{where}: answer: expected a gold answer, found an empty string")
    try:
        metadata = parse_json(row["metadata"])
    except ValueError as error:
        raise UserError(f"{where}: metadata: expected JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise UserError(f"{where}: metadata: expected a JSON object, found {type(metadata).__name__}")
    return metadata


def check_row(path: str | Path, number: int, problem: Problem, response: str = "") -> None:
    """Raises UserError with file, row and field where `check_shown` raises BrokenRow."""
    try:
        check_shown(problem, response)
    except BrokenRow as reason:
        raise UserError(f"{path}: row {number}: {reason}") from None


def check_shown(problem: Problem, response: str = "") -> None:
    """Raises BrokenRow for a problem that no model can be shown: see `check_words` and `open_image`."""
    check_words(problem.question, problem.answer, problem.choices, response)
    for index, data in enumerate(problem.images):
        try:
            open_image(data)
        except BrokenImage as reason:
            raise BrokenRow(f"images[{index}]: {reason}") from None


def check_words(question: str, answer: str, choices: Sequence[str] | None, response: str = "") -> None:
    """Raises BrokenRow for a special token in a text, and for an image mark in a choice.

    A tokenizer would read the token as its own: `<|image_pad|>` asks for pixels that are not there, and `<|im_end|>`
    ends the turn.
    """
    named = {f"choices[{index}]": choice for index, choice in enumerate(choices or ())}
    for where, text in {"question": question, "answer": answer, "response": response, **named}.items():
        if special := special_texts().search(text):
            raise BrokenRow(f"{where}: expected a text without a model's special tokens, found {special[0]}")
    for where, choice in named.items():
        if IMAGE_MARK in choice:
            raise BrokenRow(f"{where}: expected a text, found {IMAGE_MARK}, which marks an image in a question")
