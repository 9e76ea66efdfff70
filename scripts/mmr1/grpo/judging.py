"""What a run's rewards say of its responses."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from mmr1.plugins import Weighted
from mmr1.plumbing.errors import UserError
from mmr1.rewards import Response, Scores
from mmr1.rewards.verifier.verify import Verifier


@dataclass(frozen=True)
class Judged:
    """What a response earned."""

    rewards: dict[str, float]  # by the reward's name
    texts: dict[str, str | None]  # what the rewards say besides, by the column's name

    @property
    def accuracy(self) -> float:
        """1.0 for a right answer, else 0.0."""
        return self.rewards["accuracy"]

    def total(self, rewards: Mapping[str, Weighted]) -> float:
        """The sum of all rewards by their weights: what the advantage is made from."""
        return sum(chosen.weight * self.rewards[name] for name, chosen in rewards.items())


def judge(rewards: Mapping[str, Weighted], responses: Sequence[Response], verifier: Verifier) -> list[Judged]:
    """Every response as all rewards see it. Raises UserError for a reward that does not give each a finite number."""
    if not responses:
        return []
    scores = {name: _scores(chosen, responses, verifier) for name, chosen in rewards.items()}
    columns = {column: texts for one in scores.values() for column, texts in one.columns.items()}
    return [
        Judged(
            {name: float(one.values[place]) for name, one in scores.items()},
            {column: texts[place] for column, texts in columns.items()},
        )
        for place in range(len(responses))
    ]


class Preparation:
    """Lets rewards prepare groups that are there while others are sampled: a context manager with a thread.

    What the thread did not come to by the end is left to `judge`.
    """

    def __init__(self, rewards: Mapping[str, Weighted], verifier: Verifier) -> None:
        self.prepared = [chosen for chosen in rewards.values() if hasattr(chosen.module, "prepare")]
        self.verifier = verifier
        self._thread = ThreadPoolExecutor(1, "preparation")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)  # waits for the group that it is at

    def add(self, responses: Sequence[Response]) -> None:
        """Take a group's responses."""
        self._thread.submit(self._prepare, responses)

    def _prepare(self, responses: Sequence[Response]) -> None:
        for chosen in self.prepared:
            chosen.module.prepare(responses, chosen.settings, self.verifier)


def _scores(chosen: Weighted, responses: Sequence[Response], verifier: Verifier) -> Scores:
    scores: Scores = chosen.module.score(responses, chosen.settings, verifier)
    if len(scores.values) != len(responses):
        raise UserError(
            f"{chosen.file}: expected {len(responses)} numbers, one per response, found {len(scores.values)}"
        )
    for response, value in zip(responses, scores.values, strict=True):
        if not math.isfinite(value):
            raise UserError(f"{chosen.file}: expected a finite number, found {value} for {response.text!r}")
    return scores
