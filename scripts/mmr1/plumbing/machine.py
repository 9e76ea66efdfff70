"""The machine that a job runs on: its name, its processor, the job that SLURM calls it."""

import getpass
import os
import platform
import socket
from functools import cache
from pathlib import Path
from typing import Any


def where() -> dict[str, Any]:
    """Host, user, process, processor and SLURM job of this process."""
    return {
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "pid": os.getpid(),
        "cpu": processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "slurm": {name: os.environ[name] for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT") if name in os.environ},
    }


@cache
def processor() -> str:
    """The processor's model, such as "AMD EPYC 7763 64-Core Processor": results depend on it in the last bits."""
    try:
        model = _model(Path("/proc/cpuinfo").read_text())
    except OSError:
        model = ""
    return model or platform.processor() or platform.machine()


def _model(cpuinfo: str) -> str:
    """What Linux says of the first processor: its name or, as ARM's have none, who made it and its numbers."""
    pairs = [line.partition(":") for line in cpuinfo.splitlines()]
    said = {name.strip(): value.strip() for name, _, value in reversed(pairs)}
    numbers = [f"{name} {said[name]}" for name in ("CPU implementer", "CPU part", "CPU variant") if name in said]
    return said.get("model name") or said.get("cpu") or ", ".join(numbers)
