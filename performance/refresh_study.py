"""What weights buy, and what it costs to make them: the studies of docs/vas.md.

    snakemake --profile workflow/profiles/local --configfile config/digits-refresh.yaml -- evaluate
    python performance/refresh_study.py [--study digits-epochs] [--write]
    python performance/refresh_study.py --study digits --tables gain --rounds 1 2 [--write]  # after `make demo`

Two tables a study. What runs spent and came to. And what weights would have bought (`scripts/counterfactual.py`): after
each round of the run `grpo`, which draws uniformly, its policy is sampled 56 times for every problem, under seeds of
own; 48 are the truth, and 8 play new responses. `reuse` and `stale` start from a first pass of 8 by the SFT model. All
is kept in RESULTS-reference, and made once: among the results themselves nothing is read that has no record.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from evaluation_tables import write  # noqa: E402
from mmr1.data import contracts  # noqa: E402
from mmr1.recipe import Recipe, load_recipe  # noqa: E402

DOCUMENT = ROOT / "docs" / "vas.md"
MODEL = "tiny"
STEP = pa.schema([contracts.TRAINING_ROLLOUTS.field("step")])


@dataclass(frozen=True)
class Trained:
    """One run of one seed: its recipe, and where it lies."""

    recipe: Recipe
    results: Path
    run: str
    seed: int

    def round(self, r: int) -> Path:
        return self.results / MODEL / self.run / f"seed{self.seed}" / f"round{r}"

    def policy(self, r: int) -> Path:
        """The checkpoint that a round starts from."""
        return self.round(r - 1) / "checkpoint" if r else self.results / MODEL / "sft" / "checkpoint"

    @property
    def rounds(self) -> range:
        return range(self.recipe.rounds(MODEL, self.run))

    @property
    def accuracy(self) -> float:
        """On the held-out test set, in percent."""
        folder = self.results / MODEL / "eval" / f"{self.run}-seed{self.seed}" / "digits"
        return 100 * float(json.loads((folder / "scores.json").read_text())["scores"]["reader"]["accuracy"])

    def score_rollouts(self) -> int:
        """Rollouts that were sampled for scores only, the shared first pass included."""
        stages = self.recipe.resolve(MODEL, self.run)
        if stages.vas.mix == 0:
            return 0
        later = sum(rows(path) for r in self.rounds for path in self.round(r).glob("rollouts/*.parquet"))
        return rows(self.results / "data/problems.parquet") * stages.vas.samples + later

    def training_rollouts(self) -> list[int]:
        """Rollouts of each training step, those that DAPO's filter passed over included."""
        files = [self.round(r) / "train_rollouts.parquet" for r in self.rounds]
        steps = np.concatenate([contracts.read(file, STEP)["step"].to_numpy() for file in files])
        return np.unique(steps, return_counts=True)[1].tolist()

    def curve(self) -> list[tuple[int, float]]:
        """Validation accuracy in percent after so many rollouts in all, those for scores included."""
        passes = self._score_rollouts_by_step()
        trained = np.cumsum([0, *self.training_rollouts()])
        return [
            (int(trained[line["step"]]) + sum(n for step, n in passes if step <= line["step"]), 100 * line["accuracy"])
            for line in self.lines("validation")
        ]

    def lines(self, name: str) -> list[dict[str, float]]:
        """A JSON lines file of all rounds; validation's first line of a round repeats the last of the one before."""
        by_step = {}
        for r in self.rounds:
            for line in (self.round(r) / f"{name}.jsonl").read_text().splitlines():
                by_step[json.loads(line)["step"]] = json.loads(line)
        return [by_step[step] for step in sorted(by_step)]

    def _score_rollouts_by_step(self) -> list[tuple[int, int]]:
        """(step before which they were sampled, rollouts) of each pass."""
        stages = self.recipe.resolve(MODEL, self.run)
        if stages.vas.mix == 0:
            return []
        first = rows(self.results / "data/problems.parquet") * stages.vas.samples
        later = [
            (r * stages.schedule.update_every, sum(rows(path) for path in self.round(r).glob("rollouts/*.parquet")))
            for r in self.rounds[1:]
        ]
        return [(0, first), *later]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=("digits-refresh", "digits-epochs", "digits"), default="digits-refresh")
    parser.add_argument("--results", type=Path, help="results/STUDY by default")
    parser.add_argument("--seeds", type=int, nargs="+", help="those of the recipe by default")
    parser.add_argument("--tables", choices=("gain", "runs"), nargs="+", default=["gain", "runs"])
    parser.add_argument(
        "--rounds",
        type=int,
        nargs="+",
        metavar="R",
        help="after so many rounds; by default, those that have a next one",
    )
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    args = parser.parse_args()
    recipe = load_recipe(yaml.safe_load((ROOT / f"config/{args.study}.yaml").read_text()))
    results, seeds = args.results or ROOT / "results" / args.study, args.seeds or recipe.seeds
    if not (results / MODEL).exists():
        print(f"{results}: no results of config/{args.study}.yaml yet, see --help")
        return
    runs = {run: [Trained(recipe, results, run, seed) for seed in seeds] for run in recipe.runs}
    rounds = args.rounds or list(runs["grpo"][0].rounds[1:])
    made = {"gain": lambda: gain_table(runs["grpo"], rounds), "runs": lambda: runs_table(runs)}
    tables = {f"{args.study}: {name}": made[name]() for name in args.tables}
    for name, table in tables.items():
        print(f"{name}\n{table}\n")
    if args.write:
        write(DOCUMENT, tables)


# Of the weightings that are replayed: those that the table shows.
SHOWN = (
    "perfect P(1-P)",
    *(f"P(1-P), N = {n}" for n in (2, 4, 8)),
    "its posterior mean, N = 8",
    "VPS 0.8 / 0.2 of 8",
    "reuse",
    "stale, 8 to 50%",
    "tracked, none new",
    "tracked, 2 to 25%",
    "tracked, 8 to 25%",
    "tracked, 1 to 100%",
    "tracked, 2 to 100%",
    "tracked, 4 to 100%",
    "tracked, 8 to 100%",
)
TRUTH, NEW = 48, 8


def gain_table(uniform: Sequence[Trained], after: Sequence[int]) -> str:
    """What weights would have bought after so many rounds of uniform draws, means over seeds."""
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for r in after:
        rows = [replayed(one, r) for one in uniform]
        for name in SHOWN:
            found.setdefault(name, []).append([one[name] for one in rows])
    header = ["weights", "new rollouts a problem", "cost, %", "gain as drawn (ESS)", "gain at ESS 0.3", "recovered"]
    lines = []
    for name, rounds in found.items():
        one = rounds[0][0]
        new, cost = ("" if one[key] is None else one[key] for key in ("new", "cost"))
        alone = [f"{mean(rows, 'gain_alone'):.2f} ({mean(rows, 'ess_alone'):.2f})" for rows in rounds]
        thinned, recovered = ([f"{mean(rows, key):.2f}" for rows in rounds] for key in ("gain", "recovered"))
        spent = "" if cost == "" else ", ".join(f"{100 * mean(rows, 'cost'):.0f}" for rows in rounds)
        lines.append([name, f"{new:g}" if new != "" else "", spent, *map(", ".join, (alone, thinned, recovered))])
    return markdown(header, lines)


def mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def replayed(trained: Trained, r: int) -> dict[str, dict[str, Any]]:
    """What each weighting would have bought for the round r, by name. Cost is over the training of the round before."""
    folder = reference(trained, r)
    out = folder / "counterfactual.jsonl"
    scores = {"VPS 0.8 / 0.2 of 8": folder / "new-scores.parquet", **refreshed(trained, r)}
    step = r * trained.recipe.schedule.update_every
    program(
        "counterfactual",
        {
            "problems": trained.results / "data/problems.parquet",
            "truth": folder / "rewards.parquet",
            "new": NEW,
            "scores": [f"{name}={file}" for name, file in scores.items()],
            "training-rewards": [trained.round(before) / "train_rewards.parquet" for before in range(r)],
            "first-step": step,
            "shares": "[0.25, 1.0]",
            "group-size": trained.recipe.grpo.group_size,
            "out": out,
        },
    )
    return {row["weights"]: row for row in map(json.loads, out.read_text().splitlines())}


def reference(trained: Trained, r: int) -> Path:
    """The folder of the rollouts by the policy that a round starts from, under seeds of the purpose "eval".

    Of the SFT checkpoint, only those for the first scores.
    """
    beside = trained.results.with_name(f"{trained.results.name}-reference")
    folder = beside / trained.run / f"seed{trained.seed}" / f"round{r}"
    rollouts, scores = folder / "rollouts.parquet", folder / "new-scores.parquet"
    if scores.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    count = TRUTH + NEW if r else NEW
    stages = trained.recipe.resolve(MODEL, trained.run)
    engine = stages.rollout.engine
    problems = trained.results / "data/problems.parquet"
    sampling = {
        "model": trained.policy(r),
        "out": rollouts,
        "n": count,
        "temperature": stages.vas.temperature,
        "top-p": stages.vas.top_p,
        "max-tokens": stages.rollout.max_tokens,
        "max-prompt-tokens": stages.rollout.max_prompt_tokens,
        "engine": json.dumps({"name": engine.name, **engine.settings.model_dump(mode="json")}),
        "system-prompt": stages.prompts.training,
        "seed": trained.seed,
        "round": r,
        "purpose": "eval",
    }
    if not rollouts.exists():
        program("generate", {"problems": problems, **sampling})
    judged = {"rollouts": rollouts, "out": folder / "scores.parquet", "rewards": folder / "rewards.parquet"}
    program("score_vps", {"problems": problems, **judged, "diversity": "distinct_1"})
    new = folder / "new.parquet"
    table = contracts.read(rollouts, contracts.ROLLOUTS)
    contracts.write(new, table.filter(pa.array(table["rollout"].to_numpy() >= count - NEW)), contracts.ROLLOUTS)
    step = r * trained.recipe.schedule.update_every
    scored = {"rollouts": new, "out": scores, "rewards": folder / "new-rewards.parquet", "first-step": step}
    program("score_vps", {"problems": problems, **scored})
    return folder


def refreshed(trained: Trained, r: int) -> dict[str, Path]:
    """The scores that `reuse` and `stale` (half of the problems) would have made before a round, by name."""
    names = {"reuse": "reuse", "stale": f"stale, {NEW} to 50%"}
    if r == 0:
        return dict.fromkeys(names.values(), reference(trained, 0) / "new-scores.parquet")
    folder, before = reference(trained, r), refreshed(trained, r - 1)
    problems, step = trained.results / "data/problems.parquet", r * trained.recipe.schedule.update_every
    files = {shown: folder / f"{name}-scores.parquet" for name, shown in names.items()}
    for name, shown in names.items():
        if files[shown].exists():
            continue
        made = {"problems": problems, "previous": before[shown], "first-step": step, "out": files[shown]}
        made["rewards"] = folder / f"{name}-rewards.parquet"
        if name == "reuse":
            training = trained.round(r - 1)
            made |= {"rollouts": training / "train_rollouts.parquet", "rewards-in": training / "train_rewards.parquet"}
        else:
            made["rollouts"] = selected_responses(problems, before[shown], folder, step)
        program("score_vps", made)
    return files


def selected_responses(problems: Path, scores: Path, folder: Path, step: int) -> Path:
    """The new responses to the problems that `stale` selects."""
    chosen, out = folder / "stale-problems.parquet", folder / "stale-rollouts.parquet"
    program(
        "select_problems",
        {"problems": problems, "scores": scores, "first-step": step, "refresh": "stale", "out": chosen},
    )
    ids = contracts.read(chosen, pa.schema([contracts.PROBLEMS.field("id")]))["id"]
    table = contracts.read(folder / "new.parquet", contracts.ROLLOUTS)
    contracts.write(out, table.filter(compute.is_in(table["problem_id"], ids)), contracts.ROLLOUTS)
    return out


def program(name: str, options: dict[str, object]) -> None:
    words = [
        word
        for option, value in options.items()
        for word in (f"--{option}", *map(str, value if isinstance(value, list) else [value]))
    ]
    subprocess.run([sys.executable, str(ROOT / f"scripts/{name}.py"), *words], check=True, cwd=ROOT)


def runs_table(runs: dict[str, list[Trained]]) -> str:
    """What each run spent and came to: means over seeds, and the sample standard deviation where there are several.

    The common budget is that of the cheapest run with scores; a run that spends less (plain GRPO) stands at its end.
    """
    scored = [one for trained in runs.values() for one in trained if one.score_rollouts()]
    budget = min(one.curve()[-1][0] for one in scored)
    header = [
        "run",
        "rollouts for scores",
        "rollouts for training",
        "zero-variance groups, %",
        "test accuracy, %",
        f"validation accuracy within {budget:,} rollouts, %",
    ]
    lines = []
    for run, trained in runs.items():
        zero = [100 * statistics.fmean(line["zero_variance_share"] for line in one.lines("metrics")) for one in trained]
        lines.append(
            [
                run,
                f"{statistics.fmean(one.score_rollouts() for one in trained):,.0f}",
                f"{statistics.fmean(sum(one.training_rollouts()) for one in trained):,.0f}",
                deviation(zero),
                deviation([one.accuracy for one in trained]),
                deviation([within(one.curve(), budget) for one in trained]),
            ]
        )
    return markdown(header, lines)


def within(curve: Sequence[tuple[int, float]], budget: int) -> float:
    """The last point of a curve that the budget reaches; its first, before any training, if it reaches none."""
    return [accuracy for rollouts, accuracy in curve if rollouts <= budget or rollouts == curve[0][0]][-1]


def rows(path: Path) -> int:
    return int(contracts.open_any(path).metadata.num_rows)


def deviation(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def markdown(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


if __name__ == "__main__":
    main()
