"""Variance promotion scores (Algorithm 1, §3): OVS = P(1-P), TDS, and VPS = α·OVS + β·TDS of every problem."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.read import SCORES
from mmr1.vas.settings import ScoreSettings


def plain_ovs(passes: Floats, n: Ints) -> Floats:
    """OVS = P(1-P), P = passes/n, in [0, 1/4] (Algorithm 1). Its mean is p(1-p)(1 - 1/n): biased by -p(1-p)/n."""
    rate = passes / n
    return rate * (1 - rate)


def beta_ovs(passes: Floats, n: Ints) -> Floats:
    """The posterior mean of p(1-p) under a uniform prior: (s+1)(n-s+1) / ((n+2)(n+3)), s = passes, in (0, 1/4).

    Never 0: a problem that n responses all failed (or passed) may still have variance, and the fewer the responses the
    more. Its bias against p(1-p) is (n+1)(1 - 6p(1-p)) / ((n+2)(n+3)): upwards by about 1/(n+4) where p is near 0 or
    1, downwards by half of that at p = 1/2, none where p(1-p) is the prior's mean 1/6. (`passes` is binomial, so the
    mean of s(n-s) is n(n-1)p(1-p).)
    """
    return (passes + 1) * (n - passes + 1) / ((n + 2.0) * (n + 3.0))


class Tally:
    """What was observed of each problem of a set, gathered group by group.

    Arrays (M,) in the order of `ids`: `groups` and `n` (groups and responses so far), `passes` (right ones),
    `diversity` (sum over groups) and `scored_at`.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)
        self.groups, self.n, self.scored_at = (np.zeros(len(self.ids), np.int64) for _ in range(3))
        self.passes, self.diversity = np.zeros(len(self.ids)), np.zeros(len(self.ids))

    def add(self, where: Ints, n: Ints, passes: Floats, diversity: Floats, scored_at: Ints | int) -> None:
        """Add groups, all arrays (G,): `where` is the problem's position in the set. A problem may come again.

        Passes and responses of a problem's groups are pooled. Diversities are averaged, not taken over the pool: they
        depend on the number of responses compared.
        """
        np.add.at(self.groups, where, 1)
        np.add.at(self.n, where, n)
        np.add.at(self.passes, where, passes)
        np.add.at(self.diversity, where, diversity)
        np.maximum.at(self.scored_at, where, scored_at)

    def check_complete(self) -> None:
        """Raise UserError if a problem has no observations."""
        if missing := [name for name, groups in zip(self.ids, self.groups, strict=True) if not groups]:
            raise UserError(
                f"{len(missing)} of {len(self.ids)} problems have no rollouts, first {missing[0]!r}: give the rollouts "
                "of all, or --previous scores to keep for the rest"
            )


def score_table(tally: Tally, settings: ScoreSettings, previous: pa.Table | None = None) -> pa.Table:
    """The scores of all problems of `tally`, in its order, with the columns of `SCORES`.

    A problem without observations keeps those of `previous` (from `mmr1.vas.read` for the same set: n, pass rate,
    diversity, age); its OVS and VPS follow `settings` like the others', except that under momentum its VPS stays.
    Raises UserError for a problem that neither has observations nor stands in `previous`.
    """
    fresh = tally.groups > 0
    if previous is None:
        tally.check_complete()
        previous = _nothing(tally.ids)
    old = {name: previous.column(name).to_numpy() for name in ("n", "pass_rate", "tds", "vps", "scored_at")}
    n = np.where(fresh, tally.n, old["n"])
    rate = np.where(fresh, tally.passes / np.maximum(tally.n, 1), old["pass_rate"])
    tds = np.where(fresh, tally.diversity / np.maximum(tally.groups, 1), old["tds"])
    ovs = {"plain": plain_ovs, "beta": beta_ovs}[settings.ovs_estimate](np.rint(rate * n), n)
    vps = settings.outcome_weight * ovs + settings.diversity_weight * tds
    if settings.minmax:
        vps = min_max(vps)
    if settings.momentum:
        kept = np.where(np.isnan(old["vps"]), vps, old["vps"])
        vps = np.where(fresh, settings.momentum * kept + (1 - settings.momentum) * vps, kept)
    columns = [
        tally.ids,
        n.astype(np.int32),
        rate,
        ovs,
        tds,
        vps,
        np.where(fresh, tally.scored_at, old["scored_at"]).astype(np.int32),
        [settings.diversity.name] * len(n),
    ]
    return pa.table(columns, schema=SCORES)


def min_max(values: Floats) -> Floats:
    """Values shifted and scaled to [0, 1]; all 0 if all are equal. The released code adds 1e-8 to the range."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _nothing(ids: Sequence[str]) -> pa.Table:
    """In place of previous scores where there are none."""
    nan, zero = np.full(len(ids), np.nan), np.zeros(len(ids), np.int32)
    return pa.table({"n": zero + 1, "pass_rate": nan, "tds": nan, "vps": nan, "scored_at": zero})
