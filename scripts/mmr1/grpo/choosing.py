"""The problems of each step: from a schedule that was drawn before the round, or from a sampler that observes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from mmr1.data.problems import Problem
from mmr1.grpo.experience import Entry, read_schedule
from mmr1.vas.samplers import ProblemSampler


class Sampler(Protocol):
    """What the training loop asks; `steps` are the round's, absolute."""

    steps: range

    def choose(self, step: int) -> list[Entry]:
        """The entries of a step in the order of slots; the trainer takes as many from the front as it needs."""

    def observe(self, step: int, rewards: pa.Table) -> None:
        """The training rewards of a step's groups: called for every step, in order, from a run's first on."""

    @property
    def longest(self) -> int:
        """The most entries that a step has."""


class ScheduleSampler:
    """Entries from a schedule file. Raises UserError as `read_schedule` does."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.schedule = read_schedule(path, {problem.id: problem for problem in problems})
        self.steps = range(min(self.schedule), max(self.schedule) + 1)

    def choose(self, step: int) -> list[Entry]:
        """The schedule's entries."""
        return self.schedule[step]

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Nothing: the round's steps are chosen."""

    @property
    def longest(self) -> int:
        """The most entries that a step has."""
        return max(len(entries) for entries in self.schedule.values())


class ObservingSampler:
    """Entries from a sampler that observes, which is shown `earlier` steps' rewards first."""

    def __init__(
        self,
        sampler: ProblemSampler,
        problems: Sequence[Problem],
        steps: range,
        longest: int,
        earlier: Iterable[tuple[int, pa.Table]],
    ) -> None:
        self.sampler, self.problems, self.steps, self.longest = sampler, problems, steps, longest
        for step, rewards in earlier:
            self.observe(step, rewards)

    def choose(self, step: int) -> list[Entry]:
        """The sampler's choice."""
        choice = self.sampler.choose(step)
        nothing = [None] * len(choice.problems)
        columns = zip(
            choice.problems.tolist(),
            choice.origin,
            nothing if choice.ovs is None else choice.ovs.tolist(),
            nothing if choice.weight is None else choice.weight.tolist(),
            strict=True,
        )
        return [Entry(slot, self.problems[problem], *why) for slot, (problem, *why) in enumerate(columns)]

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Hand a step's rewards on."""
        self.sampler.observe(step, rewards)
