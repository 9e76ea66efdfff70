"""Settings of RL training. Defaults are the paper's Table 6; fields say where the sources differ."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mmr1.models.settings import Deterministic
from mmr1.plugins import choice, weights
from mmr1.plumbing.fields import PromptPosition, Share
from mmr1.plumbing.settings import Machine, Section, as_before
from mmr1.vas.settings import DrawSettings

# Rewards that every response is judged by, whether a run gives them a weight or not: pass rates, gates and the rewards
# table have them. In this order they stand before the others, in sums as in metrics.
ALWAYS = ("format", "accuracy")

Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class ValidationSettings(Section):
    """How held-out problems are sampled (Table 6: T = 0.5, n = 1)."""

    temperature: float = Field(0.5, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, description="responses per problem; accuracy is the mean over all of them")
    by: list[str] = as_before([], description="keys of a problem's metadata: accuracy of each of their values, too")


class GRPOMachine(Machine):
    """What a training takes of a machine, and how often it saves."""

    verify_workers: int = Field(4, ge=1, description="processes that verify, on each rank")
    save_every: int = Field(5, ge=1, description="steps between saved states")
    pixel_cache_mib: int = Field(
        4096, ge=0, description="host memory on each rank for processed images: a step's own are used up to three times"
    )


class GRPOSettings(Section):
    """Settings of GRPO: the recipe's section `grpo`."""

    # The batch. The problems of a step come from the schedule.
    group_size: int = Field(8, ge=2, description="rollouts per problem (n)")
    mini_batch_size: int = Field(
        512, ge=1, description="problems an optimizer update (`global batch`); at most all of the step"
    )
    epochs: int = Field(
        1, ge=1, description="passes over a rollout batch; Table 6 prints 20 PPO epochs, the code has 1"
    )

    # Sampling.
    temperature: Positive = 0.6
    top_p: float = Field(1.0, gt=0, le=1)
    max_prompt_tokens: int = Field(2048, ge=1)
    max_response_tokens: int = Field(4096, ge=1)

    # Reward and objective.
    rewards: weights("rewards", always=ALWAYS) = Field(  # type: ignore[valid-type]
        default_factory=dict,
        description="weight by name (a file of rewards/); accuracy and format are recorded at a weight of 0, too",
    )
    verify_seconds: float = Field(2.0, gt=0, description="time limit of one verification; time-outs are counted")

    loss: choice("grpo/losses") = Field(  # type: ignore[valid-type]
        "grpo", validate_default=True, description="the objective: advantages, weights of tokens, ratio, KL"
    )

    importance_cap: float | None = as_before(
        None,
        gt=0,
        description="truncated importance sampling: a token's objective is multiplied by its probability in the trainer"
        " over that in the engine, at most this (verl: 2, TRL: 3); none: not corrected",
    )

    gate: choice("grpo/gates") = Field("all", validate_default=True, description="which groups are trained on")  # type: ignore[valid-type]

    # Optimizer: AdamW at a constant rate, no warm-up.
    learning_rate: Positive = 1e-6
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    adam_epsilon: Positive = 1e-8
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: Positive = 1.0

    # Where it runs. None of these changes what is computed but for rounding.
    micro_batch_tokens: int = Field(16_384, ge=64, description="padded tokens a forward pass on one rank")
    share_prompts: bool = Field(
        False,
        description="run a prompt once for the responses of its group that fit a row",
    )
    pack_rows: bool = as_before(
        False,
        description="lay rows behind each other without padding, a group's together, so that its images are encoded "
        "once; for GPUs (a CPU has a dense attention mask for these)",
    )
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = Field(True, description="compute blocks again in the backward pass: less memory")
    recompute_every: int = as_before(
        1, ge=1, description="with gradient_checkpointing: every n-th block is; n = 2 computes half as many again"
    )
    deepspeed: str | dict[str, Any] = Field(
        "config/deepspeed/zero2.json", description="a DeepSpeed configuration, or a path to one from the repository"
    )
    engine: choice("rollout/engines") = Field("vllm", validate_default=True, description="what samples")  # type: ignore[valid-type]
    machine: GRPOMachine = Field(default_factory=lambda: GRPOMachine.model_validate({}))

    # Prompts and images.
    prompt_position: PromptPosition = Field("system", description="user: in front of the question")
    min_pixels: int | None = Field(7_056, ge=1)
    max_pixels: int | None = Field(1_048_576, ge=1)

    validation: ValidationSettings = Field(default_factory=lambda: ValidationSettings.model_validate({}))

    @model_validator(mode="before")
    @classmethod
    def _rewards_of_table_6(cls, values: Any) -> Any:
        """Rewards that were not given are Table 6's, as if they had been written: a run can then add to them."""
        return {"rewards": {"accuracy": 1.0, "format": 1.0}} | values if isinstance(values, dict) else values

    @property
    def needs_reference(self) -> bool:
        """Whether the loss has a KL term, which needs a reference model."""
        return getattr(self.loss.settings, "kl_coefficient", 0.0) > 0

    @model_validator(mode="after")
    def _consistent(self) -> "GRPOSettings":
        if not any(chosen.weight for chosen in self.rewards.values()):
            raise ValueError("rewards: expected at least one weight above 0")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        return self


class GradientSettings(Deterministic):
    """What `measure_gradients.py` reads of the trainer's settings."""

    temperature: Positive = 0.6
    micro_batch_tokens: int = Field(16_384, ge=64)
    share_prompts: bool = False
    prompt_position: PromptPosition = "system"
    min_pixels: int | None = Field(7_056, ge=1)
    max_pixels: int | None = Field(1_048_576, ge=1)


class SignalSettings(GradientSettings):
    """What `measure_signal.py` reads: those, and how a batch is drawn."""

    group_size: int = Field(8, ge=2, description="rollouts per problem (n); fewer where there are not two groups")
    batch_size: int = Field(32, ge=1, description="B: problems whose gradients are averaged")
    mix: Share = Field(0.5, description="λ: share of the batch drawn by scores; all of it is measured, too")


class TrainerSettings(GRPOSettings, Deterministic):
    """What `train_grpo.py` reads: RL's settings and, of a sampler that observes, how a step's problems are chosen."""

    draw: DrawSettings | None = as_before(None, description="choose problems while training; none: from --schedule")
