"""From what is kept to a verdict on each claim, by the rules of docs/study/plan.md."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmr1.plumbing.errors import UserError
from mmr1.report.answer import DEARER, FEW_SEEDS
from mmr1.report.bootstrap import Difference, Paired, difference, difference_of_seeds
from mmr1.study.claims import CLAIMS, Claim, Measure
from mmr1.study.kept import Arm, Floats, Items, Kept

LEVEL = 0.05
RESAMPLES = 40_000  # with 10,000 a bound moves by .02 points from one generator to another, and a verdict with it


@dataclass(frozen=True)
class Trained:
    """One arm under one seed, with all that is kept of it."""

    arm: Arm
    items: Items
    rates: Floats
    steps: Mapping[str, Floats]


Study = Mapping[str, Mapping[int, Trained]]  # by arm and seed


@dataclass(frozen=True)
class Verdict:
    """What came out of a claim. `holm` is its p-value after Holm's correction in its family; None where nothing did."""

    claim: Claim
    difference: Difference | None
    holm: float | None
    word: str
    note: str = ""

    @property
    def provisional(self) -> bool:
        """Whether there are too few seeds to tell how much they differ."""
        return self.difference is not None and self.difference.seeds < FEW_SEEDS


def study_of(kept: Sequence[Kept]) -> Study:
    """What is kept, by arm and seed; an arm of several groups has the first.

    Raises UserError unless all blocks answered the same problems.
    """
    found: dict[str, dict[int, Trained]] = {}
    for one in kept:
        if one.summary.test != kept[0].summary.test:
            raise UserError(
                f"{one.summary.group}-seed{one.summary.seed}: test: expected {kept[0].summary.test}, as the first "
                f"block has, found {one.summary.test}"
            )
        for name, arm in one.summary.arms.items():
            trained = Trained(arm, one.items, one.items.rates(name), one.steps[name])
            found.setdefault(name, {}).setdefault(one.summary.seed, trained)
    return found


def verdicts(study: Study, claims: Sequence[Claim] = CLAIMS) -> list[Verdict]:
    """A verdict on every claim, in their order. One that is not measured yet counts in its family, with p = 1."""
    found = [(claim, measured(study, claim)) for claim in claims]
    by_family: dict[str, list[float]] = {}
    for claim, one in found:
        by_family.setdefault(claim.family, []).append(1.0 if isinstance(one, str) else one.p)
    corrected = {family: iter(holm(values)) for family, values in by_family.items()}
    results = []
    for claim, one in found:
        p = next(corrected[claim.family])
        if isinstance(one, str):
            results.append(Verdict(claim, None, None, "not measured", one))
        else:
            results.append(judged(claim, one, p))
    return results


OPPOSITE, NOT_AFTER_HOLM = "the opposite is shown", "not after Holm's correction"


def judged(claim: Claim, one: Difference, holm_p: float) -> Verdict:
    """The verdict on a measured claim."""
    if one.high < claim.smallest:
        note = "the effect is there, and too small to matter" if one.low > 0 else ""
        if one.high < 0:
            note = OPPOSITE if holm_p <= LEVEL else NOT_AFTER_HOLM
        return Verdict(claim, one, holm_p, "not supported", note)
    if one.low > 0 and holm_p <= LEVEL:
        return Verdict(claim, one, holm_p, "supported")
    return Verdict(claim, one, holm_p, "undecided", NOT_AFTER_HOLM if one.low > 0 else "")


def holm(values: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction (1979), in the order given."""
    order = np.argsort(values, kind="stable")
    scaled = np.array(values)[order] * (len(values) - np.arange(len(values)))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in corrected]


def measured(study: Study, claim: Claim) -> Difference | str:
    """What a claim's arms differ by; in words, why that is not known."""
    seeds = common_seeds(study, (*claim.first, *claim.second))
    if not seeds:
        missing = [arm for arm in (*claim.first, *claim.second) if not study.get(arm)]
        return f"no seeds of {', '.join(missing)}" if missing else "no seed in common"
    if claim.measure == "pass_rate":
        if claim.family == "ours":  # all of them are about equal rollouts
            pair = claim.first[0], claim.second[0]
            first, second = (np.mean([study[arm][seed].arm.rollouts for seed in seeds]) for arm in pair)
            if max(first, second) > DEARER * min(first, second):
                return f"{first:,.0f} rollouts against {second:,.0f}: more than 5% apart"
        return pass_rate_difference(study, claim.first, claim.second, seeds)
    of_pair = OF_SEED[claim.measure]
    values = [of_pair([study[a][seed] for a in claim.first], [study[a][seed] for a in claim.second]) for seed in seeds]
    if any(value is None for value in values):
        return "some seed has no value"
    return difference_of_seeds(np.array(values, dtype=np.float64))


def common_seeds(study: Study, arms: Iterable[str]) -> list[int]:
    """The seeds that all of some arms have, in order."""
    return sorted(set.intersection(*(set(study.get(arm, {})) for arm in arms)))


def pass_rate_difference(study: Study, first: Sequence[str], second: Sequence[str], seeds: Sequence[int]) -> Difference:
    """The paired difference of mean pass rates of some arms, over seeds and problems."""

    def mean(arms: Sequence[str], seed: int) -> Floats:
        return np.mean([study[arm][seed].rates for arm in arms], axis=0)

    values = np.array([mean(first, seed) - mean(second, seed) for seed in seeds])
    return difference({"test": Paired(tuple(seeds), values, np.ones(values.shape[1]))}, RESAMPLES)


def area(curve: Sequence[tuple[float, float]], end: float) -> float:
    """The mean height of a curve of (place, value) from its first place to `end`, by trapezoids."""
    places, values = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
    inside = places < end
    x = np.append(places[inside], end)
    y = np.append(values[inside], np.interp(end, places, values))
    return float(np.trapezoid(y, x) / (end - places[0]))


def by_step(arm: Arm) -> list[tuple[float, float]]:
    """Validation accuracy by step."""
    return [(step, value) for step, _, value in arm.validation]


def by_rollouts(arm: Arm) -> list[tuple[float, float]]:
    """Validation accuracy by rollouts spent: flat while scores are made."""
    points: list[tuple[float, float]] = []
    passes = dict(arm.passes)
    for step, spent, value in arm.validation:
        points.append((spent, value))
        if step in passes:
            points.append((spent + passes[step], value))
    return points


def _speed_by_step(first: Sequence[Trained], second: Sequence[Trained]) -> float:
    curves = [[by_step(one.arm) for one in side] for side in (first, second)]
    end = min(curve[-1][0] for side in curves for curve in side)
    one, other = (float(np.mean([area(curve, end) for curve in side])) for side in curves)
    return one - other


def _speed_by_rollouts(first: Sequence[Trained], second: Sequence[Trained]) -> float:
    curves = [[by_rollouts(one.arm) for one in side] for side in (first, second)]
    end = min(curve[-1][0] for side in curves for curve in side)
    one, other = (float(np.mean([area(curve, end) for curve in side])) for side in curves)
    return one - other


def _varying_share(first: Sequence[Trained], second: Sequence[Trained]) -> float:
    one, other = (float(np.mean([np.mean(t.steps["zero_variance_share"]) for t in side])) for side in (first, second))
    return other - one


def _relative(metric: str) -> Callable[[Sequence[Trained], Sequence[Trained]], float | None]:
    """How far a metric's mean over steps is from that of the second, as a share of it."""

    def relative(first: Sequence[Trained], second: Sequence[Trained]) -> float | None:
        one, other = (float(np.mean([np.nanmean(t.steps[metric]) for t in side])) for side in (first, second))
        return one / other - 1 if other else None

    return relative


def _middle(first: Sequence[Trained], second: Sequence[Trained]) -> float | None:
    rounds = np.array(first[0].arm.histograms, dtype=np.float64)
    if len(rounds) < 2:
        return None
    outer = rounds.shape[1] // 3  # three of ten bins on each side
    shares = rounds[:, outer:-outer].sum(axis=1) / rounds.sum(axis=1)
    return float(shares[-1] - shares[0])


def _settling(first: Sequence[Trained], second: Sequence[Trained]) -> float | None:
    moves = first[0].arm.moves
    if len(moves) < 2 or moves[0] is None or moves[-1] is None:
        return None
    return moves[-1] - moves[0]


def _margin(first: Sequence[Trained], second: Sequence[Trained]) -> float | None:
    pays = payoff(first[0].arm, None)
    return None if pays is None else pays.break_even - pays.cost


@dataclass(frozen=True)
class Payoff:
    """c, q_w, q and c* = λ(q_w/q - 1) of one training (docs/report.md). Groups vary by their verdicts."""

    cost: float
    weighted: float
    uniform: float
    break_even: float


def payoff(arm: Arm, baseline: Arm | None) -> Payoff | None:
    """What an arm's scores cost and bought; None without weighted draws.

    An arm without uniform draws of its own has q from `baseline`, which draws uniformly under the same seed.
    """
    q = arm.uniform if arm.uniform[1] or baseline is None else baseline.uniform
    if not arm.weighted[1] or not q[0]:
        return None
    weighted, uniform = arm.weighted[0] / arm.weighted[1], q[0] / q[1]
    share = arm.weighted[1] / (arm.weighted[1] + arm.uniform[1])
    return Payoff(arm.pass_rollouts / arm.training_rollouts, weighted, uniform, share * (weighted / uniform - 1))


def payoffs(study: Study, arm: str) -> list[Payoff]:
    """What an arm's scores cost and bought, under each seed for which that is known."""
    uniform = study.get("uniform", {})
    found = [payoff(one.arm, uniform[seed].arm if seed in uniform else None) for seed, one in study[arm].items()]
    return [one for one in found if one is not None]


OF_SEED: dict[Measure, Callable[[Sequence[Trained], Sequence[Trained]], float | None]] = {
    "speed_by_step": _speed_by_step,
    "speed_by_rollouts": _speed_by_rollouts,
    "varying_share": _varying_share,
    "gradient_norm": _relative("gradient_norm"),
    "clip_fraction": _relative("clip_fraction"),
    "middle": _middle,
    "settling": _settling,
    "margin_over_break_even": _margin,
}
