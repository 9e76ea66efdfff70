"""Hashes of files as they are now: on all cores, or remembered from the audit before.

What is remembered holds as long as a file's size, time and inode do. A quick audit trusts that; a full one reads all.
"""

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from mmr1.plumbing.files import sha256

REMEMBERED = ".audit.json"  # in the results folder

Status = list[int]


@cache
def hash_of(path: Path) -> str | None:
    """The sha256 of a file of the checkout, read once; None where there is no such file."""
    return sha256(path) if path.is_file() else None


class Hashes:
    """The sha256 of files under a results folder and beside it. With `full` every byte is read anew."""

    def __init__(self, results: Path, full: bool) -> None:
        self.file = results / REMEMBERED
        self.bytes = 0  # read by this audit
        self._known: dict[str, tuple[Status, str]] = {}
        self._now: dict[Path, str | None] = {}
        if not full:
            with suppress(OSError, ValueError, TypeError):
                self._known = {
                    path: (status, value) for path, (status, value) in json.loads(self.file.read_text()).items()
                }

    def read(self, paths: Iterable[Path]) -> None:
        """Hash these files, as many at a time as there are cores: hashing does not hold Python's lock."""
        wanted = [path for path in dict.fromkeys(paths) if path not in self._now]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            self._now.update(zip(wanted, pool.map(self._hash, wanted), strict=True))

    def of(self, path: Path) -> str | None:
        """The sha256 of a file; None where there is no such file, or it cannot be read."""
        if path not in self._now:
            self._now[path] = self._hash(path)
        return self._now[path]

    def remember(self) -> None:
        """Keep what was read for the next quick audit, where the results can be written to."""
        kept = {}
        for path, value in self._now.items():
            with suppress(OSError):
                if value is not None:
                    kept[str(path)] = (_status(path), value)
        with suppress(OSError):
            temporary = self.file.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(kept))
            temporary.replace(self.file)

    def _hash(self, path: Path) -> str | None:
        try:
            status = _status(path)
            known = self._known.get(str(path))
            if known is not None and list(known[0]) == status:
                return known[1]
            self.bytes += status[0]
            return sha256(path)
        except OSError:
            return None


def _status(path: Path) -> Status:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]
