"""The ranks of a job: who they are, and what they must agree on."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.distributed_c10d as c10d

from mmr1.plumbing.errors import SharedError, UserError
from mmr1.plumbing.interruption import PATIENCE
from mmr1.plumbing.states import Hasher, hash_alone

Result = TypeVar("Result")


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

    @property
    def device_bytes(self) -> int | None:
        """The memory of the device; None on a CPU."""
        return torch.cuda.get_device_properties(self.device).total_memory if self.device.type == "cuda" else None

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
        """A UserError in the body of one rank is raised on all, as a SharedError: they would wait for it."""
        mistake = ""
        try:
            yield
        except UserError as error:
            mistake = str(error)
        for message in filter(None, self.gather(mistake)):
            raise SharedError(message)

    def lead(self, work: Callable[[Hasher], Result]) -> Result | None:
        """Run `work` on the first rank, which gets a function that hashes files by all ranks' hands; None on others.

        A rank hashes the files that it wrote, which its node still has in memory, and its share of those that no rank
        has for itself. All ranks must call this, and see the same files.
        """
        if self.size == 1:
            return work(hash_alone)
        if self.first:
            try:
                return work(self._hash_together)
            finally:
                self.gather(None)
        while (task := self.gather(None)[0]) is not None:
            self.gather(self._hash_own(*task))
        return None

    def _hash_together(self, root: Path, names: Sequence[str], written: bool) -> dict[str, str]:
        task = root, list(names), written
        self.gather(task)
        parts = self.gather(self._hash_own(*task))
        for part in parts:
            if isinstance(part, OSError):
                raise part
        return {name: part[name] for name in names for part in parts if name in part}

    def _hash_own(self, root: Path, names: Sequence[str], written: bool) -> dict[str, str] | OSError:
        own = [name for number, name in enumerate(names) if owner(name, number) % self.size == self.rank]
        try:
            return hash_alone(root, own, written)
        except OSError as error:
            return error

    def agree(self, facts: dict[str, str]) -> None:
        """Raises SharedError on every rank, naming the first fact (a file and its hash, say) on which two differ."""
        everyone = self.gather(facts)
        for name, value in everyone[0].items():
            for rank, other in enumerate(everyone):
                if other.get(name) != value:
                    raise SharedError(
                        f"{name}: expected the same on all ranks, found {value} on 0, {other.get(name)} on {rank}"
                    )


def owner(name: str, number: int) -> int:
    """The rank that wrote a file of a state, by the names that DeepSpeed and Trainer give, else a number."""
    found = re.search(r"(?:zero_pp_rank|rng_state)_(\d+)", name)
    return int(found[1]) if found else number


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
    # New groups, such as DeepSpeed's and vLLM's, would have torch's own patience: 10 minutes with NCCL, 30 with Gloo.
    c10d.default_pg_timeout = c10d.default_pg_nccl_timeout = PATIENCE
    if not dist.is_initialized():
        if "MASTER_ADDR" in os.environ:
            dist.init_process_group(backend, rank=rank, world_size=size, timeout=PATIENCE)
        else:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    return Ranks(rank, size, torch.device("cuda", local) if cuda else torch.device("cpu"))
