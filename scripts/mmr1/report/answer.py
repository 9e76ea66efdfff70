"""Did variance-aware sampling help? Each run beside the run with uniform draws: accuracy, rollouts, and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmr1.report import results
from mmr1.report.accuracy import cluster_of, verdicts
from mmr1.report.bootstrap import Difference, Paired, difference, paired
from mmr1.report.index import Index, Training
from mmr1.report.payoff import groups_by_origin
from mmr1.report.spending import Rollouts, mean_rollouts, rollouts
from mmr1.report.steps import Share, mean_over_steps, share_of_groups

FEW_SEEDS = 5  # fewer cannot tell how much seeds differ
DEARER = 1.05  # this many times the rollouts are no longer the same


@dataclass(frozen=True)
class Answer:
    """One trained run: its rollouts and zero-variance groups, as means over seeds, and its difference to `baseline`.

    `weighted` is False for uniform draws. What is not known is None, and so is the difference of a baseline itself.
    """

    run: str
    baseline: str | None
    weighted: bool
    seeds: int
    difference: Difference | None
    training_rollouts: float | None
    pass_rollouts: float | None
    times: float | None  # rollouts in all, over the baseline's
    zero_variance: Share | None

    @property
    def rollouts(self) -> float | None:
        """Rollouts in all."""
        known = self.training_rollouts is not None and self.pass_rollouts is not None
        return (self.training_rollouts or 0) + (self.pass_rollouts or 0) if known else None

    @property
    def verdict(self) -> list[str]:
        """Why, and what else may be said of the difference, in words."""
        return [] if self.difference is None else verdict(self.difference, self.times)

    @property
    def short(self) -> str:
        """The verdict in a word or two: better, worse, not shown, or nothing where nothing is compared."""
        if self.difference is None:
            return ""
        if not self.difference.shown:
            return "not shown"
        return "better" if self.difference.mean > 0 else "worse"


def answers(index: Index, model: str, passes: Mapping[str, int], group_sizes: Mapping[str, int]) -> list[Answer]:
    """Every trained run of a model, in the index's order. `passes`, `group_sizes`: as `mmr1.report.cost` has them."""
    trainings: dict[str, list[Training]] = {}
    for one in index.trainings:
        if one.model == model:
            trainings.setdefault(one.run, []).append(one)
    spent = {run: _spent(of_run, passes, group_sizes) for run, of_run in trainings.items()}
    found = []
    for run, of_run in trainings.items():
        baseline, mine = of_run[0].baseline, spent[run]
        other = spent.get(baseline) if baseline is not None else None
        means = mean_rollouts(mine) if mine else (None, None)
        found.append(
            Answer(
                run=run,
                baseline=baseline,
                weighted=any(one.scores is not None for one in of_run[0].rounds),
                seeds=len(of_run),
                difference=None if baseline is None else compared(index, model, run, baseline),
                training_rollouts=means[0],
                pass_rollouts=means[1],
                times=sum(mean_rollouts(mine)) / sum(mean_rollouts(other)) if mine and other else None,
                zero_variance=_zero_variance(of_run),
            )
        )
    return found


def compared(index: Index, model: str, subject: str, other: str) -> Difference | None:
    """The paired difference of two subjects over all benchmarks of the index; None where verdicts or seeds lack."""
    tables: dict[str, Paired] = {}
    for benchmark, problems in index.benchmarks.items():
        table = _paired(index, model, (subject, other), benchmark, problems)
        if table is None:
            return None
        tables[benchmark] = table
    return difference(tables) if set.intersection(*(set(one.seeds) for one in tables.values())) else None


def verdict(found: Difference, times: float | None) -> list[str]:
    """What a difference says, and what it does not: its sign, its seeds, and at what cost (`times` the rollouts)."""
    if not found.shown:
        words = ["the interval includes 0"]
    else:
        words = [f"the interval lies {'above' if found.mean > 0 else 'below'} 0"]
    if found.seeds == 1:
        words.append("one seed: says nothing about seeds")
    elif found.seeds < FEW_SEEDS:
        words.append(f"{found.seeds} seeds: too few to know how much seeds differ")
    if found.shown and found.mean > 0 and times is not None and times > DEARER:
        words.append(f"at equal steps, for {times:.2g} times the rollouts")
    return words


def _paired(index: Index, model: str, pair: Sequence[str], benchmark: str, problems: Path) -> Paired | None:
    both = []
    for subject in pair:
        chosen = [
            one for one in index.evaluations if (one.model, one.subject, one.benchmark) == (model, subject, benchmark)
        ]
        if not chosen or any(one.items is None for one in chosen):
            return None
        both.append({one.seed: verdicts(one.items, index.accuracy) for one in chosen if one.items is not None})
    return paired(both[0], both[1], cluster_of(benchmark, problems), benchmark)


def _zero_variance(trainings: Sequence[Training]) -> Share | None:
    """The share of groups whose rewards are all equal; its interval is over groups, or steps where none are counted."""
    logged = mean_over_steps(results.series_of(trainings, "metrics", "zero_variance_share"))
    groups = groups_by_origin(trainings)
    if logged is None or groups is None:
        return logged
    number = float(groups[:, [1, 3]].sum())
    return share_of_groups(logged.mean * number, number)


def _spent(
    trainings: Sequence[Training], passes: Mapping[str, int], group_sizes: Mapping[str, int]
) -> list[Rollouts] | None:
    found = [rollouts(one, passes, group_sizes) for one in trainings]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None
