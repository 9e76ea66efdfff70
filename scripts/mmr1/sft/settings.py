"""Settings of supervised fine-tuning (the cold start, Table 5)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mmr1.models.settings import Deterministic
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.settings import Machine, Section, as_before


class SFTMachine(Machine):
    """What a training takes of a machine."""

    loader_workers: int = Field(
        0, ge=0, description="processes on each rank that read and encode conversations ahead; 0: none"
    )


class SFTSettings(Section):
    """The recipe's section. Defaults are the paper's Table 5."""

    epochs: float = Field(3, gt=0, description="passes over the conversations (Table 5: 3; §6.1: 5)")
    batch_size: int = Field(
        128, ge=1, description="conversations an optimizer step, over all ranks; with packing, rows of them"
    )
    micro_batch_size: int = Field(1, ge=1, description="conversations a forward pass on one rank; with packing, 1 row")
    packing: int | None = as_before(
        None, ge=8, description="tokens of a row that whole conversations share, at least cutoff; none: a row each"
    )
    group_by_length: bool = as_before(
        False, description="without packing: conversations of nearly the same length in a batch"
    )
    freeze: list[Literal["vision", "projector"]] = as_before(
        [], description="parts that stay as they are: the vision tower, its way to the language model"
    )
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
    machine: SFTMachine = Field(default_factory=SFTMachine)

    @property
    def in_rows(self) -> bool:
        """Whether conversations stand in rows without padding, and their loss comes from a chunked head."""
        return self.packing is not None or self.group_by_length

    @model_validator(mode="after")
    def _consistent(self) -> "SFTSettings":
        if self.save_every != self.evaluate_every:
            raise ValueError(
                f"save_every: expected the same as evaluate_every ({self.evaluate_every}), for the best of the states "
                f"that were saved is kept, found {self.save_every}"
            )
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        if self.packing is not None:
            if self.packing < self.cutoff:
                raise ValueError(f"packing: expected at least cutoff ({self.cutoff}), found {self.packing}")
            if self.micro_batch_size != 1:
                raise ValueError(f"micro_batch_size: expected 1 row with packing, found {self.micro_batch_size}")
            if self.group_by_length:
                raise ValueError("group_by_length: expected false with packing, found true")
        return self


class SFTTrainerSettings(SFTSettings, Deterministic):
    """What `train_sft.py` reads."""
