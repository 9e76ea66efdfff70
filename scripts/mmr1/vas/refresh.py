"""Spending fewer rollouts on scores (the paper's §7 names their cost as a limitation): which scores are worth renewing.

`refresh: reuse` needs no code of its own: training rollouts are a rollouts table, see `mmr1.vas.scores.Tally`.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mmr1.errors import UserError
from mmr1.vas.arrays import Floats, Ints


def ovs_deviation(passes: Floats, n: Floats | Ints, age: Floats | Ints, half_life: float) -> Floats:
    """How uncertain the OVS of each problem is: the posterior standard deviation of p(1-p), in (0, 0.0746).

    The pass rate has the posterior Beta(a, b), a = 1 + w·s, b = 1 + w·(n-s), under a uniform prior, after s = `passes`
    of n responses that are `age` steps old. The policy has moved since, so evidence fades: w = 2^(-age/half_life).
    Old or few responses tend to the prior's 1/sqrt(180). With E[p^k (1-p)^k] = B(a+k, b+k) / B(a, b):

        mean = ab / (t(t+1)),  mean of square = a(a+1)b(b+1) / (t(t+1)(t+2)(t+3)),  t = a + b
    """
    faded = np.exp2(-np.asarray(age, np.float64) / half_life)
    a, b = 1 + faded * passes, 1 + faded * (n - passes)
    t = a + b
    mean = a * b / (t * (t + 1))
    square = mean * (a + 1) * (b + 1) / ((t + 2) * (t + 3))
    return np.sqrt(np.maximum(square - mean**2, 0))


def select_stale(
    n: Ints, pass_rate: Floats, scored_at: Ints, *, step: int, share: float, half_life: float
) -> NDArray[np.bool_]:
    """The ⌈share·M⌉ problems with the most uncertain OVS at `step`, as a mask (M,); equal ones in the set's order.

    Raises UserError for a share outside (0, 1], a half-life that is not positive, a score from after `step`.
    """
    if not 0 < share <= 1:
        raise UserError(f"share: expected a number in (0, 1], found {share}")
    if not (math.isfinite(half_life) and half_life > 0):
        raise UserError(f"half_life: expected a positive number of steps, found {half_life}")
    if (late := scored_at > step).any():
        raise UserError(f"scored_at: expected at most step {step}, found {scored_at[late][0]}")
    deviation = ovs_deviation(pass_rate * n, n, step - scored_at, half_life)
    mask = np.zeros(len(n), bool)
    mask[np.argsort(-deviation, kind="stable")[: math.ceil(share * len(n))]] = True
    return mask
