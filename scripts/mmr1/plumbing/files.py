"""Files that are whole or absent: every output is written under a temporary name, synced and renamed."""

import errno
import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmr1.plumbing.disk import writing
from mmr1.plumbing.errors import UserError

# Snakemake drops this into directory outputs after the job has ended; it is not part of what the job made.
NOT_CONTENT = {".snakemake_timestamp"}
# In the temporary folder of `atomic`: locked for as long as its program lives. The system's lock, as of a work folder.
HELD = ".held"
# Of files that people bring: with or without a byte-order mark.
UTF_8 = "utf-8-sig"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it to `path`, on failure remove it.

    The body may create a file or a folder there. An older file or folder under `path` is replaced. Raises UserError
    if there is no room on the disk.
    """
    path = Path(path)
    with temporary_beside(path) as temporary:
        target = temporary / path.name
        with writing(path, target):
            yield target
            for file in files_under(target):
                sync(file)
            if path.is_dir() and not path.is_symlink():
                os.rename(path, temporary / "replaced")
            os.replace(target, path)
            sync(path.parent)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A folder beside an output, for what is needed to make it; a killed program's goes with the next start of its job.

    Raises UserError if there is no room on the disk.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder, held = _temporary(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def remove_leftovers(path: Path) -> list[Path]:
    """Remove what killed programs left of `path` under temporary names, and return it.

    What a living program writes stays, on whichever node of a shared file system it runs.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.\w{{8}}")  # as tempfile.mkdtemp gives it
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    removed = [one for one in siblings if name.fullmatch(one.name) and one.is_dir() and not _is_held(one)]
    for leftover in removed:
        shutil.rmtree(leftover, ignore_errors=True)
    return removed


def _temporary(path: Path) -> tuple[Path, int]:
    """A new folder beside `path`, and the descriptor that holds it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        held = None
        try:
            held = os.open(folder / HELD, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EACCES, errno.EAGAIN):  # somebody who removes leftovers was faster
                    raise FileNotFoundError from error
            if os.path.samestat(os.fstat(held), (folder / HELD).stat()):
                return folder, held
        except FileNotFoundError:  # taken for a leftover before it was held
            if held is not None:
                os.close(held)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _is_held(folder: Path) -> bool:
    """Whether the program that made a temporary folder lives; taken for granted where the file system has no locks."""
    try:
        file = os.open(folder / HELD, os.O_RDWR)
    except FileNotFoundError:  # killed before it was held
        return False
    except OSError:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def files_under(path: str | Path) -> list[Path]:
    """The files that make up an input or output: the file itself, or all files of a folder, sorted by name."""
    path = Path(path)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.name not in NOT_CONTENT)
    return [path]


def sha256(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """The sha256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_json(path: str | Path) -> Any:
    """A JSON file's value (UTF-8). Raises UserError if it is missing or is not JSON."""
    return read_json_and_bytes(path)[0]


def read_json_and_bytes(path: str | Path) -> tuple[Any, bytes]:
    """The same, and the bytes that say so, read at once: others may write the file anew meanwhile."""
    try:
        data = Path(path).read_bytes()
        return parse_json(data.decode(UTF_8)), data
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path}: expected JSON: {error}") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text. An integer of more digits than Python converts stays the text of them.

    Raises ValueError, in one line, for what is no JSON, and for lists or objects nested more deeply than Python reads.
    """
    try:
        return json.loads(text, parse_int=integer)
    except RecursionError:
        raise ValueError("lists or objects nested too deeply") from None
    except ValueError as error:
        page = text.lstrip()
        raise ValueError(f"{error}, found {page[:40]!r}" if page.startswith("<") else str(error)) from None


def integer(digits: str) -> int | str:
    """The number, or its digits where they are more than Python converts (4,300)."""
    try:
        return int(digits)
    except ValueError:
        return digits


def as_text(value: Any) -> str:
    """A JSON value as `write_json` writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically. Keys keep their order."""
    with atomic(path) as temporary:
        temporary.write_text(as_text(value))


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """A JSON-lines file's objects (gzip-compressed if its name ends in .gz).

    Raises UserError naming the line that is not a JSON object.
    """
    rows = []
    try:
        data = Path(path).read_bytes()
        text = (gzip.decompress(data) if Path(path).suffix == ".gz" else data).decode(UTF_8)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path}: expected JSON lines: {error}") from None
    # Not splitlines(): a JSON string may hold U+2028 and its like as they are.
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line)
        except ValueError as error:
            raise UserError(f"{path}: line {number}: expected JSON: {error}") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}: line {number}: expected a JSON object, found {type(row).__name__}")
        rows.append(row)
    return rows


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    with atomic(path) as temporary, temporary.open("w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
