"""Settings of variance-aware sampling: scores, their share of the batch, and when they are made anew (§3)."""

from typing import Literal

from pydantic import Field, model_validator

from mmr1.plumbing.fields import Share
from mmr1.plumbing.settings import Section


class Schedule(Section):
    """Which problem is trained on when (Algorithm 1)."""

    steps: int = Field(ge=1, description="training steps in all")
    update_every: int = Field(ge=1, description="T_update: steps under one set of scores; the last round may be short")
    batch_size: int = Field(ge=1, description="problems a step (the rollout batch)")
    draws: Literal["iid", "permutation"] = Field("iid", description="how the uniform part is drawn")


class VAS(Section):
    """Variance-aware sampling: scores and their share of the batch (§3)."""

    mix: Share = Field(0.5, description="λ: share of the batch drawn in proportion to VPS; 0 is plain GRPO")
    outcome_weight: float = Field(0.8, ge=0, description="α, of OVS")
    diversity_weight: float = Field(0.2, ge=0, description="β, of TDS")
    diversity: Literal[
        "inverse_self_bleu_123", "self_bleu_123", "distinct_1", "distinct_2", "distinct_3", "pairwise_edit"
    ] = "inverse_self_bleu_123"
    samples: int = Field(32, ge=1, description="N: rollouts a problem for its score")
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    minmax: bool = Field(False, description="as released: scores min-max normalised over the set")
    momentum: Share = Field(0.0, description="as released: share of the old score that is kept")
    ovs_estimate: Literal["plain", "beta"] = "plain"
    refresh: Literal["full", "reuse", "stale"] = Field(
        "full",
        description="full: all problems are generated again each round (Algorithm 1); reuse: the last round's training "
        "rollouts update the problems they touched; stale: only old or uncertain scores are generated again",
    )
    stale_share: float = Field(0.5, gt=0, le=1, description="part of the problems that `stale` generates again")
    stale_half_life: float = Field(28.0, gt=0, description="steps after which evidence counts half")
    verify_seconds: float = Field(2.0, gt=0, description="time limit of one verification")

    @model_validator(mode="after")
    def _scores_can_differ(self) -> "VAS":
        if self.mix > 0 and self.outcome_weight == self.diversity_weight == 0:
            raise ValueError("outcome_weight, diversity_weight: expected at least one above 0, found 0 and 0")
        return self
