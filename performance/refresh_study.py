"""What it costs and keeps to spend fewer rollouts on scores, and VAS beside DAPO's filter: the studies of docs/vas.md.

    snakemake --profile workflow/profiles/local --configfile config/digits-refresh.yaml -- evaluate
    python performance/refresh_study.py [--study digits-epochs] [--write]

Of digits-refresh there are three tables, of digits-epochs the one of what runs spent and came to.

Beside the scores that a round of a run was drawn with, the same policy is sampled once more for every problem, under
seeds of its own: a full refresh to compare with. For `full` itself that is two full refreshes of one policy, and how
well these agree is the most that any cheaper way can reach. Kept in RESULTS-reference, and made once: among the results
themselves nothing is read that has no record.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from agreement import rank_correlation, top_overlap  # noqa: E402
from evaluation_tables import write  # noqa: E402
from mmr1.data import contracts  # noqa: E402
from mmr1.recipe import Recipe, load_recipe  # noqa: E402
from mmr1.vas.refreshes.stale import Settings as StaleSettings  # noqa: E402
from mmr1.vas.refreshes.stale import pass_rate_deviation  # noqa: E402
from mmr1.vas.scores import beta_ovs, plain_ovs  # noqa: E402

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
    parser.add_argument("--study", choices=("digits-refresh", "digits-epochs"), default="digits-refresh")
    parser.add_argument("--results", type=Path, help="results/STUDY by default")
    parser.add_argument("--seeds", type=int, nargs="+", help="those of the recipe by default")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.name}")
    args = parser.parse_args()
    recipe = load_recipe(yaml.safe_load((ROOT / f"config/{args.study}.yaml").read_text()))
    results, seeds = args.results or ROOT / "results" / args.study, args.seeds or recipe.seeds
    if not (results / MODEL / "eval").exists():
        print(f"{results}: no results of config/{args.study}.yaml yet, see --help")
        return
    runs = {run: [Trained(recipe, results, run, seed) for seed in seeds] for run in recipe.runs}
    tables = {f"{args.study}: runs": runs_table(runs)}
    if args.study == "digits-refresh":
        tables |= {
            f"{args.study}: scores": scores_table(runs),
            f"{args.study}: criteria": criteria_table(runs["full"]),
        }
    for name, table in tables.items():
        print(f"{name}\n{table}\n")
    if args.write:
        write(DOCUMENT, tables)


def scores_table(runs: dict[str, list[Trained]]) -> str:
    """How well each run's scores agree with a full refresh under the same policy: mean (least to most) over passes.

    `beta`: the scores of `full` with the posterior mean of p(1-p) in place of P(1-P), from the same rollouts.
    """
    lines = []
    for run, trained in runs.items():
        if not trained[0].recipe.resolve(MODEL, run).vas.mix:
            continue
        passes = [(one, r) for one in trained for r in one.rounds[1:]]
        estimates = ["plain", "beta"] if run == "full" else ["plain"]
        for estimate in estimates:
            own = [vps(one, one.round(r) / "scores.parquet", estimate) for one, r in passes]
            pairs = list(zip(own, [vps(one, reference(one, r)) for one, r in passes], strict=True))
            correlations = [rank_correlation(ours, theirs) or 0.0 for ours, theirs in pairs]
            overlaps = [100 * top_overlap(ours, theirs) for ours, theirs in pairs]
            name = run if estimate == "plain" else f"{run}, {estimate}"
            lines.append([name, str(len(pairs)), spread(correlations, 2), spread(overlaps, 0)])
    return markdown(["run", "passes", "rank correlation of VPS", "overlap of the top decile, %"], lines)


def criteria_table(full: list[Trained]) -> str:
    """Of the run that renews all: how well half new, half old scores would have agreed, by which half is new."""
    agreements: dict[str, list[tuple[float, float]]] = {}
    for one in full:
        half_life = StaleSettings().half_life
        for r in one.rounds[1:]:
            before = contracts.read(one.round(r - 1) / "scores.parquet", contracts.SCORES).sort_by("problem_id")
            n, passes = before["n"].to_numpy(), before["n"].to_numpy() * before["pass_rate"].to_numpy()
            old, new = (vps(one, one.round(number) / "scores.parquet") for number in (r - 1, r))
            truth = vps(one, reference(one, r))
            age = np.full(len(n), one.recipe.schedule.update_every)
            urgency = {
                "none": None,
                "at random": np.random.default_rng(one.seed).random(len(n)),
                "most uncertain p(1-p)": ovs_deviation(passes, n, age, half_life),
                "most uncertain p (`stale`)": pass_rate_deviation(passes, n, age, half_life),
                "all": np.zeros(len(n)),
            }
            for name, values in urgency.items():
                share = {"none": 0.0, "all": 1.0}.get(name, 0.5)
                renewed = np.zeros(len(n), bool)
                if values is not None:
                    renewed[np.argsort(-values, kind="stable")[: round(share * len(n))]] = True
                mixed = np.where(renewed, new, old)
                pair = rank_correlation(mixed, truth) or 0.0, 100 * top_overlap(mixed, truth)
                agreements.setdefault(name, []).append(pair)
    header = ["which half is renewed", "passes", "rank correlation of VPS", "overlap of the top decile, %"]
    return markdown(
        header,
        [
            [name, str(len(pairs)), spread([a for a, _ in pairs], 2), spread([b for _, b in pairs], 0)]
            for name, pairs in agreements.items()
        ],
    )


def ovs_deviation(passes: np.ndarray, n: np.ndarray, age: np.ndarray, half_life: float) -> np.ndarray:
    """The posterior deviation of p(1-p) where `pass_rate_deviation` gives that of p: the choice that was not taken.

    With t = a + b: mean = ab / (t(t+1)), mean of square = a(a+1)b(b+1) / (t(t+1)(t+2)(t+3)).
    """
    faded = np.exp2(-age / half_life)
    a, b = 1 + faded * passes, 1 + faded * (n - passes)
    t = a + b
    mean = a * b / (t * (t + 1))
    return np.sqrt(np.maximum(mean * (a + 1) * (b + 1) / ((t + 2) * (t + 3)) - mean**2, 0))


def vps(trained: Trained, path: Path, estimate: str = "plain") -> np.ndarray:
    """The VPS of a scores file (problems,), in the order of ids, under one estimate of p(1-p)."""
    weights = trained.recipe.resolve(MODEL, trained.run).vas
    scores = contracts.read(path, contracts.SCORES).sort_by("problem_id")
    n = scores["n"].to_numpy()
    ovs = {"plain": plain_ovs, "beta": beta_ovs}[estimate](scores["pass_rate"].to_numpy() * n, n)
    return weights.outcome_weight * ovs + weights.diversity_weight * scores["tds"].to_numpy()


def reference(trained: Trained, r: int) -> Path:
    """Scores of a full refresh by the policy that a round starts from, under seeds of the purpose "eval"."""
    beside = trained.results.with_name(f"{trained.results.name}-reference")
    folder = beside / trained.run / f"seed{trained.seed}" / f"round{r}"
    scores, rollouts = folder / "scores.parquet", folder / "rollouts.parquet"
    if scores.exists():
        return scores
    folder.mkdir(parents=True, exist_ok=True)
    stages = trained.recipe.resolve(MODEL, trained.run)
    engine = stages.rollout.engine
    problems = trained.results / "data/problems.parquet"
    sampling = {
        "model": trained.round(r - 1) / "checkpoint",
        "out": rollouts,
        "n": stages.vas.samples,
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
    program("generate", {"problems": problems, **sampling})
    weights = {"outcome-weight": stages.vas.outcome_weight, "diversity-weight": stages.vas.diversity_weight}
    judged = {"rollouts": rollouts, "out": scores, "rewards": folder / "rewards.parquet"}
    program("score_vps", {"problems": problems, **judged, **weights, "diversity": stages.vas.diversity.name})
    return scores


def program(name: str, options: dict[str, object]) -> None:
    words = [word for option, value in options.items() for word in (f"--{option}", str(value))]
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


def spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.fmean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def deviation(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def markdown(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


if __name__ == "__main__":
    main()
