"""Rewards: what a response earns. A file of this folder is a reward; `grpo.rewards` of a recipe gives each its weight.

A reward defines

- `score(responses, settings, verifier) -> Scores`: a finite number for each `Response`, the higher the better. A step's
  responses come at once, those of a group in a row. `settings` are the reward's own; `verifier` says whether an answer
  equals its gold, and is there for rewards that need it.
- `prepare(responses, settings, verifier)`, if scoring takes long: it is given whole groups while others are sampled, in
  another thread and in any order, so that `score` finds its answers made. It decides nothing.
- `class Settings(Section)`, if it has settings. The weight is none of them: a recipe gives it to every reward.
- `COLUMNS`, if it says more than a number: the names of its text columns in the rewards table.
- `TITLE`, its display name; `EXAMPLE`, lines of a recipe that choose it; a docstring with formula, range and source.

It becomes the column of its name in the rewards table, the metric `reward_NAME` and a curve of the report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rewards are listed where neither is installed
    import numpy as np

    from mmr1.data.problems import Problem


@dataclass(frozen=True)
class Response:
    """One response to a problem, as a reward sees it."""

    problem: "Problem"  # question, choices, gold answer, metadata, images
    text: str  # without special tokens
    token_ids: "np.ndarray"  # int32 [L], ending with the end-of-sequence token where there is one
    finish_reason: str  # "stop", or "length" for a response that was cut


@dataclass(frozen=True)
class Scores:
    """What a reward says of some responses: a number for each, and a text for each in every column that it declares."""

    values: Sequence[float]
    columns: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
