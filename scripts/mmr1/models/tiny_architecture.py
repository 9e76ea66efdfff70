"""The sizes of the tiny Qwen2.5-VL (a settings file of its own, so that the workflow can check it without torch)."""

from pydantic import Field, model_validator

from mmr1.plumbing.settings import Section


class TinyArchitecture(Section):
    """Sizes in units or layers. The defaults make 1.4M parameters (DESIGN §6)."""

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

    @model_validator(mode="after")
    def _heads_divide_what_they_share(self) -> "TinyArchitecture":
        # A head's rotary dimensions come in pairs, and an eighth of them is time's.
        for name, value, divisor in (
            ("hidden_size", self.hidden_size, 8 * self.heads),
            ("heads", self.heads, self.key_value_heads),
            ("vision_hidden_size", self.vision_hidden_size, 4 * self.vision_heads),
        ):
            if value % divisor:
                raise ValueError(f"{name}: expected a multiple of {divisor}, found {value}")
        return self
