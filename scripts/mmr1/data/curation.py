"""Data from a pool, as the paper curates its own (§5): how hard a problem is for a model decides what it is used for.

N responses to each problem are verified. By pass rate a problem is easy (at least 0.8), hard (at most 0.2) or medium.
For SFT medium and hard ones are kept, with responses that are right. For RL problems are drawn in equal numbers from
each type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mmr1.data.settings import CurationSettings, Difficulty
from mmr1.seeds import generator

CURATED = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("type", pa.string()),  # null where its metadata have none
        pa.field("n", pa.int32(), nullable=False),  # responses
        pa.field("pass_rate", pa.float64(), nullable=False),
        pa.field("difficulty", pa.string(), nullable=False),
        pa.field("chains", pa.int32(), nullable=False),  # right responses that are kept for SFT
        pa.field("rl", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Judged:
    """A problem of the pool with its type, and the rollouts of it that are right, of `n`."""

    id: str
    type: str | None
    n: int
    right: tuple[int, ...]

    @property
    def pass_rate(self) -> float:
        """P, in [0, 1]."""
        return len(self.right) / self.n


def difficulty(pass_rate: float, settings: CurationSettings) -> Difficulty:
    """Easy from `easy` on, hard up to `hard`, else medium."""
    if pass_rate >= settings.easy:
        return "easy"
    return "hard" if pass_rate <= settings.hard else "medium"


def chains(problem: Judged, settings: CurationSettings) -> tuple[int, ...]:
    """The rollouts of a problem that SFT learns: the first right ones, of a problem that is not easy."""
    return () if difficulty(problem.pass_rate, settings) == "easy" else problem.right[: settings.chains]


def balanced(problems: Sequence[Judged], settings: CurationSettings, seed: int) -> set[str]:
    """The ids of the RL set: as many of each type, drawn by the seed from problems of the difficulties asked for.

    What a type has too few of is drawn from the others, evenly. Without a size, each type has as many as
    the rarest one. Problems without a type count as one type where none has any, and are left out otherwise.
    """
    fitting = [one for one in problems if difficulty(one.pass_rate, settings) in settings.rl_difficulties]
    typed = [one for one in fitting if one.type is not None] or fitting
    groups: dict[str, list[str]] = {}
    for one in typed:
        groups.setdefault(one.type or "", []).append(one.id)
    sizes = shares({name: len(ids) for name, ids in groups.items()}, settings.rl_problems)
    chosen: set[str] = set()
    for name, ids in groups.items():
        order = generator(seed, "curation", name).permutation(len(ids))
        chosen.update(ids[int(index)] for index in order[: sizes[name]])
    return chosen


def shares(there: Mapping[str, int], wanted: int | None) -> dict[str, int]:
    """How many to take of each type, of which so many are `there`: evenly, and the rest from types that have more.

    What cannot be divided goes to the first types by name.
    """
    if not there:
        return {}
    if wanted is None:
        return dict.fromkeys(there, min(there.values()))
    taken = dict.fromkeys(there, 0)
    left = min(wanted, sum(there.values()))
    while left:
        open_types = sorted(name for name in there if taken[name] < there[name])
        each = max(1, left // len(open_types))
        for name in open_types:
            step = min(each, there[name] - taken[name], left)
            taken[name] += step
            left -= step
    return taken
