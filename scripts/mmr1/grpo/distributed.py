"""The ranks of a job: who they are, and what they must agree on."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from mmr1.plumbing.errors import UserError

# How long a rank waits for another. NCCL's own 10 minutes are too few: all wait while the first hashes a saved state,
# which is hundreds of gigabytes for 32B.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Ranks:
    """This process's place. `device` is what its model lives on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks, on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank."""
        return any(self.gather(flag))

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over ranks, added in the order of ranks in float64."""
        return [sum(column) for column in zip(*self.gather(list(values)), strict=True)]

    def barrier(self) -> None:
        """Wait for every rank."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def one_mistake_is_all(self) -> Iterator[None]:
        """A UserError in the body of one rank is raised on all: they would wait for it."""
        mistake = ""
        try:
            yield
        except UserError as error:
            mistake = str(error)
        for message in filter(None, self.gather(mistake)):
            raise UserError(message)

    def agree(self, facts: dict[str, str]) -> None:
        """Raises UserError on every rank, naming the first fact (a file and its hash, say) on which two differ."""
        everyone = self.gather(facts)
        for name, value in everyone[0].items():
            for rank, other in enumerate(everyone):
                if other.get(name) != value:
                    raise UserError(
                        f"{name}: expected the same on all ranks, found {value} on 0, {other.get(name)} on {rank}"
                    )


def join() -> Ranks:
    """Join the process group that `torchrun` or SLURM describes in the environment; alone if there is none."""
    cuda = torch.cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    # DeepSpeed looks for mpi4py unless these are set.
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(local)}
    if cuda:
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        if "MASTER_ADDR" in os.environ:
            dist.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
        else:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return Ranks(rank, size, torch.device("cuda", local) if cuda else torch.device("cpu"))
