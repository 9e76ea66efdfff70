"""A copy of the project's files, in which a test or a benchmark may change things, and Snakemake, run in it."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from forking import ForkingServer

ROOT = Path(__file__).parents[1]
TINY = "tests/recipes/tiny.yaml"
PARTS = ("Snakefile", "workflow", "config", "envs", "scripts", "tests/recipes")


def copy_project(folder: Path) -> Path:
    """The files a run needs, as a fresh checkout would have them."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    return folder


# Stands for `python`: a word that names no file yet, among the results, is an output. Beside a folder stands what says
# what it holds.
STAND_IN = """
import hashlib
import sys
from pathlib import Path

for word in sys.argv[1:]:
    path = Path(word)
    if word.startswith("results/") and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_bytes(word.encode() * ({large}.get(word, 1)))
        else:
            path.mkdir()
            (path / "file").write_text(word)
            line = hashlib.sha256(word.encode()).hexdigest() + "  file\\n"
            path.with_name(path.name + ".sha256").write_text(line)
"""


def stand_in_python(project: Path, large: dict[str, int] | None = None) -> str:
    """A `python` that makes every output of a job in an instant, as a PATH; `large` ones hold their name many times."""
    program = STAND_IN.replace("{large}", repr(large or {}))
    (project / "scripts/export_mlflow.py").write_text(program)  # the driver's Python runs it
    tools = project.parent / "tools"
    tools.mkdir()
    (tools / "python").write_text(f"#!{sys.executable}\n{program}")
    (tools / "python").chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


def command(*words: str, recipe: str = TINY) -> list[str]:
    """Snakemake's command line, with the driver's Snakemake."""
    snakemake = str(ROOT / ".envs/driver/bin/snakemake")
    return [snakemake, "--configfile", recipe, "--profile", "workflow/profiles/local", *words]


def environment(**variables: str) -> dict[str, str]:
    """The environment's variables as `make` sets them, and some more; not what this call of `make` was told."""
    path = f"{ROOT}/.envs/cpu/bin:{ROOT}/.envs/driver/bin:{os.environ['PATH']}"
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS")
    }
    return {**inherited, "PATH": path, **variables}


@cache
def forking_server() -> ForkingServer:
    """What starts Snakemake, and other programs of the driver's environment, in half the time.

    Beside its `python` is a `snakemake`. It ends with this process.
    """
    server = ForkingServer("driver", ROOT / ".envs/driver/bin/python")
    called = Path(server.python).with_name("snakemake")
    called.write_text(f'#!/bin/sh\nexec {server.python} {ROOT}/.envs/driver/bin/snakemake "$@"\n')
    called.chmod(0o755)
    return server


def forking_path(server: ForkingServer) -> str:
    """PATH with the `python` of a server for torch first, and the `snakemake` that starts in half the time."""
    first = f"{Path(server.python).parent}:{Path(forking_server().python).parent}"
    return f"{first}:{environment()['PATH']}"


def in_driver(project: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program, its path first, in a project and the driver's environment."""
    return subprocess.run(
        [forking_server().python, *map(str, words)],
        cwd=project,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def snakemake(project: Path, *words: str, recipe: str = TINY, rc: int = 0, **variables: str) -> str:
    """Run Snakemake in a project, check its exit code, and return what it printed."""
    done = in_driver(project, *command(*words, recipe=recipe), **variables)
    printed = done.stdout + done.stderr
    assert done.returncode == rc, printed[-4000:]
    return printed
