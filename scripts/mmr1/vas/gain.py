"""What weights buy: the share of groups that vary among problems drawn with them, over that among uniform draws.

Truth is a number of rollouts of every problem by the policy in question. The share is unbiased: the chance that n of a
problem's N rollouts, taken without replacement, are not all alike.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.scores import plain_ovs
from mmr1.vas.thinning import effective_share, thinned


def varies(right: Floats, of: Ints, n: int) -> Floats:
    """The unbiased chance (M,) that a group of n varies, from `right` of `of` rollouts of each problem, of ≥ n."""

    def alike(count: Floats) -> Floats:
        """C(count, n) / C(of, n), 0 where count is below n."""
        enough = np.maximum(count, n)
        log = gammaln(enough + 1) - gammaln(enough - n + 1) - gammaln(of + 1) + gammaln(of - n + 1)
        return np.where(count >= n, np.exp(log), 0.0)

    return 1 - alike(right) - alike(of - right)


@dataclass(frozen=True)
class Gain:
    """`gain` over uniform draws, `ess` of the weights as a share of the set, and `recovered`, (g - 1) / (g* - 1).

    g* is the gain of perfect scores, the truth's P(1-P), thinned to the effective sample size that was asked for. It is
    taken on the rollouts that it is made from, a little too well, so that what is recovered is rather understated.
    """

    gain: float
    ess: float
    recovered: float


def gain_of(values: Floats, right: Floats, of: Ints, n: int, ess: float) -> Gain:
    """The gain of scores (M,) thinned to an effective sample size, for groups of n, against a truth (M,)."""
    share = varies(right, of, n)
    weight, best = thinned(values, ess)[0], thinned(plain_ovs(right, of), ess)[0]
    gain, limit = ((w @ share) / w.sum() / share.mean() for w in (weight, best))
    return Gain(float(gain), effective_share(weight), float((gain - 1) / (limit - 1)))
