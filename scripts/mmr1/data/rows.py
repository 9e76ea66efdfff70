"""Rows from outside become problems: what is broken in one is said."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mmr1.data.problems import IMAGE_MARK, BrokenRow, Problem, check_shown, problem_rows

Item = TypeVar("Item")

SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair, which JSON can hold and UTF-8 cannot


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


def whole(problem: Problem, response: str = "") -> Problem:
    """The problem, if a table can hold it and a model can be shown it. Raises BrokenRow, with the field, otherwise."""
    row = problem_rows([problem])[0] | {"response": response}
    texts = {name: text for name, text in row.items() if isinstance(text, str)}
    texts |= {f"choices[{index}]": choice for index, choice in enumerate(problem.choices or ())}
    for name, text in texts.items():
        if not text.isascii() and (half := SURROGATE.search(text)):
            raise BrokenRow(f"{name}: expected Unicode, found half of a surrogate pair as character {half.start()}")
    check_shown(problem, response)
    return problem


def text_of(row: Mapping[str, Any], field: str, *, blank: bool = False) -> str:
    """A field that must be a text; numbers are taken as their text. Raises BrokenRow for null, a NaN among them.

    With `blank` the field may be empty or null.
    """
    content = row.get(field)
    null = is_null(content)
    if null and not (blank and field in row):
        raise BrokenRow(f"{field}: expected a text, found {'null' if field in row else 'no such field'}")
    if not null and (isinstance(content, bool) or not isinstance(content, str | int | float) or content == math.inf):
        raise BrokenRow(f"{field}: expected a text, found {type(content).__name__}")
    text = "" if null else str(content)
    if not text.strip() and not blank:
        raise BrokenRow(f"{field}: expected a text, found an empty one")
    return text


def is_null(content: Any) -> bool:
    """Whether a cell is empty: None, or the NaN that pandas writes for it."""
    return content is None or (isinstance(content, float) and math.isnan(content))


def one_form(name: str) -> str:
    """A name in Unicode's composed form (NFC), so that one that was written on another system is the same."""
    return unicodedata.normalize("NFC", name)


def file_of(folder: Path, name: str) -> Path | None:
    """The file of that name, whether the disk has it composed (NFC) or, as from macOS, decomposed (NFD)."""
    forms = (name, one_form(name), unicodedata.normalize("NFD", name))
    return next((folder / form for form in forms if (folder / form).is_file()), None)


def in_blocks(problems: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, in order; the last may be shorter."""
    items = iter(problems)
    while block := list(islice(items, size)):
        yield block
