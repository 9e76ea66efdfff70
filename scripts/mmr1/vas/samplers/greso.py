"""GRESO, selective rollouts (Zheng et al., arXiv 2506.02177): problems whose last groups had no variance are skipped.

The set is walked in random order, every problem once before any comes again. A problem that was all right (all wrong)
in its last z groups is skipped with probability 1 - max(p^z, 0.01), p = `p_easy` (`p_hard`); what is skipped costs
nothing and is met again in the next pass. From the second pass on each step moves both p by 0.01 within
[0.05, 0.95]: down if a third (two thirds) of `target` or more of its groups were all right (all wrong), else up.

These are the authors' code (their `DataProfiler` and trainer; the paper's one z counts both kinds). Two things are
elsewhere: they also drop the sampled groups without variance, here `grpo.gate: dapo`; and they sample the last few
groups of a step in smaller parts, which only saves time. No response is sampled but those of training.
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
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.history import groups_of
from mmr1.vas.samplers import Choice, ProblemSampler
from mmr1.vas.samplers._helpers import from_permutations

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings

TITLE = "GRESO"
EXAMPLE = "schedule: {sampler: {name: greso, target: 0.25}}"

LEAST_KEPT = 0.01  # of any problem, however long it had no variance
CHANGE = 0.01  # of p_easy and p_hard, per step
LOWEST, HIGHEST = 0.05, 0.95


class Settings(Section):
    """How readily problems are skipped; the defaults are the authors'."""

    p_easy: float = Field(0.5, ge=LOWEST, le=HIGHEST, description="p at first, of problems that were all right")
    p_hard: float = Field(0.5, ge=LOWEST, le=HIGHEST, description="p at first, of problems that were all wrong")
    target: Share = Field(
        0.25, description="share of groups without variance that is aimed at: a third all right, the rest all wrong"
    )


class Sampler(ProblemSampler):
    """Keeps for each problem how many of its last groups were all right, `easy`, and all wrong, `hard`, both (M,).

    `walked`: how many candidates were passed so far, skipped ones included.
    """

    observes = True

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        super().__init__(settings, ids, seed, scores)
        self.p_easy, self.p_hard = self.own.p_easy, self.own.p_hard
        self.easy, self.hard = (np.zeros(len(ids), np.int64) for _ in range(2))
        self.walked = 0

    def kept(self) -> Floats:
        """The probability of each problem not to be skipped, (M,)."""
        return np.maximum(self.p_easy**self.easy, LEAST_KEPT) * np.maximum(self.p_hard**self.hard, LEAST_KEPT)

    def choose(self, step: int) -> Choice:
        """The next problems of the walk that are not skipped."""
        chosen = self._walk(step)[0]
        return Choice(chosen, ["greso"] * len(chosen))

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Count groups without variance; the walk goes on behind the last problem that was sampled."""
        groups = groups_of(rewards)
        right, n = groups["right"].to_numpy(), groups["n"].to_numpy()
        self.walked = int(self._walk(step)[1][groups["slot"].to_numpy().max()]) + 1
        where = [self.position[name] for name in groups["problem_id"].to_pylist()]
        for problem, easy, hard in zip(where, (right == n).tolist(), (right == 0).tolist(), strict=True):
            self.easy[problem] = self.easy[problem] + 1 if easy else 0
            self.hard[problem] = self.hard[problem] + 1 if hard else 0
        if self.walked > len(self.ids):
            self.p_easy = _moved(self.p_easy, np.mean(right == n) >= self.own.target / 3)
            self.p_hard = _moved(self.p_hard, np.mean(right == 0) >= self.own.target * 2 / 3)

    def _walk(self, step: int) -> tuple[Ints, Ints]:
        """The problems (slots,) of a step, and where in the walk each stands."""
        draw, kept = generator(self.seed, "greso", step), self.kept()
        slots, size, first = self.settings.batch_size * self.settings.queue_factor, len(self.ids), self.walked
        parts: list[tuple[Ints, Ints]] = []
        while sum(len(problems) for problems, _ in parts) < slots:
            candidates = from_permutations(self.seed, size, first, slots)
            inside = np.flatnonzero(draw.random(slots) < kept[candidates])
            parts.append((candidates[inside], first + inside))
            first += slots
        problems, places = (np.concatenate([part[side] for part in parts])[:slots] for side in range(2))
        return problems, places


def _moved(p: float, too_many: bool) -> float:
    """p after a step: lower, so that more is skipped, if too many groups had no variance."""
    return max(p - CHANGE, LOWEST) if too_many else min(p + CHANGE, HIGHEST)
