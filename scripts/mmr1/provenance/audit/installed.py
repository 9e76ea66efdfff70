"""Whether the files of an environment are those that its packages brought: against the hashes in their own metadata."""

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmr1.plumbing.environment import MARKER
from mmr1.provenance.audit.findings import Finding, differs


def environments(checkout: Path) -> list[Path]:
    """The environments of a checkout that locks made: those of `make env`, and those of conda under `.snakemake`."""
    found = [*(checkout / ".envs").glob(f"*/{MARKER}"), *(checkout / ".snakemake/conda").glob(f"*/{MARKER}")]
    return sorted(path.parent for path in found)


def check_installed(prefix: Path, shown: str) -> Iterator[Finding]:
    """Files of packages whose bytes are not those that the package's RECORD lists, or that are gone.

    A RECORD names no hash for compiled files and for itself: whoever changes both a file and its RECORD is not found.
    """
    files = list(_listed(prefix))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = pool.map(lambda listed: _hash(listed[0]), files)
        for (path, expected), actual in zip(files, found, strict=True):
            if actual != expected:
                there = "no such file" if actual is None else "another"
                name = f"{shown}/{path.relative_to(prefix)}"
                yield differs(
                    name, f"expected the file that its package brought, found {there}", f"rm -r {shown}; make env"
                )


def _listed(prefix: Path) -> Iterator[tuple[Path, str]]:
    """Every installed file that its package has a hash for, and the hash (base64 without its padding)."""
    for record in sorted(prefix.glob("lib/python3*/site-packages/*.dist-info/RECORD")):
        with record.open(newline="", errors="replace") as file:
            for row in csv.reader(file):
                if len(row) == 3 and row[1].startswith("sha256="):
                    path = Path(os.path.normpath(record.parent.parent / row[0]))
                    if path.is_relative_to(prefix):
                        yield path, row[1].removeprefix("sha256=")


def _hash(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            value = hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
