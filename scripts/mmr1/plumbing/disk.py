"""Room on disks: a full one told in one line whatever library ran into it, and told before the work where it is known.

Standard library only: records are written in the driver's environment, too.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mmr1.plumbing.errors import UserError

# No room on the device, none in the user's quota, none under the limit of a file's size.
ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# The same where a library has errors of its own: Rust's (safetensors, tokenizers), Arrow's, SQLite's. PyTorch's and
# NumPy's only say that they could not write.
WORDS = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|\(os error (?:28|122|27)\)|database or disk is full"
    r"|PytorchStreamWriter failed writing [^.]*|file write failed|unexpected pos \d+ vs \d+"
    r"|\d+ requested and \d+ written"
)


@contextmanager
def writing(path: Path, place: Path | None = None) -> Iterator[None]:
    """Raise UserError in place of the body's error if that means that there is no room for `path`.

    `place` is where its bytes lie until it has its name.
    """
    try:
        yield
    except Exception as error:
        reason = no_room(error)
        if reason is None:
            raise
        raise UserError(_describe(path, reason, bytes_under(place or path))) from error


def explained(error: BaseException, places: Iterable[Path]) -> BaseException:
    """The error itself or, if it means a full disk, a UserError that says where.

    `places` are where the job writes: if the error names no file, the one whose disk has the least room is named.
    """
    reason = no_room(error)
    if reason is None:
        return error
    named = getattr(error, "filename", None)
    path = Path(os.fsdecode(named)) if named else min(places, key=free_bytes, default=None)
    if path is None:
        return UserError(f"no room on a disk ({reason}): make room where this job writes and run again")
    return UserError(_describe(path, reason, bytes_under(path)))


def no_room(error: BaseException) -> str | None:
    """In which words an error, or one behind it, says that a disk is full; None if it says something else."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, UserError):
        if isinstance(seen, OSError) and seen.errno in ERRNOS:
            return os.strerror(seen.errno)
        if (words := WORDS.search(str(seen))) is not None:
            return words.group()
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def check_room(needs: Mapping[Path, float]) -> None:
    """Raises UserError if the bytes that will be written under some paths do not fit on their disks.

    Called before the work starts, with no more than what is sure to be written: needs of one disk are added up.
    """
    by_disk: dict[int, dict[Path, float]] = {}
    for path, need in needs.items():
        if need > 0:
            by_disk.setdefault(_existing(path).stat().st_dev, {})[path] = need
    for paths in by_disk.values():
        need = sum(paths.values())
        largest, *others = sorted(paths, key=lambda path: -paths[path])
        free = free_bytes(largest)
        if need > free:
            beside = f" (with {', '.join(map(str, others))})" if others else ""
            raise UserError(
                f"{largest}{beside}: expected at least {size(need)} free on the disk, found {size(free)}: "
                f"{size(need - free)} are missing"
            )


def responses_bytes(number: int, max_tokens: int) -> float:
    """A guess at a table of responses: a quarter of the tokens that are allowed, of two bytes each once compressed."""
    return number * max_tokens / 4 * 2


def free_bytes(path: Path) -> int:
    """What can still be written where `path` lies or will lie."""
    return shutil.disk_usage(_existing(path)).free


def bytes_under(path: Path) -> int:
    """The bytes of a file, or of all files of a folder; 0 where there is nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:  # removed meanwhile
                continue
    return total or (path.stat().st_size if path.is_file() else 0)


def size(number: float) -> str:
    """Bytes as people say them: `14.2 GiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number /= 1024
        del units[0]
    return f"{number:.0f} B" if units[0] == "B" else f"{number:.1f} {units[0]}"


def _describe(path: Path, reason: str, written: int) -> str:
    return (
        f"{path}: no room on the disk ({reason}): {size(written)} of it were written, {size(free_bytes(path))} are "
        "free; make room there and run again"
    )


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that there is."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())
