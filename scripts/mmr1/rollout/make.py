"""Which engine samples: chosen by name."""

from pathlib import Path
from typing import Literal, get_args

from transformers import Qwen2_5_VLConfig

from mmr1.data.prompts import PromptEncoder
from mmr1.models.checkpoints import check_checkpoint
from mmr1.plumbing.errors import UserError
from mmr1.rollout.engines.transformers import TransformersEngine
from mmr1.rollout.engines.vllm import VllmEngine
from mmr1.rollout.requests import Engine

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
    """An engine on a checkpoint folder; options an engine has no use for are left out.

    Raises UserError for an incomplete checkpoint, for a context longer than the model's, and as the engines do.
    """
    check_checkpoint(folder)
    _check_context(folder, max_prompt_tokens, max_tokens)
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


def _check_context(folder: str | Path, max_prompt_tokens: int | None, max_tokens: int) -> None:
    positions = Qwen2_5_VLConfig.from_pretrained(folder).text_config.max_position_embeddings
    if (max_prompt_tokens or 0) + max_tokens > positions:
        raise UserError(
            f"{folder}: expected prompts and responses of at most {positions} tokens together, the model's context, "
            f"found bounds of {max_prompt_tokens or 0} and {max_tokens}"
        )
