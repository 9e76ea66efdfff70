"""What a job uses while it runs, looked at every few seconds: memory of all its processes, work of its GPUs."""

import os
import subprocess
import threading
from types import TracebackType
from typing import Any

try:
    import psutil
except ModuleNotFoundError:  # an environment of a user's own: the job runs, and its memory is not known
    psutil = None

SECONDS_BETWEEN_LOOKS = 10.0
FIELDS = ("name", "driver_version", "memory.total", "utilization.gpu", "memory.used")


class Usage:
    """Looks from another thread while the body runs.

    `peak_memory_mib` is the largest sum of resident memory over this process and its children that was seen; under
    torchrun over all ranks on this node. `gpus` has one entry for each GPU that the job was given on this node.
    """

    def __init__(self) -> None:
        self.peak_memory_mib = 0.0
        self._utilization: dict[int, list[float]] = {}
        self._memory: dict[int, list[float]] = {}
        self._known: list[dict[str, str]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Usage":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def gpus(self) -> list[dict[str, Any]]:
        """Each GPU's name, driver and memory, its mean utilization in percent and the most memory in use on it.

        The last two are None where the device does not tell.
        """
        return [
            {
                **gpu,
                "utilization": sum(shares) / len(shares) if (shares := self._utilization.get(index)) else None,
                "peak_memory_mib": max(self._memory.get(index, []), default=None),
            }
            for index, gpu in enumerate(self._known)
        ]

    def _watch(self) -> None:
        has_gpus = True
        while True:
            self.peak_memory_mib = max(self.peak_memory_mib, _memory_of_tree())
            if has_gpus:
                has_gpus = self._look_at_gpus() or bool(self._known)
            if self._end.wait(SECONDS_BETWEEN_LOOKS):
                return

    def _look_at_gpus(self) -> bool:
        rows = query_gpus(FIELDS)
        for index, row in enumerate(rows):
            for name, seen in (("utilization.gpu", self._utilization), ("memory.used", self._memory)):
                seen.setdefault(index, []).extend(_number(row.pop(name)))
        self._known = self._known or rows
        return bool(rows)


def nodes() -> int:
    """On how many machines the job runs, as torchrun says."""
    return int(os.environ.get("GROUP_WORLD_SIZE", 1))


def query_gpus(fields: tuple[str, ...]) -> list[dict[str, str]]:
    """What nvidia-smi says of each GPU that this job may use; nothing where there is none.

    SLURM names a job's GPUs in CUDA_VISIBLE_DEVICES. A job that it names none for has none, though the node may: a job
    of CPUs alone on a GPU node is not charged for that node's GPUs.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "" if "SLURM_JOB_ID" in os.environ else None)
    if chosen == "":
        return []
    select = [] if chosen is None else ["-i", chosen]
    try:
        listed = subprocess.run(
            ["nvidia-smi", *select, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [dict(zip(fields, line.split(", "), strict=True)) for line in listed.splitlines()]


def _memory_of_tree() -> float:
    """Resident MiB of this process and its children; under torchrun, of all that the launcher started."""
    if psutil is None:
        return 0.0
    own = psutil.Process()
    launcher = own.parent() if "TORCHELASTIC_RUN_ID" in os.environ else None
    total = 0
    for process in {own, *(launcher or own).children(recursive=True)}:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has ended since
            continue
    return total / 2**20


def _number(text: str) -> list[float]:
    """A number of nvidia-smi's; nothing where a device does not tell (`[N/A]`)."""
    try:
        return [float(text)]
    except ValueError:
        return []
