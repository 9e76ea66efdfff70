"""Which engine samples: chosen by name."""

from pathlib import Path
from typing import Literal, get_args

from mmr1.prompts import PromptEncoder
from mmr1.rollout.engine import Engine
from mmr1.rollout.transformers_engine import TransformersEngine
from mmr1.rollout.vllm_engine import VllmEngine

EngineName = Literal["transformers", "vllm"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


def make_engine(
    name: EngineName,
    folder: str | Path,
    encoder: PromptEncoder,
    *,
    max_images: int,
    max_tokens: int,
    max_prompt_tokens: int | None = None,
    batch_size: int = 512,
    tensor_parallel: int = 1,
    gpu_memory_utilization: float = 0.9,
    batch_invariant: bool = False,
    sleep_mode: bool = False,
) -> Engine:
    """An engine on a checkpoint folder; options that an engine has no use for are left out (see the engines)."""
    if name == "transformers":
        return TransformersEngine.from_folder(
            folder, encoder, batch_size=batch_size, max_prompt_tokens=max_prompt_tokens
        )
    return VllmEngine(
        folder,
        encoder,
        max_images=max_images,
        max_tokens=max_tokens,
        max_prompt_tokens=max_prompt_tokens,
        batch_size=batch_size,
        tensor_parallel=tensor_parallel,
        gpu_memory_utilization=gpu_memory_utilization,
        batch_invariant=batch_invariant,
        sleep_mode=sleep_mode,
    )
