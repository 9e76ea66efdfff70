"""The recipe's `deterministic: true`: what CUDA, NCCL, torch and vLLM are asked for: equal jobs, equal bits.

On a CPU, nothing here changes a result: there the same bits come without it. Sources: torch's notes on reproducibility,
cuBLAS's on its workspace, vLLM 0.32's `batch_invariant.py`, verl's `full_determinism`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmr1.plumbing.errors import UserError

# Read when a library starts on a GPU, hence set before. vLLM sets the first two itself when an engine starts, whatever
# they were: a trainer that shares its process would compute before that with one workspace and after with another.
VARIABLES = {
    "CUBLAS_WORKSPACE_CONFIG": ":16:8",  # no split of K by what memory happens to be free
    "CUBLASLT_WORKSPACE_SIZE": "1",
    # Sums over ranks in an order of their own: otherwise NCCL measures the links and chooses at each start.
    "NCCL_ALGO": "Ring",
    "NCCL_PROTO": "Simple",
    "VLLM_BATCH_INVARIANT": "1",
}
LEAST_CAPABILITY = (8, 0)  # of a GPU, for vLLM's batch-invariant kernels


def require_determinism() -> None:
    """Ask every library of this process for deterministic kernels; call before a model is loaded or ranks are joined.

    torch then raises RuntimeError at an operation that has none. Raises UserError, in one line, if the environment
    says otherwise, or if the GPU has no such kernels.
    """
    import torch

    if torch.cuda.is_available():
        if torch.cuda.is_initialized():
            raise RuntimeError("CUDA was started before determinism was asked for")
        set_variables(VARIABLES)
        for index in range(torch.cuda.device_count()):
            check_capability(torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index))
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs a pass over each buffer, and shows only bugs
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def set_variables(variables: dict[str, str]) -> None:
    """Set environment variables. Raises UserError if one has another value: who set it meant something by it."""
    for name, value in variables.items():
        if os.environ.get(name, value) != value:
            raise UserError(
                f"{name}: expected {value} or nothing, because the recipe says `deterministic: true`, "
                f"found {os.environ[name]}"
            )
        os.environ[name] = value


def check_capability(name: str, capability: tuple[int, int]) -> None:
    """Raises UserError unless vLLM has batch-invariant kernels for a GPU of this compute capability."""
    if capability < LEAST_CAPABILITY:
        least, actual = (".".join(map(str, one)) for one in (LEAST_CAPABILITY, capability))
        raise UserError(f"deterministic: expected a GPU of compute capability {least} or more, found {name} ({actual})")


@contextmanager
def any_kernel() -> Iterator[None]:
    """Inside, torch refuses no kernel: for an engine, which answers for its own.

    vLLM's nucleus sampling sums along the vocabulary with `cumsum`, for which torch promises no order on a GPU: below
    `top_p: 1` equal bits are not claimed there.
    """
    import torch

    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)


def notes() -> dict[str, Any]:
    """What a record says of it: whether it holds in this process, and the variables that say so on a GPU."""
    import torch

    if not torch.are_deterministic_algorithms_enabled():
        return {}
    return {"deterministic": {name: os.environ[name] for name in VARIABLES if name in os.environ}}
