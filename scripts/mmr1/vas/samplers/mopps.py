"""MoPPS, model predictive prompt selection (Qu et al., arXiv 2507.04632): Thompson draws of each problem's pass rate.

The pass rate of a problem has a belief Beta(α, β), at first the prior Beta(α0, β0). Each step draws a pass rate from
every problem's belief and takes the B problems whose draw is nearest to the target, 1/2. A group of the problem with s
right responses of n then moves its belief, with a decay d in [0, 1] that lets old evidence fade as the policy moves on:

    α ← d·α + (1 - d)·α0 + s        β ← d·β + (1 - d)·β0 + (n - s)

No response is sampled but those that are trained on. As in the authors' code, a belief decays when its problem is
observed, so that one that was given up stays given up for as long as its draws are far from the target. Theirs draws
from a random subset of 8 batches, this from the whole set. `vas.mix` and `schedule.draws` say nothing here.

A schedule's `ovs` is the belief's mean of p(1-p), αβ / ((α+β)(α+β+1)), before the step: `calibrate.py` holds it against
what the group showed.
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

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings

TITLE = "MoPPS"
EXAMPLE = "schedule: {sampler: {name: mopps, decay: 0.5}}"


class Settings(Section):
    """The belief about a problem's pass rate, and the pass rate that is looked for."""

    decay: Share = Field(0.5, description="d: what is left of old evidence when a problem is observed again")
    prior_right: float = Field(1.0, gt=0, description="α0")
    prior_wrong: float = Field(1.0, gt=0, description="β0")
    target: Share = Field(0.5, description="problems whose drawn pass rate is nearest to this are trained on")


class Sampler(ProblemSampler):
    """Keeps a Beta for each problem: `right` and `wrong` are α and β, (M,)."""

    observes = True

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        super().__init__(settings, ids, seed, scores)
        self.right = np.full(len(ids), self.own.prior_right)
        self.wrong = np.full(len(ids), self.own.prior_wrong)

    def choose(self, step: int) -> Choice:
        """The problems whose draws are nearest to the target, at most all of the set; each batch in random order."""
        draw, size = generator(self.seed, "mopps", step), self.settings.batch_size
        distance = np.abs(draw.beta(self.right, self.wrong) - self.own.target)
        nearest = np.argsort(distance, kind="stable")[: size * self.settings.queue_factor]
        # Shuffled, or the trainer's mini-batches, which are consecutive slots, would differ in how certain they are.
        batches = [draw.permutation(nearest[first : first + size]) for first in range(0, len(nearest), size)]
        chosen = np.concatenate(batches)
        right, wrong = self.right[chosen], self.wrong[chosen]
        total = right + wrong
        return Choice(chosen, ["mopps"] * len(chosen), ovs=right * wrong / (total * (total + 1)))

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Move the beliefs about the problems that had groups."""
        decay, own = self.own.decay, self.own
        for group in groups_of(rewards).to_pylist():
            problem, right, wrong = self.position[group["problem_id"]], group["right"], group["n"] - group["right"]
            self.right[problem] = decay * self.right[problem] + (1 - decay) * own.prior_right + right
            self.wrong[problem] = decay * self.wrong[problem] + (1 - decay) * own.prior_wrong + wrong
