"""Uniform draws: plain GRPO. Every problem is equally likely at every step; `schedule.draws` says how."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mmr1.vas.samplers import Choice
from mmr1.vas.samplers._helpers import draw_step

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings

TITLE = "uniform"
EXAMPLE = "schedule: {sampler: uniform}"

OBSERVES = False


def needs_scores(settings: "DrawSettings") -> bool:
    """Never."""
    return False


class Sampler:
    """Draws all problems uniformly."""

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        self.settings, self.size, self.seed = settings, len(ids), seed

    def choose(self, step: int) -> Choice:
        """B problems, `queue_factor` times."""
        return Choice(*draw_step(self.settings, self.size, self.seed, step))

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Nothing to learn."""
