"""The paper's cold-start data: `MMR1/MMR1-SFT`, one large JSON list of conversations, and tars that hold their images.

Neither is ever read whole: the list goes by item after item, and of the tars only an index is kept in memory. Which key
of an item names its images is not documented; it is found in the data, and anything ambiguous is an error.
"""

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TextIO

from mmr1.answers.response import extract_answer
from mmr1.data.problems import IMAGE_MARK, BrokenRow, Problem
from mmr1.data.rows import marked, one_form, whole
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import UTF_8, integer

CHARACTERS_AT_A_TIME = 1 << 20
ITEMS_TO_LEARN_FROM = 1000

Item = dict[str, Any]


def conversation_file(folder: Path) -> Path:
    """The one JSON file of the data set that holds a list. Raises UserError if there is none, or more than one."""
    candidates = [path for path in sorted(folder.rglob("*.json")) if _begins_with_a_list(path)]
    if len(candidates) != 1:
        names = ", ".join(path.name for path in candidates) or "none"
        raise UserError(f"{folder}: expected one JSON file with a list of conversations, found {names}")
    return candidates[0]


def iter_items(path: Path) -> Iterator[Item]:
    """The objects of a JSON list, one at a time. Raises UserError, with the item, for anything else."""
    try:
        with path.open(encoding=UTF_8) as file:
            yield from _items(path, file)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected a text in UTF-8: {error}") from None


def _items(path: Path, file: TextIO) -> Iterator[Item]:
    decoder, number = json.JSONDecoder(parse_int=integer), 0
    text = file.read(CHARACTERS_AT_A_TIME).lstrip()
    if not text.startswith("["):
        raise UserError(f"{path}: expected a JSON list, found {text[:20]!r}")
    text = text[1:]
    while True:
        text = text.lstrip().removeprefix(",").lstrip() if number else text.lstrip()
        if text.startswith("]"):
            return
        try:
            item, end = decoder.raw_decode(text)
        except json.JSONDecodeError as error:
            more = file.read(max(CHARACTERS_AT_A_TIME, len(text)))
            if not more:
                raise UserError(f"{path}: item {number}: expected JSON: {error}") from None
            text += more
            continue
        except RecursionError:
            raise UserError(f"{path}: item {number}: expected JSON: lists or objects nested too deeply") from None
        if not isinstance(item, dict):
            raise UserError(f"{path}: item {number}: expected an object, found {type(item).__name__}")
        yield item
        text, number = text[end:], number + 1


@dataclass(frozen=True)
class Member:
    """Where a file lies inside a tar."""

    tar: int
    offset: int
    size: int


class ImageStore:
    """The images in the tars of a folder, by the names that conversations give them."""

    def __init__(self, folder: Path) -> None:
        """Index every tar. Raises UserError for a damaged one, or a name that stands in two."""
        self.tars = sorted(folder.rglob("*.tar"))
        self._open: dict[int, BinaryIO] = {}
        self._members: dict[str, Member] = {}
        for index, path in enumerate(self.tars):
            self._index(index, path)
        # Conversations may name a file by another folder than its tar does, as long as the file name says which it is.
        times = Counter(PurePosixPath(name).name for name in self._members)
        self._by_file_name = {
            PurePosixPath(name).name: member
            for name, member in self._members.items()
            if times[PurePosixPath(name).name] == 1
        }

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: str) -> Member | None:
        """The member of that name, or the only one with that file name."""
        return self._members.get(_normal(name)) or self._by_file_name.get(PurePosixPath(_normal(name)).name)

    def read(self, name: str) -> bytes:
        """An image's encoded bytes. Raises BrokenRow if no tar holds it."""
        member = self.find(name)
        if member is None:
            raise BrokenRow(f"expected an image {name} in the tars, found none")
        if member.tar not in self._open:
            self._open[member.tar] = self.tars[member.tar].open("rb")
        file = self._open[member.tar]
        file.seek(member.offset)
        return file.read(member.size)

    def close(self) -> None:
        """Close the tars."""
        for file in self._open.values():
            file.close()

    def _index(self, index: int, path: Path) -> None:
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if not member.isfile():
                        continue
                    name = _normal(member.name)
                    if name in self._members:
                        other = self.tars[self._members[name].tar]
                        raise UserError(f"{path}: {name}: stands in {other} already")
                    self._members[name] = Member(index, member.offset_data, member.size)
                    tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every header
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{path}: not a complete tar: {error}") from None


def image_key(path: Path, items: Iterable[Item], images: ImageStore) -> str | None:
    """Which key of an item names its images: the one whose values, in every item that has them, name files in the tars.

    None if no item mentions an image. Raises UserError, with the keys that there are, if that is not exactly one key.
    """
    candidates: Counter[str] = Counter()
    keys: set[str] = set()
    with_images = 0
    for item in items:
        image_keys = {key for key, value in item.items() if _names_images(value, images)}
        keys |= set(item)
        with_images += bool(image_keys) or _mentions_image(item)
        candidates.update(image_keys)
    if not with_images:
        return None
    certain = sorted(key for key, times in candidates.items() if times == with_images)
    if len(certain) != 1:
        raise UserError(
            f"{path}: expected one key that names images in the tars, found {', '.join(certain) or 'none'} "
            f"(keys: {', '.join(sorted(keys))}; {len(images)} files in {len(images.tars)} tars)"
        )
    return certain[0]


def conversation(number: int, item: Item, key: str | None, images: ImageStore) -> tuple[Problem, str]:
    """An item as a problem and the response to learn. Its id is its number in the list. Raises BrokenRow."""
    question, response = _turns(item)
    names = item.get(key) if key else None
    names = [names] if isinstance(names, str) else names or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BrokenRow(f"{key}: expected names of images, found {names!r:.60}")
    data = [images.read(name) for name in names]
    boxed = extract_answer(response)[0]
    problem = Problem(
        id=f"sft-{number:07d}",
        source="MMR1/MMR1-SFT",
        question=marked(question, len(data)),
        images=tuple(data),
        answer=boxed or response.strip().splitlines()[-1],
        metadata={"boxed": bool(boxed)},
    )
    return whole(problem, response), response


def _turns(item: Item) -> tuple[str, str]:
    turns = item.get("conversations")
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


def _mentions_image(item: Item) -> bool:
    return IMAGE_MARK in json.dumps(item.get("conversations"))


def _names_images(value: Any, images: ImageStore) -> bool:
    names = [value] if isinstance(value, str) else value
    return (
        isinstance(names, list)
        and bool(names)
        and all(isinstance(name, str) and images.find(name) is not None for name in names)
    )


def _normal(name: str) -> str:
    return one_form(name).removeprefix("./").lstrip("/")
