"""Settings of rollouts outside training."""

from typing import Literal

from pydantic import Field, model_validator

from mmr1.plumbing.settings import Section


class Rollout(Section):
    """How rollouts outside training are made."""

    engine: Literal["transformers", "vllm"] = "vllm"
    shards: int = Field(1, ge=1, description="jobs that share one pass over the problems")
    batch_size: int = Field(256, ge=1, description="requests a batch (transformers)")
    max_prompt_tokens: int = Field(2048, ge=1)
    max_tokens: int = Field(4096, ge=1)
    tensor_parallel: int = Field(1, ge=1)
    min_pixels: int | None = Field(None, ge=1)
    max_pixels: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Rollout":
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        return self
