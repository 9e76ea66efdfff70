"""The start marker of a job: it says running, then finished or failed, and what came of the starts before.

It lies twice: Snakemake keeps a failed job's marker as a log and removes it before the next start, and a copy beside it
(`kept_marker`) stays. A job that was killed is known by a marker that still says running.
"""

import errno
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmr1.plumbing import disk
from mmr1.plumbing.errors import SharedError, UserError
from mmr1.plumbing.files import as_text, atomic, digest
from mmr1.plumbing.interruption import Interrupted
from mmr1.plumbing.machine import where
from mmr1.plumbing.orphan import end_orphan, read_marker
from mmr1.plumbing.seal import sealed
from mmr1.plumbing.secrets import blotted_values

# Spaces behind a marker that says running: what it says in the end must fit its place when the disk is full.
MARKER_ROOM, LONGEST_ERROR = 8192, 2000


def attempt_name(rule: str, wildcards: str, start: datetime, host: str, pid: int) -> str:
    """A digest that names one start of a job."""
    return digest([rule, wildcards, start.isoformat(), host, pid])


class Attempt:
    """One start of a job whose marker is `path`, if it has one. `places` are where the job writes."""

    def __init__(self, path: Path | None, places: Sequence[Path]) -> None:
        self.path, self.places = path, places
        self.start = datetime.now(UTC)
        self.earlier: list[dict[str, Any]] = []

    def end_orphan(self) -> None:
        """End the start before, if it still runs for a Snakemake that was killed; UserError where it does not end."""
        if self.path is not None:
            end_orphan(kept_marker(self.path))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say running, and in the end what came of the body.

        Raises UserError in place of an error that means a full disk, or that another rank of the job has failed.
        """
        self.earlier = [] if self.path is None else _earlier(kept_marker(self.path))
        marker = {"state": "running", "argv": sys.argv, "start": self.start.isoformat(), **where()}
        marker |= {"earlier": self.earlier}
        self._mark(marker)
        try:
            yield
        except BaseException as error:
            told = self._of_another_rank(error) or disk.explained(error, self.places)
            self._mark({**marker, "state": "failed", "end": _now(), "error": _describe(told)})
            if told is error:
                raise
            raise told from error
        self._mark({**marker, "state": "finished", "end": _now()})

    @contextmanager
    def beside(self, rank: int) -> Iterator[None]:
        """The part of a rank that is not the first: if it fails, the job has failed, whatever becomes of the first.

        The launcher ends the other ranks at once, and one that waits for this one could not say anything any more.
        """
        try:
            yield
        except (Interrupted, SharedError):
            raise  # so does the first
        except Exception as error:
            told = disk.explained(error, self.places)
            marker = None if self.path is None else read_marker(kept_marker(self.path))
            if marker is not None and marker["state"] == "running":
                self._mark({**marker, "state": "failed", "end": _now(), "error": _describe(told), "rank": rank})
            if told is error:
                raise
            raise told from error

    def _of_another_rank(self, error: BaseException) -> UserError | None:
        """What another rank has said, in place of an error that only means that it is gone."""
        if self.path is None or not isinstance(error, Exception) or isinstance(error, UserError | Interrupted):
            return None
        said = read_marker(kept_marker(self.path)) or {}
        if said.get("state") != "failed" or "rank" not in said:
            return None
        return UserError(f"rank {said['rank']}: {said['error'].removeprefix(f'{_describe(UserError())}: ')}")

    def _mark(self, marker: dict[str, Any]) -> None:
        if self.path is not None:
            # The kept one first: a job killed between the two must not be seen by a reader and then be forgotten.
            for path in (kept_marker(self.path), self.path):
                _write(path, marker)


def kept_marker(attempt: Path) -> Path:
    """Where a start marker stays: Snakemake keeps a failed job's logs, and removes them before its next attempt."""
    return attempt.with_suffix(".kept.json")


def _earlier(kept: Path) -> list[dict[str, Any]]:
    """The starts of this job that came to nothing: what failed says failed, what was killed still says running."""
    last = read_marker(kept)
    if last is None:
        return []
    earlier = last.pop("earlier", [])
    last.pop("integrity", None)  # it is of the whole marker
    return earlier if last["state"] == "finished" else [*earlier, last]


def _write(path: Path, marker: dict[str, Any]) -> None:
    """Write a marker. What a job says in the end fits the room that its running marker has, if the disk is full."""
    text = as_text(sealed(blotted_values(marker)))
    running = marker["state"] == "running"
    try:
        with atomic(path) as temporary:
            temporary.write_text(text + " " * MARKER_ROOM if running else text)
    except UserError as full:
        if running:
            raise
        try:
            _overwrite(path, text.encode())
        except OSError:
            print(f"warning: {full}; it does not say {marker['state']}", file=sys.stderr, flush=True)


def _overwrite(path: Path, content: bytes) -> None:
    """Replace a file's content by a shorter one in the blocks that it has. Raises OSError if it is not shorter."""
    with path.open("rb+") as file:
        room = os.fstat(file.fileno()).st_size
        if len(content) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        file.write(content.ljust(room))


def _describe(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()[:LONGEST_ERROR]


def _now() -> str:
    return datetime.now(UTC).isoformat()
