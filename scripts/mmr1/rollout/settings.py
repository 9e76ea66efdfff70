"""Settings of rollouts outside training: for scores, and for evaluation."""

from pydantic import Field, model_validator

from mmr1.models.settings import Deterministic
from mmr1.plugins import choice
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.settings import Machine, Section


class PixelBounds(Section):
    """An image's least and largest area in pixels; the checkpoint's own bounds where None."""

    min_pixels: int | None = Field(None, ge=1, description="an image's least area (default: the checkpoint's)")
    max_pixels: int | None = Field(None, ge=1, description="an image's largest area (default: the checkpoint's)")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "PixelBounds":
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        return self


class Sampler(PixelBounds):
    """What samples, from prompts of which length."""

    engine: choice("rollout/engines") = Field("vllm", validate_default=True, description="what samples")  # type: ignore[valid-type]
    max_prompt_tokens: int | None = Field(None, ge=1, description="problems with longer prompts are refused")


class Rollout(Sampler):
    """The recipe's section: how rollouts outside training are made."""

    shards: int = Field(1, ge=1, description="jobs that share one pass over the problems")
    max_tokens: int = Field(4096, ge=1, description="bound on a response")


class Responses(Section):
    """Which responses are asked for, of an engine or of an endpoint."""

    n: int = Field(1, ge=1, description="responses per problem")
    temperature: float = Field(ge=0, description="0 takes the most likely token each time")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling; 1 is off")
    max_tokens: int = Field(4096, ge=1, description="bound on a response")
    prompt_position: PromptPosition = Field("system", description="where the system prompt goes")


class GenerateSettings(Sampler, Responses, Deterministic):
    """What `generate.py` reads."""

    block_size: int = Field(64, ge=1, description="problems sampled at a time; shards are whole blocks")


class EndpointMachine(Machine):
    """How an endpoint is asked."""

    retries: int = Field(6, ge=0, description="tries again after a failure, ever later")
    at_once: int = Field(8, ge=1, description="requests under way at a time")


class AskSettings(Responses):
    """What `ask_endpoint.py` reads."""

    machine: EndpointMachine = Field(default_factory=EndpointMachine)
