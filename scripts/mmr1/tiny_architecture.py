"""The sizes of the tiny Qwen2.5-VL (a settings file of its own, so that the workflow can check it without torch)."""

from pydantic import BaseModel, ConfigDict, Field


class TinyArchitecture(BaseModel):
    """Sizes in units or layers. The defaults make 1.4M parameters (DESIGN §6)."""

    model_config = ConfigDict(extra="forbid")

    hidden_size: int = Field(128, ge=16)
    intermediate_size: int = Field(384, ge=16)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    key_value_heads: int = Field(2, ge=1)
    vision_depth: int = Field(2, ge=1)
    vision_hidden_size: int = Field(128, ge=16)
    vision_intermediate_size: int = Field(256, ge=16)
    vision_heads: int = Field(4, ge=1)
    max_position_embeddings: int = Field(1024, ge=64)
    initializer_range: float = Field(
        0.08,
        gt=0,
        description="standard deviation of the first weights, about 1/sqrt(hidden): at the 0.02 of large models this "
        "one learns the format within 170 steps, and no digit",
    )
