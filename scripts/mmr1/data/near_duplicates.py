"""Training problems that are near-duplicates of a benchmark's: the same question, the same images, or both.

- **Texts** are the same if their letters and digits are: after Unicode's compatibility form (NFKC), without case,
  spaces, punctuation and image marks. A text alone says nothing below 20 of them ("what is shown?").
- **Images** are the same if their perceptual hashes differ in at most 4 of 64 bits, and their 32 × 32 grey levels by at
  most 8 of 255 on average. The hash is `phash` of the library `imagehash`: the signs, against their median, of the
  8 × 8 lowest frequencies of the 32 × 32 image's cosine transform. An image of one colour is like none.

A row is alike in its images if each image of the benchmark's item is like one of its own.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from mmr1.data.images import BrokenImage, open_image
from mmr1.data.problems import IMAGE_MARK, Problem

DUPLICATES = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("benchmark_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # "same": text and images; "text" or "images": these alone
    ]
)
SAME, TEXT, IMAGES = "same", "text", "images"

SMALL, KNOWN = 4096, 4096  # images of at most so many bytes recur in a set: what that many of them are like is kept
SIDE, FLAT = 32, 8  # an image with fewer grey levels between its darkest and its lightest is of one colour
BITS, LEVELS, CHARACTERS = 4, 8.0, 20


@dataclass(frozen=True)
class Look:
    """What an image is compared by: 64 bits, and grey levels, uint8 [1024]."""

    bits: np.uint64
    grey: NDArray[np.uint8]


def look(data: bytes) -> Look | None:
    """What an encoded image is compared by; None for one colour, and for what is no image."""
    from imagehash import phash

    try:
        grey = open_image(data).convert("L")
    except BrokenImage:
        return None
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    if int(small.max()) - int(small.min()) < FLAT:
        return None
    return Look(np.packbits(phash(grey).hash).view(np.uint64)[0], small.ravel())


def plain_text(question: str) -> str:
    """The letters and digits of a question, by which texts are compared."""
    text = unicodedata.normalize("NFKC", question.replace(IMAGE_MARK, "")).casefold()
    return "".join(filter(str.isalnum, text))


class Questions:
    """The problems of benchmarks, to be compared with."""

    def __init__(self, benchmarks: Mapping[str, Iterable[Problem]]) -> None:
        self._names: list[tuple[str, str]] = []
        self._texts: list[str] = []
        self._by_text: defaultdict[str, list[int]] = defaultdict(list)
        self._images: list[list[int]] = []  # of each item, as numbers of looks; empty where one cannot be compared
        self._has_images: list[bool] = []
        looks: list[Look] = []
        for name, problems in benchmarks.items():
            for problem in problems:
                number, text = len(self._names), plain_text(problem.question)
                self._names.append((name, problem.id))
                self._texts.append(text)
                self._by_text[text].append(number)
                seen = [look(data) for data in problem.images]
                own = [one for one in seen if one is not None]
                self._has_images.append(bool(seen))
                self._images.append([*range(len(looks), len(looks) + len(own))] if len(own) == len(seen) else [])
                looks += own
        self._owners: defaultdict[int, list[int]] = defaultdict(list)
        for number, images in enumerate(self._images):
            for image in images:
                self._owners[image].append(number)
        self._bits = np.array([one.bits for one in looks], np.uint64)
        self._grey = np.array([one.grey for one in looks], np.int16).reshape(len(looks), SIDE * SIDE)
        self._near_small = lru_cache(KNOWN)(self._near)

    def __len__(self) -> int:
        return len(self._names)

    def like(self, problem: Problem) -> list[tuple[str, str, str]]:
        """Benchmark, id and kind of each item that a problem is like; of many like each other, the first of a kind."""
        text = plain_text(problem.question)
        pictured = self._with_images_of(problem.images)
        found: dict[tuple[str, str], str] = {}
        for number in sorted({*pictured, *self._by_text.get(text, [])}):
            kind = self._kind(number, text, number in pictured, bool(problem.images))
            if kind is not None:
                found.setdefault((self._names[number][0], kind), self._names[number][1])
        return [(benchmark, name, kind) for (benchmark, kind), name in found.items()]

    def _kind(self, number: int, text: str, pictured: bool, has_images: bool) -> str | None:
        same_text = self._texts[number] == text
        if pictured:
            return SAME if same_text else IMAGES
        if len(text) < CHARACTERS:
            return None
        return TEXT if has_images or self._has_images[number] else SAME

    def _with_images_of(self, images: Sequence[bytes]) -> set[int]:
        """The items each of whose images is like one of these."""
        near: set[int] = set()
        for data in images if len(self._bits) else ():
            near |= self._near_small(data) if len(data) <= SMALL else self._near(data)
        items = {number for image in near for number in self._owners[image]}
        return {number for number in items if near.issuperset(self._images[number])}

    def _near(self, data: bytes) -> frozenset[int]:
        """The looks that an image is like, by their numbers."""
        own = look(data)
        if own is None:
            return frozenset()
        close = np.flatnonzero(np.bitwise_count(self._bits ^ own.bits) <= BITS)
        away = np.abs(self._grey[close] - own.grey.astype(np.int16)).mean(axis=1)
        return frozenset(close[away <= LEVELS].tolist())
