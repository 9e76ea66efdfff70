"""An engine from its settings: the checks that all engines share, then the member's own `make`."""

from pathlib import Path

from transformers import AutoConfig

from mmr1.data.prompts import PromptEncoder
from mmr1.models.checkpoints import check_checkpoint
from mmr1.plugins import Plugin
from mmr1.plumbing.errors import UserError
from mmr1.rollout.engines import Limits
from mmr1.rollout.requests import Engine


def make_engine(
    engine: Plugin, folder: Path, encoder: PromptEncoder, limits: Limits, *, beside_training: bool = False
) -> Engine:
    """The chosen engine on a checkpoint folder.

    Raises UserError for an incomplete checkpoint, for a context longer than the model's, and as the engines do.
    """
    check_checkpoint(folder)
    _check_context(folder, limits)
    return engine.module.make(engine.settings, folder, encoder, limits, beside_training=beside_training)


def ranks_of(engine: Plugin) -> int:
    """How many ranks share one engine of this kind."""
    return getattr(engine.settings, "tensor_parallel", 1)


def _check_context(folder: Path, limits: Limits) -> None:
    positions = AutoConfig.from_pretrained(folder).text_config.max_position_embeddings
    prompt = limits.max_prompt_tokens or 0
    if prompt + limits.max_tokens > positions:
        raise UserError(
            f"{folder}: expected prompts and responses of at most {positions} tokens together, the model's context, "
            f"found bounds of {prompt} and {limits.max_tokens}"
        )
