"""Spending fewer rollouts on scores (the paper's §7 names their cost as a limitation): which scores are worth renewing.

`refresh: reuse` needs no code of its own: training rollouts are a rollouts table, see `mmr1.vas.scores.Tally`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints


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


def select_stale(
    n: Ints, pass_rate: Floats, scored_at: Ints, *, step: int, share: float, half_life: float
) -> NDArray[np.bool_]:
    """The ⌈share·M⌉ problems with the most uncertain pass rates at `step`, a mask (M,); equals in the set's order.

    Raises UserError for a share outside (0, 1], a half-life that is not positive, a score from after `step`.
    """
    if not 0 < share <= 1:
        raise UserError(f"share: expected a number in (0, 1], found {share}")
    if not (math.isfinite(half_life) and half_life > 0):
        raise UserError(f"half_life: expected a positive number of steps, found {half_life}")
    if (late := scored_at > step).any():
        raise UserError(f"scored_at: expected at most step {step}, found {scored_at[late][0]}")
    deviation = pass_rate_deviation(pass_rate * n, n, step - scored_at, half_life)
    mask = np.zeros(len(n), bool)
    mask[np.argsort(-deviation, kind="stable")[: math.ceil(share * len(n))]] = True
    return mask
