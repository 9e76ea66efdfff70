"""The paper's cold-start data: `MMR1/MMR1-SFT`, one large JSON list of conversations, and tars that hold their images.

Neither is ever read whole: the list goes by item after item, and of the tars only an index is kept in memory. Which
keys of an item name its images is not documented; they are found in the data.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmr1.answers.response import extract_answer
from mmr1.data.problems import IMAGE_MARK, BrokenRow, Problem
from mmr1.data.rows import marked, whole
from mmr1.data.tar_files import ImageStore
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import UTF_8, integer

CHARACTERS_AT_A_TIME = 1 << 20
ITEMS_TO_LEARN_FROM = 1000  # items with images
TURNS = "conversations"
USUAL_KEYS = ("image", "images")  # these name images in any case: one that is missing makes a broken row

Item = Any  # an object of the list, or what stands in the place of one
_SPACE, _BETWEEN = re.compile(r"\s*"), re.compile(r"\s*,?\s*")


def conversation_file(folder: Path) -> Path:
    """The one JSON file of the data set that holds a list. Raises UserError if there is none, or more than one."""
    candidates = [path for path in sorted(folder.rglob("*.json")) if _begins_with_a_list(path)]
    if len(candidates) != 1:
        names = ", ".join(path.name for path in candidates) or "none"
        raise UserError(f"{folder}: expected one JSON file with a list of conversations, found {names}")
    return candidates[0]


def iter_items(path: Path) -> Iterator[Item]:
    """The entries of a JSON list, one at a time. Bytes that are no UTF-8 become lone surrogates, which no row may have.

    Raises UserError, with the item, for what is no JSON: what follows cannot be read.
    """
    with path.open(encoding=UTF_8, errors="surrogateescape") as file:
        yield from _items(path, file)


def _items(path: Path, file: TextIO) -> Iterator[Item]:
    decoder, number = json.JSONDecoder(parse_int=integer), 0
    text = file.read(CHARACTERS_AT_A_TIME).lstrip()
    if not text.startswith("["):
        raise UserError(f"{path}: expected a JSON list, found {text[:20]!r}")
    at = 1
    while True:
        start = _end(_BETWEEN if number else _SPACE, text, at)
        if text.startswith("]", start):
            return
        try:
            item, at = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            more = file.read(max(CHARACTERS_AT_A_TIME, len(text) - at))
            if not more:
                raise UserError(f"{path}: item {number}: expected JSON: {error}") from None
            text, at = text[at:] + more, 0
        except RecursionError:
            raise UserError(f"{path}: item {number}: expected JSON: lists or objects nested too deeply") from None
        else:
            yield item
            number += 1


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    assert found is not None  # all of it is optional
    return found.end()


def image_keys(items: Iterable[Item], images: ImageStore) -> list[str]:
    """The keys that name images: the usual ones, and those whose values do in half of the items where they could.

    Looks at the first items until enough of them have images: thousands before them may be texts.
    """
    could: Counter[str] = Counter()
    do: Counter[str] = Counter()
    with_images = 0
    for item in items:
        names = _possible_names(item)
        naming = [key for key, listed in names.items() if images.hold_images(listed)]
        could.update(names.keys())
        do.update(naming)
        with_images += bool(naming)
        if with_images == ITEMS_TO_LEARN_FROM:
            break
    return sorted({*USUAL_KEYS, *(key for key in do if 2 * do[key] >= could[key])})


def item_images(item: dict[str, Any], keys: Sequence[str], marks: int, images: ImageStore) -> tuple[bytes, ...]:
    """The images of an item with so many marks, under that of `keys` that names any.

    Where none does, whichever key names images in the tars is taken. Where several do, their images must be the same,
    or one of them alone have as many as there are marks. Raises BrokenRow.
    """
    named = {key: names for key in keys if (names := _names(key, item.get(key)))}
    if not named:
        named = {key: names for key, names in _possible_names(item).items() if images.hold_images(names)}
        if marks and not named:
            raise BrokenRow(f"expected a key that names images, found {marks} marks and none among {', '.join(item)}")
    fitting = {key: names for key, names in named.items() if len(names) == marks} or named
    found, missing = {}, None
    for key, names in fitting.items():
        try:
            found[key] = tuple(images.read(name) for name in names)
        except BrokenRow as reason:
            missing = missing or reason
    if not found:
        if missing:
            raise missing
        return ()
    if len(set(found.values())) > 1:
        raise BrokenRow(f"expected the same images under all keys, found others under {' and '.join(found)}")
    return next(iter(found.values()))


def conversation(number: int, item: Item, keys: Sequence[str], images: ImageStore) -> tuple[Problem, str]:
    """An item as a problem and the response to learn. Its id is its number in the list. Raises BrokenRow."""
    if not isinstance(item, dict):
        raise BrokenRow(f"expected an object, found {type(item).__name__}")
    question, response = _turns(item)
    data = item_images(item, keys, question.count(IMAGE_MARK), images)
    boxed = extract_answer(response)[0]
    problem = Problem(
        id=conversation_id(number),
        source="MMR1/MMR1-SFT",
        question=marked(question, len(data)),
        images=data,
        answer=boxed or response.strip().splitlines()[-1],
        metadata={"boxed": bool(boxed)} | _source(item),
    )
    return whole(problem, response), response


def _source(item: dict[str, Any]) -> dict[str, str]:
    """Where an item says that it comes from, if it does."""
    said = (item.get(key) for key in ("source", "dataset"))
    return next(({"source": one} for one in said if isinstance(one, str) and one.strip()), {})


def conversation_id(number: int) -> str:
    """What the item of that number is called."""
    return f"sft-{number:07d}"


def _turns(item: Item) -> tuple[str, str]:
    turns = item.get(TURNS)
    turns = turns if isinstance(turns, list) else []
    said = [(turn.get("from"), turn.get("value")) for turn in turns if isinstance(turn, dict)]
    spoken = [(who, text) for who, text in said if who != "system"]
    if [who for who, _ in spoken] not in (["human", "gpt"], ["user", "assistant"]):
        raise BrokenRow(f"conversations: expected a human's turn and an answer, found {[who for who, _ in said]}")
    question, response = spoken[0][1], spoken[1][1]
    if not isinstance(question, str) or not isinstance(response, str) or not response.strip():
        raise BrokenRow("conversations: expected texts in `value`, found an empty or other one")
    return question, response


def _begins_with_a_list(path: Path) -> bool:
    with path.open(encoding=UTF_8, errors="replace") as file:
        return file.read(64).lstrip().startswith("[")


def _possible_names(item: Item) -> dict[str, list[str]]:
    """The values of an item, by key, that could name images: texts, and lists of them."""
    if not isinstance(item, dict):
        return {}
    listed = {key: [value] if isinstance(value, str) else value for key, value in item.items() if key != TURNS}
    return {key: value for key, value in listed.items() if _are_names(value) and value}


def _names(key: str, value: Any) -> list[str]:
    """The names under a key of images; none where it is empty. Raises BrokenRow for what is no name."""
    names = [value] if isinstance(value, str) else value or []
    if not _are_names(names):
        raise BrokenRow(f"{key}: expected names of images, found {names!r:.60}")
    return [name for name in names if name.strip()]


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
