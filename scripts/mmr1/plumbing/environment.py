"""The packages a program runs with, held against the lock that its environment was made from.

`envs/install.sh` leaves a marker in each environment that says which lock of `envs/` made it. A job compares what is
installed with that lock before it does anything: a number made with other packages is not the number that the lock
stands for. Standard library only: it runs at the start of every program, and takes some 10 ms.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, sha256

LOCKS = Path(__file__).resolve().parents[3] / "envs"
MARKER = "mmr1-lock.json"
# "warn" lets a job run in an environment that differs from its lock.
VARIABLE = "MMR1_ENVIRONMENT"
# What conda's Python brings along. Programs do not import them; a lock that names one pins it all the same.
INSTALLERS = frozenset({"pip", "setuptools", "wheel"})


def check_environment() -> None:
    """Raise UserError if the installed packages differ from the lock; only say so if MMR1_ENVIRONMENT is "warn".

    An environment that no lock made (a program run by hand) is mentioned and used.
    """
    lock = lock_comparison()
    if lock is None:
        _say(f"environment: {sys.prefix} was not made from a lock of envs/; records will say so")
    elif lock["differences"]:
        message = describe(lock["name"], lock["differences"])
        if os.environ.get(VARIABLE) != "warn":
            remedy = f"build it again (make env, or delete the conda environment) or set {VARIABLE}=warn"
            raise UserError(f"{message}; {remedy}")
        _say(message)


@cache
def environment() -> dict[str, Any]:
    """`python` and `packages` (name to version), which are what is there, and `sha256`, a digest over the two."""
    # Setuptools puts a folder of its own copies on the path of a process that imports it: nobody installed those.
    folders = [folder for folder in sys.path if Path(folder).name != "_vendor"]
    content = {"python": platform.python_version(), "packages": installed(folders)}
    return {"sha256": digest(content), **content}


@cache
def lock_comparison() -> dict[str, Any] | None:
    """The `name` and `sha256` of the environment's lock, and the `differences` from it; None where no lock made it."""
    lock = _lock(Path(sys.prefix) / MARKER)
    if lock is None:
        return None
    packages = differences(environment()["packages"], locked(lock))
    return {"name": lock.stem, "sha256": sha256(lock), "differences": packages}


def locked_by() -> str | None:
    """The name of the lock that made this environment; None where none did."""
    lock = _lock(Path(sys.prefix) / MARKER)
    return None if lock is None else lock.stem


def made_here(name: str, root: Path) -> bool:
    """Whether `make env` made the environment `.envs/NAME` of a checkout from its present lock."""
    marker, lock = root / ".envs" / name / MARKER, root / "envs" / f"{name}.lock"
    try:
        made_from = json.loads(marker.read_text()).get("lock")
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return False
    return bool(made_from == sha256(lock))


def jobs_environments(names: Sequence[str], root: Path, conda: bool) -> str:
    """In one line, what makes the environments that a call's jobs run in; `names` are those that its rules ask for.

    Raises UserError if jobs would run in a `python` that no lock made, or that another's lock made, unless
    MMR1_ENVIRONMENT is "warn".
    """
    if conda:
        return "environments: conda's, one for each rule"
    missing = [name for name in names if not made_here(name, root)]
    if not missing:
        return f"environments: {', '.join(f'.envs/{name}' for name in names)}, made by make env (conda is not used)"
    said = subprocess.run(
        ["python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=False
    )
    prefix = said.stdout.strip() or "none"
    lock = _lock(Path(prefix) / MARKER)
    maker = "no lock of envs/" if lock is None else f"envs/{lock.name}"
    message = f"environments: jobs in {', '.join(missing)} would run in python on PATH, {prefix}, made by {maker}"
    enough = lock is not None and (lock.stem in missing or lock.stem == "gpu") and {*missing} <= {lock.stem, "cpu"}
    if not enough and os.environ.get(VARIABLE) != "warn":
        remedy = f'make env ENVIRONMENTS="driver {" ".join(names)}", or have conda on PATH and --sdm conda'
        raise UserError(f"{message}: {remedy}; {VARIABLE}=warn takes it as it is")
    return message


def installed(folders: list[str]) -> dict[str, str]:
    """Every distribution in the folders of an import path with its version: the first folder that has one counts.

    Read from the names of `*.dist-info` folders, which is twenty times faster than their metadata.
    """
    packages: dict[str, str] = {}
    for folder in map(Path, folders):
        if folder.is_dir():
            for info in folder.glob("*.dist-info"):
                name, _, version = info.stem.partition("-")
                packages.setdefault(normalized(name), version)
    return dict(sorted(packages.items()))


def locked(lock: Path) -> dict[str, str]:
    """The packages and versions of a lock, a requirements file of exact pins."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE)
    return {normalized(name): version for name, version in pins}


def differences(packages: dict[str, str], pins: dict[str, str]) -> list[dict[str, str | None]]:
    """Packages whose version is not the lock's, that are missing, or that the lock does not know; sorted by name."""
    names = sorted((packages.keys() | pins.keys()) - (INSTALLERS - pins.keys()))
    return [
        {"package": name, "installed": packages.get(name), "locked": pins.get(name)}
        for name in names
        if packages.get(name) != pins.get(name)
    ]


def describe(name: str, packages: list[dict[str, str | None]]) -> str:
    """The first difference in words, and how many more there are."""
    first, more = packages[0], len(packages) - 1
    return (
        f"environment {name}: {first['package']} {first['installed'] or 'missing'},"
        f" expected {first['locked'] or 'none'} by envs/{name}.lock" + (f" (and {more} more)" if more else "")
    )


def normalized(name: str) -> str:
    """A distribution's name as the packaging standards compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _lock(marker: Path) -> Path | None:
    """The lock that a marker names; None without a marker."""
    try:
        name = json.loads(marker.read_text())["name"]
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{marker}: expected JSON with the name of a lock; build the environment again") from None
    lock = LOCKS / f"{name}.lock"
    if not lock.is_file():
        raise UserError(f"{marker}: names {name}, but there is no envs/{name}.lock")
    return lock


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
