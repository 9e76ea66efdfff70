"""Whether the files of an environment are those that its packages brought: against the hashes in their own metadata."""

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

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
    packages = sorted(prefix.glob("lib/python3*/site-packages/*.dist-info/RECORD"))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for changed in pool.map(lambda record: _changed(record, str(prefix)), packages):
            for path, there in changed:
                problem = f"expected the file that its package brought, found {there}"
                yield differs(f"{shown}/{os.path.relpath(path, prefix)}", problem, f"rm -r {quote(shown)}; make env")


def _changed(record: Path, prefix: str) -> list[tuple[str, str]]:
    """The files of a package that are not as it brought them, and what is there."""
    site, changed = str(record.parent.parent), []
    with record.open(newline="", errors="replace") as file:
        for row in csv.reader(file):
            if len(row) == 3 and row[1].startswith("sha256=") and not row[0].endswith(".pyc"):
                path = os.path.normpath(os.path.join(site, row[0]))  # not pathlib: there are tens of thousands
                if path.startswith(f"{prefix}/") and (found := _hash(path)) != row[1].removeprefix("sha256="):
                    changed.append((path, "no such file" if found is None else "another"))
    return changed


def _hash(path: str) -> str | None:
    """The sha256 of a file as RECORDs have it: base64 without its padding."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            value = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
    except OSError:
        return None
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
