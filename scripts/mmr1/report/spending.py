"""How many rollouts a run spent, for training and for the VPS passes before it, and when."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmr1.report import results
from mmr1.report.index import Training


@dataclass(frozen=True)
class Rollouts:
    """What one run under one seed sampled.

    `by_step` maps a step to what was spent until its weights were reached: earlier passes included, but not one that
    samples from these weights, which pays for later ones.
    """

    training: int
    passes: int
    by_step: Mapping[int, int]

    @property
    def total(self) -> int:
        """Rollouts of training and passes."""
        return self.training + self.passes

    @property
    def cost(self) -> float:
        """c: rollouts of passes per rollout of training."""
        return self.passes / self.training


def rollouts(training: Training, passes: Mapping[str, int], group_sizes: Mapping[str, int]) -> Rollouts | None:
    """What a run sampled, from the groups of its calibration and from what `mmr1.report.cost` reads of the records.

    Groups that a gate passed over were sampled, too. None where a round's file or record does not say.
    """
    spent_training = spent_passes = 0
    by_step: dict[int, int] = {}
    for one in training.rounds:
        place = f"{training.model}/{training.run}/seed{training.seed}/round{one.round}"
        if one.calibration is None or place not in group_sizes:
            return None
        reached = spent_training + spent_passes
        spent_passes += passes.get(place, 0)
        for row in results.jsonl(one.calibration):
            if row.get("groups") is None:
                return None
            by_step[row["step"]] = reached
            spent_training += row["groups"] * group_sizes[place]
            reached = spent_training + spent_passes
    if not spent_training:
        return None
    by_step[max(by_step) + 1] = spent_training + spent_passes
    return Rollouts(spent_training, spent_passes, by_step)


def mean_rollouts(seeds: list[Rollouts]) -> tuple[float, float]:
    """Rollouts of training and of passes, each a mean over seeds."""
    return float(np.mean([one.training for one in seeds])), float(np.mean([one.passes for one in seeds]))
