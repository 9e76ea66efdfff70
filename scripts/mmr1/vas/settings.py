"""Settings of variance-aware sampling: scores, their share of the batch, and when they are refreshed (§3).

The models of the programs come first; the recipe's sections `vas` and `schedule` are made of them.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mmr1.plugins import choice
from mmr1.plumbing.fields import Share, all_different
from mmr1.plumbing.settings import Machine, Section, as_before


class ScoreMachine(Machine):
    """What scoring takes of a machine."""

    workers: int | None = Field(
        None, ge=1, description="processes that judge and threads that compare; as many as there are cores by default"
    )


class ScoreSettings(Section):
    """How a VPS is made of what was observed: what `score_vps.py` reads. Defaults are the paper's (§6.1)."""

    outcome_weight: float = Field(0.8, ge=0, description="α, of OVS")
    diversity_weight: float = Field(0.2, ge=0, description="β, of TDS")
    diversity: choice("vas/diversities") = Field(  # type: ignore[valid-type]
        "inverse_self_bleu_123", validate_default=True, description="TDS: how different a problem's responses are"
    )
    ovs_estimate: Literal["plain", "beta"] = Field(
        "plain", description="plain: P(1-P) (Algorithm 1); beta: the posterior mean of p(1-p) under a uniform prior"
    )
    minmax: bool = Field(False, description="as released: α·OVS + β·TDS min-max normalised over the set")
    momentum: Share = Field(0.0, description="as released: share m of the old score that is kept, m·old + (1-m)·new")
    verify_seconds: float = Field(2.0, gt=0, description="time limit of one verification")
    machine: ScoreMachine = Field(default_factory=lambda: ScoreMachine.model_validate({}))


class ScoringSettings(ScoreSettings):
    """The settings of `score_vps.py`: those, and the refresh where it makes scores of all verdicts so far."""

    refresh: choice("vas/refreshes") | None = as_before(  # type: ignore[valid-type]
        None, description="a refresh that follows pass rates through training, and makes the scores"
    )


class Mix(Section):
    """How much of a batch is drawn by score."""

    mix: Share = Field(0.5, description="λ: share of the batch drawn in proportion to VPS; 0 is plain GRPO")


class Batch(Section):
    """How many problems a step has, and how they are drawn."""

    batch_size: int = Field(ge=1, description="B: problems per step (the rollout batch)")
    draws: Literal["iid", "permutation"] = Field(
        "iid",
        description="the uniform part: iid, with replacement; permutation, every problem once before any comes again",
    )
    sampler: choice("vas/samplers") = Field(  # type: ignore[valid-type]
        "vas", validate_default=True, description="how the problems of a step are chosen"
    )


class DrawSettings(Mix, Batch):
    """How the problems of each step are chosen: the settings of `draw_schedule.py`."""

    queue_factor: int = Field(
        1, ge=1, description="batches listed per step, for a trainer whose gate passes groups over"
    )


class RefreshSettings(Section):
    """How a round's scores are refreshed: the settings of `select_problems.py`."""

    refresh: choice("vas/refreshes") = Field(  # type: ignore[valid-type]
        "full", validate_default=True, description="which problems are sampled again, and what scores are made from"
    )


class Replay(Section):
    """How other scores are replayed on stored responses: what they would have bought, without training."""

    new: int = Field(8, ge=1, description="responses to each problem that play newly sampled ones")
    shares: Annotated[list[Annotated[Share, Field(gt=0)]], AfterValidator(all_different)] = Field(
        [0.25, 0.5, 1.0], description="shares of the problems that get new responses, of a refresh that chooses them"
    )
    refresh: choice("vas/refreshes") = Field(  # type: ignore[valid-type]
        "tracked",
        validate_default=True,
        description="one that follows pass rates by the verdicts of training; of its own keys those count that say how",
    )
    ess: float = Field(
        0.3, gt=0, le=1, description="the effective sample size to which weights are thinned, of the set"
    )

    @model_validator(mode="after")
    def _refresh_follows(self) -> "Replay":
        if not hasattr(self.refresh.module, "follow"):
            raise ValueError(f"refresh: expected one that follows pass rates, found {self.refresh.name}")
        return self


class ReplaySettings(Replay):
    """What `counterfactual.py` reads."""

    group_size: int = Field(8, ge=2, description="responses of a group in training")


class Counterfactual(Replay):
    """The target `counterfactual`: what scores would buy before a round of RL."""

    round: Literal["first", "last"] = Field(
        "first",
        description="first: where RL starts, of each model, whose first run with scores says how; last: of every run",
    )
    truth: int = Field(32, ge=2, description="responses to each problem, beside the new, that say which groups vary")


class Schedule(Batch):
    """Which problem is trained at which step (Algorithm 1)."""

    steps: int = Field(ge=1, description="training steps in all")
    update_every: int = Field(ge=1, description="T_update: steps under one set of scores; the last round may be short")


class VAS(ScoreSettings, Mix, RefreshSettings):
    """Variance-aware sampling: scores and their share of the batch (§3)."""

    samples: int = Field(32, ge=1, description="N: rollouts per problem for its score")
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _scores_can_differ(self) -> "VAS":
        if self.mix > 0 and self.outcome_weight == self.diversity_weight == 0:
            raise ValueError("outcome_weight, diversity_weight: expected at least one above 0, found 0 and 0")
        return self
