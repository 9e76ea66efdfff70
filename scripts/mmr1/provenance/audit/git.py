"""Where git still has a file as it was: the command that puts it back."""

import hashlib
import shlex
import subprocess
from functools import cache
from pathlib import Path

COMMITS = 50  # that changed a file and are looked at, the newest first


@cache
def restoring(checkout: Path, path: str, sha256: str, commit: str | None = None) -> str:
    """The command that gives a file of the checkout back the bytes with this sha256; nothing where git has none such.

    `commit` is looked at first, then HEAD, then those that changed the file.
    """
    commits = [commit] if commit else []
    for known in [*commits, "HEAD"]:
        if _hash_at(checkout, known, path) == sha256:
            return f"git checkout {known[:12]} -- {shlex.quote(path)}"
    for known in _git(checkout, "log", f"-{COMMITS}", "--format=%H", "--", path).decode().split():
        if _hash_at(checkout, known, path) == sha256:
            return f"git checkout {known[:12]} -- {shlex.quote(path)}"
    return ""


def _hash_at(checkout: Path, commit: str, path: str) -> str:
    text = _git(checkout, "show", f"{commit}:./{path}")
    return hashlib.sha256(text).hexdigest() if text else ""


def _git(checkout: Path, *words: str) -> bytes:
    """What git prints; nothing where it fails or is not there."""
    try:
        return subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""
