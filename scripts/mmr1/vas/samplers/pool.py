"""Difficulty pools (`DifficultyPoolSampler` of prime-rl, 2026): problems weigh by the pass rate of their last group.

A problem weighs 0.2 if the last group's pass rate is at most 1/4, 1 if it is at most 3/4, and 0.2 above; 1 if it was
never trained on. A step's problems are drawn with replacement in proportion to the weights. No response is sampled
but those of training. prime-rl draws one problem at a time, with what it knows by then; here a step is drawn at once.
`vas.mix` and `schedule.draws` say nothing here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import Field

from mmr1.plumbing.fields import Share
from mmr1.plumbing.settings import Section
from mmr1.seeds import generator
from mmr1.vas.history import groups_of
from mmr1.vas.samplers import Choice, ProblemSampler
from mmr1.vas.samplers._helpers import by_weight
from mmr1.vas.weights import weights

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings

TITLE = "difficulty pools"
EXAMPLE = "schedule: {sampler: {name: pool, hard: 0.2, easy: 0.2}}"


class Settings(Section):
    """The pools' limits and weights; the middle and what was never seen weigh 1."""

    hard: float = Field(0.2, ge=0, description="weight of a problem whose last pass rate is at most hard_below")
    easy: float = Field(0.2, ge=0, description="weight of a problem whose last pass rate is above easy_above")
    hard_below: Share = Field(0.25, description="the hard pool's highest pass rate")
    easy_above: Share = Field(0.75, description="the middle pool's highest pass rate")


class Sampler(ProblemSampler):
    """Keeps the weight of each problem, (M,)."""

    observes = True

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        super().__init__(settings, ids, seed, scores)
        self.weight = np.ones(len(ids))

    def choose(self, step: int) -> Choice:
        """Problems by weight; uniformly where none has any."""
        share, slots = weights(self.weight), self.settings.batch_size * self.settings.queue_factor
        problems = by_weight(share, generator(self.seed, "pool", step).random(slots))
        return Choice(problems, ["pool"] * slots, weight=share[problems])

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Put the problems that had groups into their pools; of several groups the last slot's counts."""
        for group in groups_of(rewards).to_pylist():
            self.weight[self.position[group["problem_id"]]] = self._weight(group["pass_rate"])

    def _weight(self, rate: float) -> float:
        """Of a problem whose last group had this pass rate."""
        if rate <= self.own.hard_below:
            return self.own.hard
        return 1.0 if rate <= self.own.easy_above else self.own.easy
