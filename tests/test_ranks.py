"""What ranks do together beside training: they hash a state, each its own part, and wait for each other patiently."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from mmr1.grpo.distributed import Ranks
from mmr1.plumbing import states
from mmr1.plumbing.errors import SharedError, UserError
from mmr1.plumbing.files import sha256
from mmr1.plumbing.states import Hasher, States

SCRIPTS = Path(__file__).parents[1] / "scripts"
OWN = [["config.json", "zero_pp_rank_0_optim.pt"], ["weights.safetensors", "zero_pp_rank_1_optim.pt"]]


@dataclass
class Meeting:
    """Where two threads that stand for ranks hand each other values."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=30))
    values: list[Any] = field(default_factory=lambda: [None, None])


class ThreadRanks(Ranks):
    """A rank in a thread: all that it says to the other goes through `gather`."""

    meeting: Meeting

    def gather(self, value: Any) -> list[Any]:
        self.meeting.values[self.rank] = value
        self.meeting.barrier.wait()
        values = list(self.meeting.values)
        self.meeting.barrier.wait()
        return values


def on_two_ranks(run: Callable[[Ranks], Any]) -> list[Any]:
    """What each rank returns, or the exception that it raises."""
    meeting = Meeting()

    def one(rank: int) -> Any:
        ranks = ThreadRanks(rank, 2, torch.device("cpu"))
        object.__setattr__(ranks, "meeting", meeting)
        try:
            return run(ranks)
        except UserError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[str]]:
    """The files that each rank hashed, by the thread that it is."""
    found: dict[int, list[str]] = {}

    def noted(path: Path) -> str:
        found.setdefault(threading.get_ident(), []).append(path.name)
        return sha256(path)

    monkeypatch.setattr(states, "sha256", noted)
    return found


def test_each_rank_hashes_its_own_part_of_a_state(tmp_path: Path, hashed: dict[int, list[str]]) -> None:
    kept = States(tmp_path, {"seed": 1})
    kept.path(3).mkdir()
    for name in OWN[0] + OWN[1]:
        (kept.path(3) / name).write_text(name)
    on_two_ranks(lambda ranks: ranks.lead(lambda hasher: kept.seal(3, hasher=hasher)))
    assert sorted(hashed.values()) == OWN
    hashed.clear()
    assert on_two_ranks(lambda ranks: ranks.lead(lambda hasher: kept.newest(hasher=hasher))) == [3, None]
    assert sorted(hashed.values()) == OWN
    (kept.path(3) / OWN[1][1]).write_text("flipped")
    assert on_two_ranks(lambda ranks: ranks.lead(lambda hasher: kept.newest(hasher=hasher))) == [None, None]
    assert not kept.path(3).exists()


def test_a_mistake_of_the_first_rank_lets_the_other_go_and_is_both_ranks(tmp_path: Path) -> None:
    def work(hasher: Hasher) -> None:
        hasher(tmp_path, [], False)
        raise UserError("a mistake")

    def run(ranks: Ranks) -> None:
        with ranks.one_mistake_is_all():
            ranks.lead(work)

    found = on_two_ranks(run)
    assert [type(error) for error in found] == [SharedError] * 2
    assert [str(error) for error in found] == ["a mistake"] * 2


def test_groups_that_others_make_have_our_patience() -> None:
    """DeepSpeed and vLLM make theirs without a time limit, for which torch's own is 10 or 30 minutes."""
    program = """
import torch, torch.distributed as dist
from mmr1.grpo.distributed import PATIENCE, join
join()
print(dist.new_group([0])._get_backend(torch.device("cpu")).options._timeout == PATIENCE)
"""
    environment = {name: value for name, value in os.environ.items() if name != "MASTER_ADDR"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.strip() == "True"


@pytest.mark.slow
def test_a_rank_that_no_signal_reaches_is_ended_by_torchrun_once_another_is_dead(tmp_path: Path) -> None:
    """As under NCCL, whose kernels wait for the dead one for ever: Python hears SIGTERM when the call returns.

    The long patience that torchrun is given is for signals to the job, and not for this.
    """
    program = tmp_path / "program.py"
    program.write_text("""
import ctypes, os, signal, sys, time
from pathlib import Path
from mmr1.plumbing.interruption import Interruption
Interruption()
print(f"rank {os.environ['RANK']} is here", flush=True)
here = Path(__file__).with_name("here")
if os.environ["RANK"] == "0":
    here.touch()
if os.environ["RANK"] == "1":
    while not here.exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
libc = ctypes.CDLL(None)
while True:
    libc.usleep(ctypes.c_uint(10**9))  # 1,000 seconds without the interpreter
""")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--shutdown-timeout", "600", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(program)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "rank 0 is here" in done.stdout
    assert "Signal 9 (SIGKILL) received by PID" in done.stderr  # of which rank, torchrun says once
