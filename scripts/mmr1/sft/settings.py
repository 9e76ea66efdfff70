"""Settings of supervised fine-tuning (the cold start, Table 5)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mmr1.models.settings import Deterministic
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.settings import Section


class SFTSettings(Section):
    """The recipe's section. Defaults are the paper's Table 5."""

    epochs: float = Field(3, gt=0, description="passes over the conversations (Table 5: 3; §6.1: 5)")
    batch_size: int = Field(128, ge=1, description="conversations an optimizer step, over all ranks")
    micro_batch_size: int = Field(1, ge=1, description="conversations a forward pass on one rank")
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    cutoff: int = Field(16_384, ge=8, description="longest conversation in tokens; the response of a longer one is cut")
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True
    deepspeed: dict[str, Any] | Path | None = Field(
        None, description="a DeepSpeed configuration or the path of one; none trains without DeepSpeed"
    )
    save_every: int = Field(500, ge=1, description="optimizer steps between saved states")
    evaluate_every: int = Field(500, ge=1, description="optimizer steps between validation losses; the best is kept")
    prompt_position: PromptPosition = "system"
    min_pixels: int | None = Field(None, ge=1)
    max_pixels: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "SFTSettings":
        if self.save_every != self.evaluate_every:
            raise ValueError(
                f"save_every: expected the same as evaluate_every ({self.evaluate_every}), for the best of the states "
                f"that were saved is kept, found {self.save_every}"
            )
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        return self


class SFTTrainerSettings(SFTSettings, Deterministic):
    """What `train_sft.py` reads."""
