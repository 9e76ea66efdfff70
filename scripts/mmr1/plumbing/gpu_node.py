"""What a node must have beside the packages of a lock for GPUs: a driver for its CUDA, a C compiler, Python's headers.

Triton, in which torch and vLLM write kernels, compiles a small C launcher for each at first use. Standard library
only: it runs at the start of every program.
"""

import ctypes
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from mmr1.plumbing.environment import environment, locked_by
from mmr1.plumbing.errors import UserError

# "warn" lets a job try on a node that lacks something.
VARIABLE = "MMR1_NODE"
COMPILERS = ("cc", "gcc", "clang")
# The first branch of NVIDIA's driver for a CUDA: all later minor versions run on it.
BRANCHES = {12: "R525", 13: "R580"}


def check_gpu_node() -> None:
    """Raise UserError, naming all that is missing, where the lock has CUDA; only say so at MMR1_NODE=warn.

    An environment without CUDA, or that no lock made, asks for nothing.
    """
    lock = locked_by()
    version = environment()["packages"].get("nvidia-cuda-runtime") if lock is not None else None
    if version is None:
        return
    missing = [*_driver(int(version.split(".")[0])), *_compiler()]
    if not missing:
        return
    message = f"environment {lock}: expected {'; '.join(missing)}"
    if os.environ.get(VARIABLE) != "warn":
        raise UserError(f"{message} (docs/first-hour.md); {VARIABLE}=warn tries it as it is")
    print(message, file=sys.stderr, flush=True)


def driver_cuda() -> int | None:
    """The newest CUDA that the driver serves, as 1000 × major + 10 × minor; None without a driver.

    NVIDIA's cuda-compat package counts where the loader finds it: it serves a newer CUDA beside an older driver.
    """
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed else version.value


def _driver(major: int) -> list[str]:
    found = driver_cuda()
    if found is not None and found >= 1000 * major:
        return []
    wanted = f"an NVIDIA driver for CUDA {major} ({BRANCHES.get(major, 'the newest')} or newer)"
    return [f"{wanted}, found {'none' if found is None else f'one for CUDA {found // 1000}.{found % 1000 // 10}'}"]


def _compiler() -> list[str]:
    missing = []
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), *COMPILERS)):
        missing.append(f"a C compiler ({', '.join(COMPILERS)} or $CC), found none")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        missing.append(f"{header}, found no such file")
    return missing
