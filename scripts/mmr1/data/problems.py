"""Problems: one question with its images and gold answer, checked when they are read (docs/design.md §4)."""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError

IMAGE_MARK = "<image>"


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

    `images=False` skips decoding (scoring needs none). `allow_empty_answer` is for benchmarks, one of which has an item
    without a gold that stays in its denominator. Raises UserError naming file, row and field for: a missing or
    truncated file, an empty or duplicate id, marks that do not match the images, an image that does not decode, an
    empty gold, metadata that is not a JSON object, an empty table.
    """
    rows = contracts.read(path, contracts.PROBLEMS).to_pylist()
    return rows_problems(path, rows, images=images, allow_empty_answer=allow_empty_answer)


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
            check_images(path, number, problem)
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


def open_image(data: bytes) -> Image.Image:
    """Decode an image's bytes to RGB, whatever mode they are in. Raises what Pillow raises for damaged ones."""
    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except UnidentifiedImageError:  # Pillow's text names the object in memory
        raise UnidentifiedImageError("in no known format") from None


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
        metadata = json.loads(row["metadata"])
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: metadata: expected JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise UserError(f"{where}: metadata: expected a JSON object, found {type(metadata).__name__}")
    return metadata


def check_images(path: str | Path, number: int, problem: Problem) -> None:
    """Decode the images of row `number` once. Raises UserError for one that cannot be."""
    for index, data in enumerate(problem.images):
        try:
            open_image(data).load()
        except Exception as error:  # Pillow raises many types for damaged data
            raise UserError(
                f"{path}: row {number}: images[{index}]: expected an image, found {len(data)} bytes that do not decode "
                f"({type(error).__name__}: {error})"
            ) from None
