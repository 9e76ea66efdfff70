"""Settings of supervised fine-tuning (the cold start, Table 5)."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SFTSettings(BaseModel):
    """What `train_sft.py` reads. Defaults are the paper's Table 5."""

    model_config = ConfigDict(extra="forbid")

    epochs: float = Field(3, gt=0, description="passes over the conversations (Table 5: 3; §6.1: 5)")
    batch_size: int = Field(128, ge=1, description="conversations an optimizer step, over all ranks")
    micro_batch_size: int = Field(1, ge=1, description="conversations a forward pass on one rank")
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    cutoff: int = Field(16_384, ge=8, description="longest conversation in tokens; longer ones are cut at the end")
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True
    deepspeed: Path | None = Field(None, description="a DeepSpeed configuration; none trains without DeepSpeed")
    save_every: int = Field(500, ge=1, description="optimizer steps between saved states")
    evaluate_every: int = Field(500, ge=1, description="optimizer steps between validation losses; the best is kept")
    prompt_position: Literal["system", "user"] = "system"
    min_pixels: int | None = Field(None, ge=1)
    max_pixels: int | None = Field(None, ge=1)
