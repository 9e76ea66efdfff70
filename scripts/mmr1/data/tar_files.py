"""Files in tars, found by the paths that conversations give them. Only an index is in memory; no tar is unpacked."""

import os
import posixpath
import tarfile
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path

from mmr1.data.images import BrokenImage, shown_size
from mmr1.data.parallel import in_order
from mmr1.data.problems import BrokenRow
from mmr1.data.rows import one_form
from mmr1.plumbing.errors import UserError


class ImageStore:
    """The files in the tars of a folder.

    A path names the file that has it, or else the one whose path has the longest end in common with it, in whole
    parts: `data/DocReason/images/a.png` is `DocReason/images/a.png`, and `images/a.png` may be. Where folders are named
    on both sides, a common file name alone is not enough: `1.png` stands in many folders. Several such files are one if
    their bytes are the same, and otherwise the path is ambiguous. Links are the files that they point to.

    Paths are kept from their end (`a.png/images/DocReason/`), sorted, so that those with a common end are neighbours:
    about 150 bytes a file.
    """

    def __init__(self, folder: Path, workers: int = 1) -> None:
        """Index every tar, in so many processes. Raises UserError for a damaged one."""
        self.tars = sorted(folder.rglob("*.tar"))
        self._open: dict[int, int] = {}
        keys: list[str] = []
        places = [array("Q") for _ in range(3)]
        for number, members in enumerate(in_order(_members, self.tars, workers)):
            for key, offset, size in members:
                keys.append(key)
                for column, value in zip(places, (number, offset, size), strict=True):
                    column.append(value)
        order = sorted(range(len(keys)), key=keys.__getitem__)
        self._keys = [keys[index] for index in order]
        self._tars, self._offsets, self._sizes = (array("Q", (column[index] for index in order)) for column in places)

    def __len__(self) -> int:
        return len(self._keys)

    def read(self, name: str) -> bytes:
        """The bytes of the file that a path names. Raises BrokenRow if the tars hold none, or several others."""
        found = self._find(name)
        if not found:
            raise BrokenRow(f"expected a file of the tars, found none called {name}{self._namesake(name)}")
        first = found[0]
        data = self._read(first)
        if any(self._sizes[other] != len(data) or self._read(other) != data for other in found[1:]):
            raise BrokenRow(
                f"expected one file of the tars by that name, found {len(found)} of different bytes for {name}: "
                f"{self._where(first)}, {self._where(found[1])}"
            )
        return data

    def hold_images(self, names: Sequence[str]) -> bool:
        """Whether each path names one file, and that is an image by its header."""
        try:
            return all(shown_size(self.read(name)) for name in names)
        except (BrokenRow, BrokenImage):
            return False

    def close(self) -> None:
        """Close the tars."""
        for file in self._open.values():
            os.close(file)
        self._open.clear()

    def _find(self, name: str) -> Sequence[int]:
        """The files that a path may name, by their place in the index."""
        key, keys = _from_its_end(name), self._keys
        parts, at = key.count("/"), bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            return range(at, bisect_right(keys, key))
        neighbours = keys[max(at - 1, 0) : at + 1]
        shared = max((_shared_parts(key, one) for one in neighbours), default=0)
        if not shared:
            return ()
        end = "".join(f"{part}/" for part in key.split("/")[:shared])
        first = bisect_left(keys, end)
        if whole := range(first, bisect_right(keys, end)):  # files all of whose path is the end of this one
            return whole
        return range(first, bisect_left(keys, f"{end[:-1]}0")) if shared >= min(2, parts) else ()

    def _namesake(self, name: str) -> str:
        """What is said of a file of which only the file name is the same."""
        end = f"{_from_its_end(name).partition('/')[0]}/"
        at = bisect_left(self._keys, end)
        there = at < len(self._keys) and self._keys[at].startswith(end)
        return f" (of {self._where(at)} the file name alone is the same)" if there else ""

    def _where(self, at: int) -> str:
        path = "/".join(reversed(self._keys[at].split("/")[:-1]))
        return f"{path} in {self.tars[self._tars[at]].name}"

    def _read(self, at: int) -> bytes:
        tar = self._tars[at]
        if tar not in self._open:
            self._open[tar] = os.open(self.tars[tar], os.O_RDONLY)
        return os.pread(self._open[tar], self._sizes[at], self._offsets[at])


def _members(path: Path) -> list[tuple[str, int, int]]:
    """The files of a tar: path from its end, first byte, size. Raises UserError for a damaged tar."""
    members: list[tuple[str, int, int]] = []
    links: list[tuple[str, str]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isreg():
                    members.append((_from_its_end(member.name), member.offset_data, member.size))
                elif member.islnk():
                    links.append((member.name, member.linkname))
                elif member.issym():
                    beside = posixpath.dirname(member.name)
                    links.append((member.name, posixpath.normpath(posixpath.join(beside, member.linkname))))
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every header
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{path}: not a complete tar: {error}") from None
    return [*members, *_resolved(members, links)]


def _resolved(members: list[tuple[str, int, int]], links: list[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """The links as files: each with the bytes that it leads to, over other links, too; without those to nowhere."""
    if not links:
        return []
    files = {key: place for key, *place in members}
    targets = {_from_its_end(name): _from_its_end(target) for name, target in links}
    resolved = []
    for key, target in targets.items():
        for _ in range(len(targets)):
            if target in files or target not in targets:
                break
            target = targets[target]
        if target in files:
            offset, size = files[target]
            resolved.append((key, offset, size))
    return resolved


def _shared_parts(one: str, other: str) -> int:
    """How many parts two paths have in common, from their ends."""
    pairs = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/")))


def _from_its_end(path: str) -> str:
    r"""A path's parts from its end, each followed by a slash; `\` parts, too, and Unicode is composed (NFC)."""
    parts = [part for part in one_form(path).replace("\\", "/").split("/") if part not in ("", ".")]
    return "".join(f"{part}/" for part in reversed(parts))
