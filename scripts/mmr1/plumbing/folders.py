"""What a folder holds, in a small file beside it: `checkpoint.sha256` lists the files of `checkpoint/`.

A job writes one for each folder that it makes. Workflow rules take this file as an input, so that a folder counts by
what it holds and never by its time. Its lines are those of `sha256sum`: `cd checkpoint && sha256sum -c
../checkpoint.sha256` checks a folder by hand.
"""

from collections.abc import Mapping
from pathlib import Path

from mmr1.plumbing.files import atomic, files_under


def digest_file(folder: str | Path) -> Path:
    """Where the digests of a folder's files stand."""
    return Path(folder).with_name(f"{Path(folder).name}.sha256")


def write_digests(folder: Path, hashes: Mapping[str, str]) -> None:
    """Write down what a folder holds: its files' paths, which begin with the folder's own, to their sha256."""
    with atomic(digest_file(folder)) as temporary:
        temporary.write_text(digests(folder, hashes))


def digests(folder: Path, hashes: Mapping[str, str]) -> str:
    """The lines of a folder's digest file: one per file, sorted by its path in the folder."""
    inside = sorted((Path(path).relative_to(folder).as_posix(), sha256) for path, sha256 in hashes.items())
    return "".join(f"{sha256}  {path}\n" for path, sha256 in inside)


def contents(folder: str | Path, made_under: str | Path) -> list[str]:
    """The files by which a folder's content is known: its digest file, or all its files where no job made it.

    Jobs make the folders under `made_under`, and have a digest file for each, which need not be there yet.
    """
    listed = digest_file(folder)
    if Path(folder).is_relative_to(made_under) or listed.is_file():
        return [listed.as_posix()]
    return [file.as_posix() for file in files_under(folder)]
