"""Runs of `train_grpo.py` for tests: what they are given, how they are started and stopped, and what they leave."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grpo_fixtures import TINY
from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.models.tiny import TinyArchitecture, build
from mmr1.plumbing.files import files_under, read_json, sha256

OUTPUTS = ("out", "state-out", "rollouts", "rewards", "metrics", "timings", "validation-out")


class Trainers:
    """A server that forks trainers (see `trainer_server.py`)."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("trainer_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._answer() == "ready"

    def start(self, argv: Sequence[str], log: Path, kill: Sequence[Any] | None = None, **environment: str) -> int:
        """Start a trainer and return its process id."""
        self._ask({"argv": list(argv), "log": str(log), "kill": kill, "environment": environment})
        return int(self._answer())

    def wait(self, process: int) -> int:
        """The exit code of a trainer, or minus the signal that ended it."""
        self._ask({"wait": process})
        return int(self._answer())

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)

    def _ask(self, request: dict[str, Any]) -> None:
        assert self._server.stdin is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


@contextmanager
def trainers() -> Iterator[Trainers]:
    server = Trainers()
    try:
        yield server
    finally:
        server.close()


@dataclass
class Setup:
    """The inputs of a round, in a folder."""

    folder: Path
    model: Path
    problems: list[Problem]

    def settings(self, name: str = "settings", **changes: Any) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(TINY | changes))
        return path

    def schedule(self, steps: range, size: int, name: str = "schedule") -> Path:
        path = self.folder / f"{name}.parquet"
        rows = [
            {
                "step": step,
                "slot": slot,
                "problem_id": self.problems[(step * size + slot) % len(self.problems)].id,
                "origin": "uniform",
                "ovs": None,
                "weight": None,
            }
            for step in steps
            for slot in range(size)
        ]
        contracts.write(path, rows, contracts.SCHEDULE)
        return path

    def arguments(self, out: str, settings: Path, schedule: Path | None, **more: Any) -> list[str]:
        """A command line whose outputs lie in the folder `out`; `more` adds or replaces options, None drops one."""
        problems = self.folder / "problems.parquet"
        if not problems.exists():
            write_problems(problems, self.problems)
        target = self.folder / out
        suffix = {"metrics": ".jsonl", "timings": ".jsonl", "rollouts": ".parquet", "rewards": ".parquet"}
        options: dict[str, Any] = {
            "settings": settings,
            "model": self.model,
            "reference": self.model,
            "problems": problems,
            "schedule": schedule,
            "seed": 5,
            "work": target / "work",
            **{name: target / (name + suffix.get(name, "")) for name in OUTPUTS if name != "validation-out"},
        }
        options |= {name.replace("_", "-"): value for name, value in more.items()}
        given = ((f"--{name}", value) for name, value in options.items() if value is not None)
        return [str(word) for name, value in given for word in (name, *(value if isinstance(value, list) else [value]))]

    def log(self, out: str) -> Path:
        return self.folder / f"{out}.log"

    def hashes(self, out: str) -> dict[str, str]:
        """The sha256 of every reproducible file of a finished run: all but the timings."""
        root = self.folder / out
        return {
            path.relative_to(root).as_posix(): sha256(path)
            for path in files_under(root)
            if path.name != "timings.jsonl"
        }


def run_ranks(
    server: Trainers,
    setup: Setup,
    out: str,
    commands: Sequence[Sequence[str]],
    kills: Mapping[int, Sequence[Any]] | None = None,
    **environment: str,
) -> list[int]:
    """The exit codes of one process a command line, each a rank of one job; `kills` are by rank, as in `start`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": str(len(commands)),
        } | environment
    kills = kills or {}
    processes = [
        server.start(
            command, setup.log(f"{out}-{rank}"), kills.get(rank), **place, RANK=str(rank), LOCAL_RANK=str(rank)
        )
        for rank, command in enumerate(commands)
    ]
    return [server.wait(process) for process in processes]


def division(stage: int, offload: bool = False) -> dict[str, Any]:
    """A ZeRO configuration of the recipes, but that small weights are divided too: a tiny model has no others."""
    name = f"zero{stage}-offload.json" if offload else f"zero{stage}.json"
    config = read_json(Path(__file__).parents[1] / "config" / "deepspeed" / name)
    if stage == 3:
        config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return config


def small_setup(folder: Path, problems: list[Problem], family: str = "qwen2_5_vl") -> Setup:
    """A setup with a model that is as small as it gets: the tests are about its bits, not its answers."""
    sizes = {"intermediate_size": 64, "layers": 1, "heads": 2, "key_value_heads": 1}
    vision = {"vision_depth": 1, "vision_hidden_size": 32, "vision_intermediate_size": 64, "vision_heads": 2}
    architecture = {"family": family, "hidden_size": 32, **sizes, **vision}
    build(folder / "model", TinyArchitecture.model_validate(architecture), seed=0)
    return Setup(folder, folder / "model", problems)
