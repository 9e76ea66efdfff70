"""The pass rate of every problem, followed through training: a state-space model of logits, filtered on a grid.

Problem i has the logit x_i·b + (t - T)/T · x_i·c + τ·z at step t: what its features say, how that moved until now, T,
and its own deviation z. Deviations are stationary and fade as the policy moves on: after Δ steps z' = φz + noise of
variance 1 - φ², φ = 2^(-Δ/half-life). Of a group's n responses Binomial(n, p) are right.

b, c and τ maximise the marginal likelihood of the groups (logistic-normal, a ridge on b and c), in which recent groups
count most. Given these, what is known of z after all groups is exact up to the grid.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, gammaln, xlog1py, xlogy

from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.evidence import Evidence

GRID = np.linspace(-4.0, 4.0, 81)
SPREAD = 1.5  # τ where nothing is known, and weakly believed elsewhere
RIDGE = 1.0
NODES = GRID[::2]  # for integrals over z; Gauss-Hermite nodes lie too far apart where the spread is large


@dataclass(frozen=True)
class Model:
    """How pass rates lie and move: `level` b and `drift` c, both (F,), and `spread` τ."""

    level: Floats
    drift: Floats
    spread: float

    def mean(self, features: Floats, ago: Floats | float) -> Floats:
        """The logit that features (…, F) say at `ago` (…,), (t - T)/T in [-1, 0]."""
        return features @ self.level + ago * (features @ self.drift)


@dataclass(frozen=True)
class Belief:
    """What is known of each problem's pass rate: `share` (M, K) of the rates `rate` (M, K)."""

    share: Floats
    rate: Floats

    def mean(self, values: Floats) -> Floats:
        """The mean (M,) of values (M, K) at the rates."""
        return (self.share * values).sum(axis=1)

    @property
    def variance(self) -> Floats:
        """The mean of p(1-p), (M,)."""
        return self.mean(self.rate * (1 - self.rate))

    @property
    def deviation(self) -> Floats:
        """The standard deviation of p, (M,)."""
        return np.sqrt(np.maximum(self.mean(self.rate**2) - self.mean(self.rate) ** 2, 0))


def fit(evidence: Evidence, features: Floats, now: int, recent: float) -> Model:
    """The likeliest model at step `now`, for features (M, F) whose first is constant.

    A group counts 2^(-age/recent). Without groups every pass rate is 1/2, give or take.
    """
    ago = (evidence.step - now) / max(now, 1)
    rows = features[evidence.problem]
    rows = np.concatenate([rows, ago[:, None] * rows], axis=1)
    counted = np.exp2((evidence.step - now) / recent)
    penalty = np.where(np.arange(rows.shape[1]) == 0, 1e-4, RIDGE)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Minus the penalised log-likelihood of (b, c, log τ), and its gradient."""
        beta, spread, excess = parameters[:-1], np.exp(parameters[-1]), parameters[-1] - np.log(SPREAD)
        rate = expit((rows @ beta)[:, None] + spread * NODES)
        log = log_binomial(evidence.right[:, None], evidence.n[:, None], rate) + np.log(stationary(NODES))
        share, total = _normalised(log)
        slope = counted[:, None] * share * (evidence.right[:, None] - evidence.n[:, None] * rate)
        gradient = np.append(slope.sum(axis=1) @ rows - penalty * beta, (slope * NODES).sum() * spread - excess)
        return -float(counted @ total - 0.5 * (penalty @ beta**2 + excess**2)), -gradient

    start = np.append(np.zeros(rows.shape[1]), np.log(SPREAD))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    level, drift = np.split(found[:-1], 2)
    return Model(level, drift, float(np.exp(found[-1])))


def filtered(evidence: Evidence, features: Floats, now: int, model: Model, half_life: float) -> Belief:
    """What is known at step `now` of the pass rate of every problem, features (M, F), after all groups."""
    share = np.tile(stationary(), (len(features), 1))
    before = 0
    for step, groups in evidence.by_step():
        share = share @ transition(step - before, half_life)
        before = step
        mean = model.mean(features[groups.problem], (step - now) / max(now, 1))
        rate = expit(mean[:, None] + model.spread * GRID)
        log = np.log(share)
        np.add.at(log, groups.problem, log_binomial(groups.right[:, None], groups.n[:, None], rate))
        share = _normalised(log)[0]
    share = share @ transition(now - before, half_life)
    return Belief(share, expit(model.mean(features, 0.0)[:, None] + model.spread * GRID))


def stationary(points: Floats = GRID) -> Floats:
    """The shares of a standard normal at evenly spaced points, (K,)."""
    density = np.exp(-0.5 * points**2)
    return density / density.sum()


def transition(steps: int, half_life: float) -> Floats:
    """Where z moves from each point of the grid within so many steps, (K, K), rows of sum 1; nowhere in 0 steps."""
    if steps == 0:
        return np.eye(len(GRID))
    kept = 2.0 ** (-steps / half_life)
    noise = max(1 - kept**2, 1e-12)
    density = np.exp(-0.5 * (GRID[None, :] - kept * GRID[:, None]) ** 2 / noise)
    return density / density.sum(axis=1, keepdims=True)


def log_binomial(right: Floats, n: Ints, rate: Floats) -> Floats:
    """log Binomial(right; n, rate), -inf where it is impossible."""
    ways = gammaln(n + 1) - gammaln(right + 1) - gammaln(n - right + 1)
    return ways + xlogy(right, rate) + xlog1py(n - right, -rate)


def _normalised(log: Floats) -> tuple[Floats, Floats]:
    """Shares (…, K) of sum 1 from their logarithms up to a constant, and the logarithm of what they summed to."""
    top = log.max(axis=-1, keepdims=True)
    joint = np.exp(log - top)
    total = joint.sum(axis=-1, keepdims=True)
    return joint / total, (np.log(total) + top)[..., 0]
