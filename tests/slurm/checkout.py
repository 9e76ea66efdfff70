"""A copy of the repository to run Snakemake in, with real programs or with quick ones that stand for them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from project import forking_server
from slurm.cluster import Cluster, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "scripts", "config", "envs", "slurm")
RECIPE = "tests/recipes/tiny.yaml"
SECONDS = 2400  # more than any call takes on a busy machine
SFT = "results/tiny/tiny/sft/checkpoint"

# How often each quick program was started by then.
ONCE = {"prepare_data": 1, "build_tiny_model": 1, "train_sft": 1}
AFTER_ONE_REPEAT = ONCE | {"train_sft": 2}

# What each program of the early stages writes: options that name files, and options that name folders.
WRITES = {
    "prepare_data": (["problems", "sft", "sft_validation", "validation", "test"], []),
    "build_tiny_model": ([], ["out"]),
    "train_sft": (["metrics"], ["out"]),
    "generate": (["out"], []),
}

STAND_IN = '''"""Stands for the real program: writes its outputs, and a journal of when it ran."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.record import add_job_arguments, job

NAME, FILES, FOLDERS = {name!r}, {files!r}, {folders!r}
SHOWN = ("SLURM_JOB_ID", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES", "RANK", "WORLD_SIZE", "MMR1_CHANGED_INPUTS")


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in FILES + FOLDERS:
        parser.add_argument("--" + option.replace("_", "-"), dest=option, type=Path, required=True)
    add_job_arguments(parser)
    args, _ = parser.parse_known_args()
    first = say(args, "start") == 1
    if os.environ.get("RANK", "0") != "0":
        return
    with job(args, inputs={{}}, outputs={{name: getattr(args, name) for name in FILES + FOLDERS}}):
        if NAME == os.environ.get("STAND_IN_FAILS"):
            print("the last words of", NAME, file=sys.stderr)
            sys.exit(3)
        if NAME == os.environ.get("STAND_IN_WAITS") and first:
            while not Path("go").exists():
                time.sleep(0.2)
        for name in FILES:
            getattr(args, name).write_text(NAME)
        for name in FOLDERS:
            getattr(args, name).mkdir(parents=True, exist_ok=True)
            (getattr(args, name) / "file").write_text(NAME)
    say(args, "end")


def say(args: argparse.Namespace, what: str) -> int:
    """Add a line to the journal, and count those of this job that say the same."""
    where = {{name: os.environ.get(name) for name in SHOWN}}
    entry = {{"program": NAME, "record": str(args.record), "event": what, **where}}
    with open("journal.jsonl", "a") as journal:
        journal.write(json.dumps(entry) + "\\n")
    lines = [json.loads(line) for line in Path("journal.jsonl").read_text().splitlines()]
    return sum(line["record"] == entry["record"] and line["event"] == what for line in lines)


if __name__ == "__main__":
    run(main)
'''


class Checkout:
    """One working copy. Snakemake is called in it as a user would call it, with the profile as it stands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for part in PARTS:
            source, target = REPOSITORY / part, folder / part
            if source.is_symlink():
                target.symlink_to(os.readlink(source))
            elif source.is_dir():
                shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        (folder / RECIPE).parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / RECIPE, folder / RECIPE)

    def copy(self, folder: Path) -> "Checkout":
        """Another checkout with the same results."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(Checkout)
        other.folder = folder
        return other

    def with_stand_ins(self) -> "Checkout":
        """Put quick programs in the place of the real ones."""
        for name, (files, folders) in WRITES.items():
            text = STAND_IN.format(name=name, files=files, folders=folders)
            (self.folder / "scripts" / f"{name}.py").write_text(text)
        return self

    def start(self, *words: str, **environment: str) -> "Head":
        """Start Snakemake."""
        return Head(self.folder, words, environment)

    def call(self, *words: str, ok: bool = True, **environment: str) -> str:
        """Run Snakemake to its end and return what it said; it must succeed, or fail where `ok` is not set."""
        return self.start(*words, **environment).end(ok)

    def on_slurm(self, target: str, *options: str, recipe: str = RECIPE) -> list[str]:
        """`--profile slurm`, with what a test needs besides: it looks at jobs at once, and submits four at a time."""
        quick = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5", "--jobs", "4"]
        return ["--profile", "slurm", "--configfile", recipe, *quick, *options, "--", target]

    def here(self, *targets: str) -> list[str]:
        """`--profile slurm`, but on this machine and at once."""
        local = ["--executor", "local", "--cores", "2", "--latency-wait", "0"]
        return ["--profile", "slurm", "--configfile", RECIPE, *local, "--", *targets]

    def due(self, *targets: str, recipe: str = RECIPE, options: Sequence[str] = ()) -> Counter[str]:
        """How many jobs of each rule a dry run would do."""
        words = ["--profile", "slurm", "--dry-run", "--configfile", recipe, *options, "--", *targets]
        command = [forking_server().python, snakemake(), *words]
        done = subprocess.run(command, cwd=self.folder, env=_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-6000:]
        return Counter(re.findall(r"^(?:local)?rule (?!all:)(\w+):$", done.stdout + done.stderr, re.M))

    def journal(self) -> list[dict[str, Any]]:
        """What stand-ins said, in order."""
        path = self.folder / "journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def started(self) -> Counter[str]:
        """How often each program was started."""
        return Counter(entry["program"] for entry in self.journal() if entry["event"] == "start")


class Head:
    """A running Snakemake. What it says goes to a file: a pipe that nobody reads would stop it."""

    def __init__(self, folder: Path, words: Sequence[str], environment: dict[str, str]) -> None:
        file, path = tempfile.mkstemp(dir=folder.parent, suffix=".out")
        self._said = Path(path)
        with os.fdopen(file) as out:
            self._process = subprocess.Popen(
                # It ends with the tests, and hears Ctrl-C even where they run in a shell's background.
                ["setpriv", "--pdeathsig", "KILL", "env", "--default-signal=INT", snakemake(), *words],
                cwd=folder,
                env=_environment() | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, ok: bool = True) -> str:
        """Wait for its end and return what it said; it must succeed, or fail where `ok` is not set."""
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        said = self._said.read_text()
        assert (self._process.returncode == 0) == ok, said[-6000:]
        return said

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it and what it started here, not what it submitted."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def start_sft(cluster: Cluster, checkout: Checkout, *options: str) -> tuple[Head, str]:
    """Start Snakemake, and wait until its SFT job runs, whose first attempt has no end; also gives the job's number."""
    head = checkout.start(*checkout.on_slurm(SFT, *options), STAND_IN_WAITS="train_sft")
    wait_for(lambda: checkout.started()["train_sft"] or head.has_ended(), "SFT to start")
    numbers = [number for number, what in cluster.running(checkout.folder).items() if "train_sft" in what]
    assert len(numbers) == 1, head.end(ok=False)
    return head, numbers[0]


def snakemake() -> str:
    """Snakemake of the driver's environment."""
    own = REPOSITORY / ".envs/driver/bin/snakemake"
    snakemake = str(own) if own.exists() else shutil.which("snakemake")
    assert snakemake, "no snakemake: make env"
    return snakemake


def _environment() -> dict[str, str]:
    """What a user's shell has: this Python first on PATH, and nothing of SLURM's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SNAKEMAKE_"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
