"""Pass rates followed through training: all verdicts so far make a round's scores, and few responses are new.

Every problem's pass rate is estimated from the groups that it was trained on, from the responses sampled for scores so
far, and from what problems of its kind did (`mmr1.vas.tracking`, `mmr1.vas.features`). Its score is (v - t)+, v the
mean of p(1-p) and t such that the effective sample size of the scores is `ess` of the set: of all weights of that size
these draw the most variance (`mmr1.vas.thinning`). α, β, the diversity, momentum and min-max say nothing here.

New responses, `vas.samples` to each, go to the `share` of problems whose pass rate is least certain. A run's first
round samples all problems, unless `first` is false or `share` is 0: then it samples none and draws uniformly.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from mmr1.plumbing.fields import Share
from mmr1.plumbing.settings import Section
from mmr1.vas.arrays import Floats

if TYPE_CHECKING:
    from mmr1.vas.tracking import Belief, Evidence

TITLE = "followed through training"
EXAMPLE = "vas: {refresh: {name: tracked, share: 0.25}}"

ROLLOUTS = "sampled"
KEEPS_SCORES = False


class Settings(Section):
    """How much is sampled, and how evidence fades; the defaults were measured on digits (docs/vas.md)."""

    share: Share = Field(0.25, description="part of the problems that new responses are sampled for; 0: none, ever")
    first: bool = Field(True, description="whether a run's first round samples all problems; else it draws uniformly")
    ess: float = Field(0.3, gt=0, le=1, description="effective sample size of the scores, as a share of the set")
    half_life: float = Field(32.0, gt=0, description="steps after which a problem's own deviation is half gone")
    recent: float = Field(5.0, gt=0, description="steps after which a group counts half for what problems of a kind do")


def follow(settings: Settings, rows: pa.Table, evidence: "Evidence", step: int) -> "Belief":
    """What is known at `step` of the pass rates of a set, `rows` of `mmr1.vas.features.ROWS`, after all groups."""
    from mmr1.vas.features import features
    from mmr1.vas.tracking import filtered, fit

    columns = features(rows)
    return filtered(evidence, columns, step, fit(evidence, columns, step, settings.recent), settings.half_life)


def weigh(settings: Settings, belief: "Belief") -> Floats:
    """The score (M,) of every problem, (v - t)+."""
    from mmr1.vas.thinning import thinned

    return thinned(belief.variance, settings.ess)[0]


def choose(settings: Settings, belief: "Belief") -> NDArray[np.bool_]:
    """The ⌈share·M⌉ problems whose pass rate is least certain, a mask (M,); equals in the set's order.

    Not those whose score new responses would raise most on average: on stored rollouts that choice recovered no more
    than a random one, since it trusts what the model says of a problem more than it should (docs/vas.md).
    """
    mask = np.zeros(len(belief.deviation), bool)
    mask[np.argsort(-belief.deviation, kind="stable")[: math.ceil(settings.share * len(mask))]] = True
    return mask
