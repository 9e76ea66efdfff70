"""`docs/study/results.md` and its figures: written from what is kept, and from nothing else."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from scipy.stats import t as student

from mmr1.report.curves import Look, curves
from mmr1.report.drawing import Drawing, Palette
from mmr1.report.results import Series
from mmr1.study.blocks import Block
from mmr1.study.claims import NAMES, Measure
from mmr1.study.kept import Floats, Kept
from mmr1.study.profiles import interquartile_mean, profile, scores
from mmr1.study.verdicts import (
    Study,
    Trained,
    Verdict,
    by_rollouts,
    by_step,
    common_seeds,
    pass_rate_difference,
    payoffs,
    study_of,
    verdicts,
)

PERCENT: tuple[Measure, ...] = (
    "pass_rate", "speed_by_step", "speed_by_rollouts", "varying_share", "gradient_norm", "clip_fraction", "middle",
)  # fmt: skip
FAMILIES = {"paper": "Claims of the paper", "ours": "Per rollout, and rivals", "ablation": "Ablations"}
THRESHOLDS = np.arange(0, 100, 2)
FEWEST_ARMS = 4  # of which a rank correlation says something
PLANNED_SEEDS = 8
GRID = 40  # points of a curve by rollouts


def results_page(kept: Sequence[Kept], planned: Sequence[Block]) -> str:
    """The page. `planned` are the blocks that the recipe has."""
    study = study_of(kept)
    found = verdicts(study)
    parts = [
        "# The study: results",
        "Written by `make study` from the files beside this page, by the rules of [plan.md](plan.md). "
        "`tests/test_study.py` makes it again from them, and the means of pass rates by other code.",
        results_state(kept, planned),
        *_verdict_tables(found),
        "## Arms",
        "Means over seeds ± their standard deviation. IQM: interquartile mean over seeds, kinds of question and counts "
        "of digits. Differences of test pass rate are in points, with their 95% intervals.",
        _arms_table(study),
        _resolution(study),
        "## Do the scores pay?",
        "q and q_w: shares of groups that vary by verdict, among uniform and weighted draws (an arm without uniform "
        "draws has `uniform`'s); c: rollouts for scores over those of "
        "training; c* = λ(q_w/q - 1), the most that c may be at equal rollouts "
        "([docs/report.md](../report.md#do-the-scores-pay)). It counts groups: above c it promises no accuracy.",
        _payoff_table(study),
        "## What is bought",
        _bought(main_arms(kept, study)),
        "## Figures" if kept else "",
        *(f"![{title}]({name}.svg)" for name, (title, _) in pictures(study).items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def pictures(study: Study) -> dict[str, tuple[str, Drawing]]:
    """The figures by file name, with their titles; none of an empty study."""
    if not study:
        return {}
    arms = list(study)
    palette, labels = Palette(arms), {arm: arm for arm in arms}
    of_steps = [_series(arm, seed, by_step(one.arm)) for arm, seeds in study.items() for seed, one in seeds.items()]
    spent = [_on_grid(arm, seed, by_rollouts(one.arm)) for arm, seeds in study.items() for seed, one in seeds.items()]
    shares = [
        Series(arm, 0, THRESHOLDS, profile(scores(list(seeds.values())), THRESHOLDS / 100), ())
        for arm, seeds in study.items()
    ]
    look = {"percent": True, "smooth": False}
    drawn = {
        "validation-by-step": ("Validation accuracy by step", of_steps, "step"),
        "validation-by-rollouts": ("Validation accuracy by rollouts", spent, "rollouts"),
        "profiles": ("Performance profiles: share of tasks and seeds above a pass rate", shares, "pass rate, %"),
    }
    return {
        name: (title, curves(series, palette, labels, Look(title, xlabel=x, **look), "uniform"))  # type: ignore[arg-type]
        for name, (title, series, x) in drawn.items()
    }


def _series(arm: str, seed: int, curve: Sequence[tuple[float, float]]) -> Series:
    places, values = (np.array(column) for column in zip(*curve, strict=True))
    return Series(arm, seed, places, values, ())


def _on_grid(arm: str, seed: int, curve: Sequence[tuple[float, float]]) -> Series:
    """A curve at round numbers of rollouts, so that seeds of unlike cost have a mean."""
    places, values = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
    step = max(1, round(places[-1] / GRID, -2))
    grid = np.arange(0, places[-1] + 1, step)
    return Series(arm, seed, grid, np.interp(grid, places, values), ())


def results_state(kept: Sequence[Kept], planned: Sequence[Block]) -> str:
    """Which blocks are done, in words; of one that is not, how many of its arms are."""
    if not kept:
        return "No block is done yet."
    arms = {(block.group, block.seed): block.arms for block in planned}
    done: dict[str, list[str]] = {}
    whole = 0
    for one in kept:
        wanted = arms.get((one.summary.group, one.summary.seed), tuple(one.summary.arms))
        there = sum(arm in one.summary.arms for arm in wanted)
        whole += there == len(wanted)
        part = "" if there == len(wanted) else f" ({there} of {len(wanted)} arms)"
        done.setdefault(one.summary.group, []).append(f"{one.summary.seed}{part}")
    said = "; ".join(f"{group}: {'seed' if len(of) == 1 else 'seeds'} {', '.join(of)}" for group, of in done.items())
    cut = f" {whole} of {len(planned)} blocks are whole." if whole < len(planned) else ""
    checkpoints = len({one.summary.sft for one in kept})
    shared = "One SFT checkpoint." if checkpoints == 1 else f"{checkpoints} SFT checkpoints, one per block."
    return f"Done: {said}.{cut} {shared}"


def _verdict_tables(found: Sequence[Verdict]) -> list[str]:
    parts = []
    for family, title in FAMILIES.items():
        rows = [_verdict_row(one) for one in found if one.claim.family == family]
        header = ["claim", "arms", "measure", "difference [95%]", "seeds", "p (Holm)", "verdict"]
        parts += [f"## {title}", table(header, rows)]
    return parts


def _verdict_row(one: Verdict) -> list[str]:
    words = ", ".join(word for word in (one.word, "provisional" if one.provisional else "", one.note) if word)
    if one.difference is None:
        return [one.claim.text, one.claim.between, NAMES[one.claim.measure], "–", "–", "–", words]
    scale = 100 if one.claim.measure in PERCENT else 1
    return [
        one.claim.text,
        one.claim.between,
        NAMES[one.claim.measure],
        interval(one.difference.mean, one.difference.low, one.difference.high, scale),
        str(one.difference.seeds),
        f"{one.holm:.3f}",
        f"**{one.word}**{words.removeprefix(one.word)}",
    ]


def _arms_table(study: Study) -> str:
    header = [
        "arm", "seeds", "rollouts: training", "scores", "test pass rate, %", "IQM, %", "groups varying by reward, %",
        "gradient norm", "clip fraction, ‰", "less `uniform`", "less `uniform-equal`",
    ]  # fmt: skip
    rows = []
    for arm, seeds in study.items():
        trained = list(seeds.values())
        rows.append(
            [
                f"`{arm}`",
                str(len(trained)),
                f"{np.mean([one.arm.training_rollouts for one in trained]):,.0f}",
                f"{np.mean([one.arm.pass_rollouts for one in trained]):,.0f}",
                spread([100 * one.rates.mean() for one in trained], 1),
                f"{100 * interquartile_mean(scores(trained)):.1f}",
                spread([100 * (1 - _mean(one, "zero_variance_share")) for one in trained], 1),
                spread([_mean(one, "gradient_norm") for one in trained], 3),
                spread([1000 * _mean(one, "clip_fraction") for one in trained], 2),
                _less(study, arm, "uniform"),
                _less(study, arm, "uniform-equal"),
            ]
        )
    return table(header, rows)


def _less(study: Study, arm: str, other: str) -> str:
    seeds = common_seeds(study, (arm, other))
    if arm == other or not seeds:
        return "–"
    one = pass_rate_difference(study, (arm,), (other,), seeds)
    return interval(one.mean, one.low, one.high, 100)


def _payoff_table(study: Study) -> str:
    rows = []
    for arm, seeds in study.items():
        if found := payoffs(study, arm):
            shares = [one.arm.effective_share for one in seeds.values() if one.arm.effective_share is not None]
            rows.append(
                [
                    f"`{arm}`",
                    *(spread([100 * getattr(pays, name) for pays in found], 1) for name in ("uniform", "weighted")),
                    spread(shares, 2) if shares else "–",
                    *(spread([getattr(pays, name) for pays in found], 2) for name in ("cost", "break_even")),
                ]
            )
    return table(["arm", "q, %", "q_w, %", "effective sample size", "c", "c*"], rows)


def main_arms(kept: Sequence[Kept], study: Study) -> Study:
    """The study without its ablations, which have fewer seeds."""
    names = {arm for one in kept if one.summary.group == "main" for arm in one.summary.arms}
    return {arm: seeds for arm, seeds in study.items() if arm in names}


def _resolution(study: Study) -> str:
    """How small a difference of pass rates the seeds that there are, and eight of them, can tell from none."""
    variances = []
    for arm in study:
        seeds = common_seeds(study, (arm, "uniform"))
        if arm != "uniform" and len(seeds) > 1:
            variances.append(
                np.var([study[arm][one].rates.mean() - study["uniform"][one].rates.mean() for one in seeds], ddof=1)
            )
    if not variances:
        return ""
    deviation = 100 * float(np.sqrt(np.mean(variances)))
    half = deviation * float(student.ppf(0.975, PLANNED_SEEDS - 1)) / PLANNED_SEEDS**0.5
    return (
        f"**What can be seen.** An arm's difference to `uniform` has a standard deviation of {deviation:.1f} points "
        f"over seeds (root mean square over arms): with {PLANNED_SEEDS} seeds half an interval is about {half:.1f} "
        "points, and a true difference of no more than that is seldom shown."
    )


def _bought(study: Study) -> str:
    """Whether arms that train on more varying groups end higher: rank correlation over arms, within each seed."""
    found = []
    for seed in common_seeds(study, study) if len(study) >= FEWEST_ARMS else []:
        groups, rates = zip(*((of[seed].arm.groups, of[seed].rates.mean()) for of in study.values()), strict=True)
        if min(len(set(groups)), len(set(rates))) > 1:
            found.append(float(spearmanr(groups, rates).statistic))
    if not found:
        return f"No seed has all arms yet, or there are fewer than {FEWEST_ARMS}."
    seeds = f"{len(found)} seed{'' if len(found) == 1 else 's'}"
    return (
        "Rank correlation over main arms between the groups, varying by verdict, that an arm drew and its test pass "
        f"rate, within a seed: {spread(found, 2)} over {seeds} and {len(study)} arms."
    )


def _mean(one: Trained, metric: str) -> float:
    return float(np.nanmean(one.steps[metric]))


def spread(values: Sequence[float] | Floats, digits: int) -> str:
    """A mean, and the standard deviation of several."""
    several = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{several}"


def interval(mean: float, low: float, high: float, scale: float) -> str:
    """A difference with its interval, if it has one."""
    digits = 1 if scale == 100 else 2
    if not np.isfinite(high):
        return f"{scale * mean:+.{digits}f}"
    return f"{scale * mean:+.{digits}f} [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; nothing where it has no rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
