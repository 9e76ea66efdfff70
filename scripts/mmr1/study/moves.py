"""How problems move between two rounds: the correlation of their true p(1-p), corrected for the noise of N responses.

The N verdicts of a problem are split into two halves. Of a half with k right of m, m·k/m·(1-k/m)/(m-1) has no bias for
p(1-p), and the noise of two halves, or of two rounds, is independent: covariances between them are those of the truth
(Spearman 1904). Without the correction, problems seem to move more the fewer responses they have.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmr1.data import contracts

Floats = NDArray[np.float64]

VERDICTS = pa.schema([contracts.REWARDS.field(name) for name in ("problem_id", "rollout", "accuracy")])
FEWEST = 4  # responses: two to a half


def halves(rewards: pa.Table) -> Floats | None:
    """Estimates of p(1-p) from the even and the odd responses: float64 [2, P], problems in the order of their ids.

    None where a problem has fewer than four responses, or another number than others, and where there are none.
    """
    if not len(rewards):
        return None
    ordered = rewards.sort_by([("problem_id", "ascending"), ("rollout", "ascending")])
    ids = np.array(ordered["problem_id"].to_pylist())
    problems, counts = np.unique(ids, return_counts=True)
    n = int(counts.min())
    if n < FEWEST or n != counts.max():
        return None
    verdicts = ordered["accuracy"].to_numpy().reshape(len(problems), n)
    return np.array([_unbiased(verdicts[:, start::2]) for start in (0, 1)])


def corrected_correlation(before: Floats | None, after: Floats | None) -> float | None:
    """The correlation of the problems' true p(1-p) in two rounds, from `halves` of both; None where it is not known.

    It may leave [-1, 1] by the noise that is left.
    """
    if before is None or after is None or before.shape != after.shape:
        return None
    spreads = [_covariance(*one) for one in (before, after)]
    if min(spreads) <= 0:
        return None
    return _covariance(before.mean(axis=0), after.mean(axis=0)) / float(np.sqrt(spreads[0] * spreads[1]))


def _unbiased(verdicts: Floats) -> Floats:
    m = verdicts.shape[1]
    rate = verdicts.mean(axis=1)
    return np.asarray(rate * (1 - rate) * m / (m - 1), dtype=np.float64)


def _covariance(one: Floats, other: Floats) -> float:
    return float(np.mean((one - one.mean()) * (other - other.mean())))
