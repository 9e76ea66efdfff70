"""How the problems of a step are chosen.

`schedule.sampler` names one. A member defines

- `TITLE`, its name in print, and `EXAMPLE`, the lines of a recipe that choose it;
- `Sampler`, a `ProblemSampler` that says how it chooses and, if it does, what it observes;
- `Settings`, if it has any of its own: they are `settings.sampler.settings`.

A sampler chooses the problems of step t, then observes the groups of step t. What it chooses is a function of its
settings, the run's seed and the groups observed before, and of nothing else: whoever feeds it the same history gets the
same schedule. That is how a killed run goes on, how a round goes on from the one before, and how `draw_schedule.py`
draws a schedule again that was written by a training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints

if TYPE_CHECKING:
    from mmr1.vas.settings import DrawSettings


@dataclass(frozen=True)
class Choice:
    """The problems of a step in the order of its slots, `queue_factor` batches at most; all arrays are (slots,).

    `problems`: positions in the set. `origin`: why each was chosen, "weighted", "uniform", or a sampler's own word.
    `ovs`: its predicted P(1-P), and `weight`: its share of the weights, where there are any.
    """

    problems: Ints
    origin: list[str]
    ovs: Floats | None = None
    weight: Floats | None = None


class ProblemSampler:
    """The base of a member's class `Sampler`.

    `observes`: False if a round's steps can be chosen before its training begins, so that its schedule is drawn
    first; True if a step's choice depends on the groups of the steps before. Then `train_grpo.py` asks while it
    trains, and the schedule that was used is an output of the training.
    """

    observes: ClassVar[bool] = False

    def __init__(self, settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None) -> None:
        """`ids` (M,) are the set, in the order of the problems file, `scores` the round's in that order, if needed.

        `own` are the member's settings, `position` says where in the set a problem is.
        """
        self.settings, self.ids, self.seed, self.scores = settings, ids, seed, scores
        self.own: Any = settings.sampler.settings
        self.position = {name: index for index, name in enumerate(ids)}

    @classmethod
    def needs_scores(cls, settings: "DrawSettings") -> bool:
        """Whether it draws by the scores of the round."""
        return False

    def choose(self, step: int) -> Choice:
        """The problems of an absolute step; the first `batch_size` are trained, the others where groups are passed."""
        raise NotImplementedError

    def observe(self, step: int, rewards: pa.Table) -> None:
        """Learn from the groups of a step: training rewards (columns of `mmr1.vas.history.REWARDS` at least)."""


def make_sampler(
    settings: "DrawSettings", ids: Sequence[str], seed: int, scores: pa.Table | None = None
) -> ProblemSampler:
    """The sampler that `settings` name.

    Raises UserError for a batch that is larger than the set, and for a sampler that draws by scores and has none.
    """
    if settings.batch_size > len(ids):
        raise UserError(f"batch_size: expected at most the {len(ids)} problems of the set, found {settings.batch_size}")
    if scores is None and settings.sampler.module.Sampler.needs_scores(settings):
        raise UserError(f"sampler {settings.sampler.name}, mix {settings.mix}: expected scores")
    sampler: ProblemSampler = settings.sampler.module.Sampler(settings, ids, seed, scores)
    return sampler
