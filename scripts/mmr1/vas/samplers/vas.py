"""Variance-aware sampling (Algorithm 1), the default.

At each step ⌊λB⌋ problems are drawn with replacement with probability VPS / sum of VPS, the other B - ⌊λB⌋ uniformly.
λ is `vas.mix`; 0 needs no scores and is plain GRPO. If all VPS are 0 the weighted part is uniform too.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmr1.vas.samplers import Choice, ProblemSampler
from mmr1.vas.samplers._helpers import draw_step
from mmr1.vas.weights import weights

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings

TITLE = "variance-aware"
EXAMPLE = "schedule: {sampler: vas}"


def weighted_slots(settings: "DrawSettings") -> int:
    """⌊λB⌋: how many of a batch are drawn by VPS. λ counts as it is written in decimals: 0.29 of 100 is 29."""
    return int(Fraction(repr(settings.mix)) * settings.batch_size)


class Sampler(ProblemSampler):
    """Draws by the scores of the round."""

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        super().__init__(settings, ids, seed, scores)
        self.ovs = self.weight = None
        if scores is not None and self.needs_scores(settings):
            self.ovs, self.weight = np.asarray(scores["ovs"]), weights(np.asarray(scores["vps"]))

    @classmethod
    def needs_scores(cls, settings: "DrawSettings") -> bool:
        """Unless λ is 0."""
        return settings.mix > 0

    def choose(self, step: int) -> Choice:
        """⌊λB⌋ problems by weight and the others uniformly, in random order; `queue_factor` times."""
        weighted = weighted_slots(self.settings)
        problems, origin = draw_step(self.settings, len(self.ids), self.seed, step, weighted, self.weight)
        if self.ovs is None or self.weight is None:
            return Choice(problems, origin)
        return Choice(problems, origin, self.ovs[problems], self.weight[problems])
