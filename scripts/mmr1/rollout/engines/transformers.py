"""transformers: plain PyTorch, on a CPU or one GPU. The engine of the digits recipe.

A response depends on its own seed and, through float rounding, on its batch; equal requests make equal batches
(`mmr1.rollout.transformers_engine`).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mmr1.plumbing.settings import Section
from mmr1.rollout.engines import Limits

if TYPE_CHECKING:  # the recipe is checked where there is no torch
    from mmr1.data.prompts import PromptEncoder
    from mmr1.rollout.requests import Engine

TITLE = "transformers"
EXAMPLE = "rollout: {engine: {name: transformers, batch_size: 256}}"


class Settings(Section):
    """Options of the engine."""

    batch_size: int = Field(512, ge=1, description="responses decoded at a time; it changes rounding")


def make(
    settings: Settings, folder: Path, encoder: "PromptEncoder", limits: Limits, *, beside_training: bool = False
) -> "Engine":
    """The engine with the weights of `folder`."""
    from mmr1.rollout.transformers_engine import TransformersEngine

    return TransformersEngine.from_folder(
        folder, encoder, batch_size=settings.batch_size, max_prompt_tokens=limits.max_prompt_tokens
    )


def memory(settings: Settings, weights: float, device: int | None) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes beside a training: the engine's own weights, always."""
    return {"engine weights": weights}, {"engine weights": weights}


def lighter(settings: Settings) -> None:
    """Nothing makes its weights smaller."""
