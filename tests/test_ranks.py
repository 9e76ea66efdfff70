"""What ranks do together beside training: they hash a state, each its own part, and wait for each other patiently."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from mmr1.grpo.distributed import join
from mmr1.plumbing import states
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.interruption import PATIENCE
from mmr1.plumbing.states import States

OWN = [["config.json", "zero_pp_rank_0_optim.pt"], ["weights.safetensors", "zero_pp_rank_1_optim.pt"]]


def as_rank(rank: int, folder: Path, port: int) -> None:
    """One of two ranks that seal a state, take it up again, and find a flipped bit in it."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {**place, "RANK": str(rank), "LOCAL_RANK": str(rank)}
    ranks = join()
    later = dist.new_group([0, 1])  # as DeepSpeed and vLLM make them
    assert later._get_backend(torch.device("cpu")).options._timeout == PATIENCE  # type: ignore[attr-defined]
    hashed: list[str] = []
    sha256 = states.sha256
    states.sha256 = lambda path: (hashed.append(Path(path).name), sha256(path))[1]  # type: ignore[assignment]
    kept = States(folder, {"seed": 1})
    ranks.lead(lambda hasher: kept.seal(3, hasher=hasher))
    assert hashed == OWN[rank]
    assert ranks.lead(lambda hasher: kept.newest(hasher=hasher)) == (3 if ranks.first else None)
    assert hashed == OWN[rank] * 2
    ranks.barrier()
    if ranks.first:
        (kept.path(3) / "zero_pp_rank_1_optim.pt").write_text("flipped")
    ranks.barrier()
    assert ranks.lead(lambda hasher: kept.newest(hasher=hasher)) is None  # found by the other, removed by the first
    with pytest.raises(UserError, match="a mistake of the first"), ranks.one_mistake_is_all():
        ranks.lead(wrong)
    dist.destroy_process_group()


def wrong(hasher: object) -> None:
    raise UserError("a mistake of the first")


def test_each_rank_hashes_its_own_part_of_a_state(tmp_path: Path) -> None:
    state = States(tmp_path, {}).path(3)
    state.mkdir()
    for name in sorted(OWN[0] + OWN[1]):
        (state / name).write_text(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(as_rank, (tmp_path, port), nprocs=2)
    assert not state.exists()
