"""Uniform draws: plain GRPO. Every problem is equally likely at every step; `schedule.draws` says how."""

from mmr1.vas.samplers import Choice, ProblemSampler
from mmr1.vas.samplers._helpers import draw_step

TITLE = "uniform"
EXAMPLE = "schedule: {sampler: uniform}"


class Sampler(ProblemSampler):
    """Draws all problems uniformly."""

    def choose(self, step: int) -> Choice:
        """B problems, `queue_factor` times."""
        return Choice(*draw_step(self.settings, len(self.ids), self.seed, step))
