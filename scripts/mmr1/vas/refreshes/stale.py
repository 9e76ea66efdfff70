"""Stale scores only (the paper's §7 names the cost of scores as a limitation): others keep the scores that they have.

Problems are ranked by the posterior standard deviation of their pass rate, Beta(1 + w·s, 1 + w·(n-s)) after s right of
n responses, with evidence that fades as the policy moves on, w = 2^(-age / half-life). The share with the largest is
sampled again: problems near p = 1/2, which are drawn most, come first, and the others as their evidence fades.
"""

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.settings import Section
from mmr1.vas.arrays import Floats, Ints

TITLE = "old or uncertain scores"
EXAMPLE = "vas: {refresh: {name: stale, share: 0.5, half_life: 28}}"

ROLLOUTS = "sampled"
KEEPS_SCORES = True


class Settings(Section):
    """Which scores are worth renewing."""

    share: float = Field(0.5, gt=0, le=1, description="part of the problems that are sampled again, rounded up")
    half_life: float = Field(28.0, gt=0, description="steps after which evidence counts half")


def pass_rate_deviation(passes: Floats, n: Floats | Ints, age: Floats | Ints, half_life: float) -> Floats:
    """How uncertain the pass rate p of each problem is: its posterior standard deviation, in (0, 0.289).

    The posterior is Beta(a, b), a = 1 + w·s, b = 1 + w·(n-s), under a uniform prior, after s = `passes` of n responses
    that are `age` steps old: sqrt(ab / ((a+b)² (a+b+1))). The policy has moved since, so evidence fades:
    w = 2^(-age/half_life), and old or few responses tend to the prior's 1/sqrt(12).

    Not the deviation of p(1-p), although OVS is the score: near p = 1/2 p(1-p) is flat, so that it would renew problems
    that were all right or all wrong, and leave those that are drawn most at scores of a policy that has moved on
    (docs/vas.md has what both were measured to keep).
    """
    faded = np.exp2(-np.asarray(age, np.float64) / half_life)
    a, b = 1 + faded * passes, 1 + faded * (n - passes)
    return np.sqrt(a * b / (a + b + 1)) / (a + b)


def select(settings: Settings, scores: pa.Table, step: int) -> NDArray[np.bool_]:
    """The ⌈share·M⌉ problems with the most uncertain pass rates at `step`, a mask (M,); equals in the set's order.

    Raises UserError for a score from after `step`.
    """
    n, pass_rate, scored_at = (scores[name].to_numpy() for name in ("n", "pass_rate", "scored_at"))
    if (late := scored_at > step).any():
        raise UserError(f"scored_at: expected at most step {step}, found {scored_at[late][0]}")
    deviation = pass_rate_deviation(pass_rate * n, n, step - scored_at, settings.half_life)
    mask = np.zeros(len(n), bool)
    mask[np.argsort(-deviation, kind="stable")[: math.ceil(settings.share * len(n))]] = True
    return mask
