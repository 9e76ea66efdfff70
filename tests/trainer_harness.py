"""Runs of `train_grpo.py` for tests: what they are given, how their ranks are started, and what they leave."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forking import ForkingServer
from grpo_fixtures import TINY
from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.models.tiny import TinyArchitecture, build
from mmr1.plumbing.files import files_under, read_json, sha256

PROGRAM = Path(__file__).parents[1] / "scripts/train_grpo.py"
OUTPUTS = ("out", "state-out", "rollouts", "rewards", "metrics", "timings", "validation-out")


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
        words = [word for name, value in given for word in (name, *(value if isinstance(value, list) else [value]))]
        return [str(word) for word in (PROGRAM, *words)]

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
    server: ForkingServer,
    folder: Path,
    out: str,
    commands: Sequence[Sequence[str]],
    kills: Mapping[int, Sequence[Any]] | None = None,
    **environment: str,
) -> list[int]:
    """The exit codes of one process per command line, each a rank of one job; `kills` are by rank, as in `start`.

    Each has its log, OUT-RANK.log in the folder.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free.getsockname()[1]),
            "WORLD_SIZE": str(len(commands)),
        } | environment
    kills = kills or {}
    running = [
        server.start(
            command, folder / f"{out}-{rank}.log", kills.get(rank), **place, RANK=str(rank), LOCAL_RANK=str(rank)
        )
        for rank, command in enumerate(commands)
    ]
    return [server.wait(one) for one in running]


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
