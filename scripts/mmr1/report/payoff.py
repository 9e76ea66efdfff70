"""Do the scores pay? What VPS passes cost beside what they buy: groups whose verdicts vary.

A group whose rewards are all equal has no advantage and teaches nothing. With q and q_w the shares of varying groups
(verdicts not all equal) among uniform and weighted draws and λ the weighted share of the batch, a step has
1 + λ(q_w/q - 1) times the varying groups of a uniform step, for 1 + c times its rollouts, c the rollouts of passes per
rollout of training. At equal rollouts the scores pay only if c is below the break-even c* = λ(q_w/q - 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmr1.report import results
from mmr1.report.index import Training
from mmr1.report.spending import rollouts
from mmr1.report.steps import Floats, Share, mean_over_steps, over_steps, share_of_groups


@dataclass(frozen=True)
class Payoff:
    """One run that draws some problems by preference. Intervals are over its groups or steps, all seeds together.

    `borrowed` says that the share of varying groups among uniform draws is the baseline's, for want of own ones.
    `effective` is the effective sample size of the weights over the number of problems.
    """

    run: str
    seeds: int
    weighted: Share  # q_w
    uniform: Share  # q
    borrowed: bool
    weighted_share: float  # λ
    effective: Share | None
    cost: float | None  # c
    break_even: Share | None  # c*

    @property
    def verdict(self) -> str:
        """Whether the scores pay at equal rollouts, in words."""
        if self.cost is None or self.break_even is None:
            return "not known"
        if self.cost < self.break_even.low:
            return "they pay: c is below the break-even's interval"
        if self.cost > self.break_even.high:
            return "they do not pay: c is above the break-even's interval"
        return "undecided: c is within the break-even's interval"


def payoff(
    trainings: Sequence[Training],
    baseline: Sequence[Training],
    passes: Mapping[str, int],
    group_sizes: Mapping[str, int],
) -> Payoff | None:
    """What the scores of a run (its seeds) cost and bought; None for a run of uniform draws only, or without files.

    `passes`, `group_sizes`: as `mmr1.report.cost` reads them of the records.
    """
    mine = groups_by_origin(trainings)
    if mine is None or not mine[:, 1].sum():
        return None
    borrowed = not mine[:, 3].sum()
    other = groups_by_origin(baseline) if borrowed else mine
    if other is None or not other[:, 3].sum():
        return None
    spent = [rollouts(one, passes, group_sizes) for one in trainings]
    known = [one for one in spent if one is not None]
    return Payoff(
        run=trainings[0].run,
        seeds=len(trainings),
        weighted=share_of_groups(*mine[:, :2].sum(axis=0)),
        uniform=share_of_groups(*other[:, 2:].sum(axis=0)),
        borrowed=borrowed,
        weighted_share=float(mine[:, 1].sum() / (mine[:, 1].sum() + mine[:, 3].sum())),
        effective=mean_over_steps(results.series_of(trainings, "calibration", "effective_share")),
        cost=float(np.mean([one.cost for one in known])) if len(known) == len(spent) else None,
        break_even=over_steps([mine, other] if borrowed else [mine], _break_even),
    )


def _break_even(sums: list[Floats]) -> Floats:
    """c* from sums [..., 4] of varying and all weighted, varying and all uniform groups; the last table has uniform."""
    mine, other = sums[0], sums[-1]
    weighted_share = mine[..., 1] / (mine[..., 1] + mine[..., 3])
    gain = (mine[..., 0] / mine[..., 1]) / (other[..., 2] / other[..., 3])
    return weighted_share * (gain - 1)


def groups_by_origin(trainings: Sequence[Training]) -> Floats | None:
    """Float64 [steps, 4] over all seeds: groups that were not drawn uniformly, varying and all, and the uniform alike.

    None where a run's files do not say.
    """
    table = []
    for training in trainings:
        for row in results.rows(training, "calibration"):
            groups, uniform = row.get("groups"), row.get("groups_uniform")
            if groups is None or uniform is None:
                return None
            varying = groups * (1 - (row["zero_variance"] or 0))
            varying_uniform = uniform * (1 - (row["zero_variance_uniform"] or 0))
            table.append([varying - varying_uniform, groups - uniform, varying_uniform, uniform])
    return np.array(table, dtype=np.float64) if table else None
