"""Collects a block from a results folder: reads what the workflow made, and its records."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from mmr1.data import contracts
from mmr1.data.problems import read_problems
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import sha256
from mmr1.provenance.ledger import Record
from mmr1.recipe import Recipe
from mmr1.report import cost, results
from mmr1.report.accuracy import verdicts
from mmr1.report.index import Round, Training
from mmr1.report.payoff import groups_by_origin
from mmr1.report.spending import rollouts
from mmr1.study import moves
from mmr1.study.blocks import Block, evaluation_folder, model_of, round_folder
from mmr1.study.kept import STEP_METRICS, Arm, Floats, Items, Kept, Summary

HISTOGRAM_BINS, LARGEST_VPS = 10, 0.4  # OVS is at most .25, at a weight of .8, and TDS 1, at .2


def collect(results_folder: Path, recipe: Recipe, block: Block, records: list[Record]) -> Kept:
    """What is kept of a finished block. Raises UserError naming the file that is missing or wrong."""
    trainings = {arm: training_of(results_folder, recipe, arm, block.seed) for arm in block.arms}
    benchmark = recipe.evaluation.benchmarks[0]
    test = results_folder / "data" / "benchmarks" / f"{benchmark}.parquet"
    summary = Summary(
        group=block.group,
        seed=block.seed,
        sft=sha256(results_folder / model_of(recipe) / "sft" / "checkpoint.sha256"),
        test=sha256(test),
        commit=str(records[-1].execution.git.get("commit", "unknown")),
        arms={arm: _arm(results_folder, recipe, block.seed, arm, trainings[arm], records) for arm in block.arms},
    )
    steps = {arm: _steps(training) for arm, training in trainings.items()}
    return Kept(summary, _items(results_folder, recipe, block, test), steps)


def training_of(results_folder: Path, recipe: Recipe, arm: str, seed: int) -> Training:
    """The files of an arm's training, as the report's index names them."""
    model, rounds = model_of(recipe), []
    for number in range(recipe.rounds(model, arm)):
        folder = Path(round_folder(PurePosixPath(results_folder), recipe, arm, seed, number))
        files = {name: folder / f"{name}.jsonl" for name in ("metrics", "timings", "validation", "calibration")}
        scores = folder / "scores.parquet"
        rounds.append(Round(round=number, scores=scores if scores.exists() else None, **files))
    return Training(model=model, run=arm, seed=seed, rounds=tuple(rounds))


def _arm(results_folder: Path, recipe: Recipe, seed: int, arm: str, training: Training, records: list[Record]) -> Arm:
    place = f"{training.model}/{arm}/seed{seed}"
    spent = rollouts(training, cost.pass_rollouts(records), cost.group_sizes(records))
    groups = groups_by_origin([training])
    if spent is None or groups is None:
        raise UserError(f"{results_folder}: {place}: expected records that tell its rollouts, found none")
    passes = _passes(recipe, arm, place, cost.pass_rollouts(records))
    weighted_varying, weighted, uniform_varying, uniform = groups.sum(axis=0).tolist()
    curve = {row["step"]: float(row["accuracy"]) for row in results.rows(training, "validation")}
    effective = results.series_of([training], "calibration", "effective_share")
    timed = {one.run: one for one in cost.vps_passes(records)}[place]
    return Arm(
        settings=_settings(recipe, arm),
        training_rollouts=spent.training,
        pass_rollouts=spent.passes,
        passes=passes,
        validation=[(step, spent.by_step[step], curve[step]) for step in sorted(curve)],
        weighted=(round(weighted_varying), round(weighted)),
        uniform=(round(uniform_varying), round(uniform)),
        effective_share=float(np.mean(effective[0].values)) if effective else None,
        moves=_moves(results_folder, recipe, arm, seed),
        histograms=[_histogram(one.vps) for one in results.round_scores(training)],
        training_seconds=round(timed.training_seconds, 1),
        pass_seconds=round(timed.vps_seconds, 1),
        records={
            f"{one.rule.partition('_observing')[0].removesuffix('_kept')}/{one.place}": one.name
            for one in records
            if str(one.place).startswith((f"{place}/", f"{training.model}/{arm}-seed{seed}/"))
            and one.key.program in ("train_grpo", "score_benchmark")
        },
    )


def _passes(recipe: Recipe, arm: str, place: str, by_round: Mapping[str, int]) -> list[tuple[int, int]]:
    """The step before which each pass for scores was made, and its rollouts."""
    every = recipe.resolve(model_of(recipe), arm).schedule.update_every
    found = [
        (number * every, by_round.get(f"{place}/round{number}", 0))
        for number in range(recipe.rounds(model_of(recipe), arm))
    ]
    return [(step, count) for step, count in found if count]


def _settings(recipe: Recipe, arm: str) -> dict[str, float | int | str]:
    stages = recipe.resolve(model_of(recipe), arm)
    schedule, vas, grpo = stages.schedule, stages.vas, stages.grpo
    return {
        "sampler": schedule.sampler.name,  # type: ignore[attr-defined]
        "gate": grpo.gate.name,  # type: ignore[attr-defined]
        "refresh": vas.refresh.name,  # type: ignore[attr-defined]
        "diversity": vas.diversity.name,  # type: ignore[attr-defined]
        "steps": schedule.steps,
        "update_every": schedule.update_every,
        "batch_size": schedule.batch_size,
        "group_size": grpo.group_size,
        "mix": vas.mix,
        "outcome_weight": vas.outcome_weight,
        "diversity_weight": vas.diversity_weight,
        "samples": vas.samples,
    }


def _steps(training: Training) -> dict[str, Floats]:
    rows = {row["step"]: row for row in results.rows(training, "metrics")}
    return {
        name: np.array([np.nan if row.get(name) is None else row[name] for _, row in sorted(rows.items())])
        for name in STEP_METRICS
    }


def _moves(results_folder: Path, recipe: Recipe, arm: str, seed: int) -> list[float | None]:
    files = [
        Path(round_folder(PurePosixPath(results_folder), recipe, arm, seed, number)) / "rewards.parquet"
        for number in range(recipe.rounds(model_of(recipe), arm))
    ]
    tables = [moves.halves(contracts.read(path, moves.VERDICTS)) if path.exists() else None for path in files]
    return [moves.corrected_correlation(before, after) for before, after in pairwise(tables)]


def _histogram(vps: Floats) -> list[int]:
    counts, _ = np.histogram(np.clip(vps, 0, LARGEST_VPS), HISTOGRAM_BINS, (0, LARGEST_VPS))
    return [int(count) for count in counts]


def _items(results_folder: Path, recipe: Recipe, block: Block, test: Path) -> Items:
    problems = read_problems(test, images=False, allow_empty_answer=True)
    ids = [one.id for one in problems]
    asked: Counter[str] = Counter()
    right = {}
    for number, arm in enumerate(block.arms):
        path = Path(evaluation_folder(PurePosixPath(results_folder), recipe, arm, block.seed)) / "items.parquet"
        rows = verdicts(path, "reader")
        count = Counter(name for name, _ in rows)
        asked = count if number == 0 else asked
        if count != asked or set(count) != set(ids):
            raise UserError(f"{path}: expected as many responses to each problem of {test} as other arms have")
        correct = Counter(name for name, verdict in rows if verdict)
        right[arm] = np.array([correct[name] for name in ids], dtype=np.int64)
    return Items(
        ids,
        [str(one.metadata.get("task", "all")) for one in problems],
        [int(one.metadata.get("count", 0)) for one in problems],
        np.array([asked[name] for name in ids], dtype=np.int64),
        right,
    )
