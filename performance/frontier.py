"""Has the digits recipe a frontier? The spread of pass rates at the end of SFT, and what uniform steps gain, by task.

    snakemake --profile workflow/profiles/local -- evaluate
    python performance/frontier.py [--results results/digits] [--write]

Reads the verdicts on the test problems, which neither SFT nor RL has seen and nothing was tuned on. `--write` keeps the
number of right responses to each problem in docs/study/frontier.json (`demo`), from which tests/test_frontier.py
computes the same again, and writes the table of docs/design.md. `tuning` there is what the recipe was tuned by: seed
100 and its validation problems, 80 uniform steps with a pool of 1,920, and the curve with the recipe's pool of 960.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from evaluation_tables import write  # noqa: E402
from mmr1.data.problems import read_problems  # noqa: E402
from mmr1.plumbing.files import read_json, write_json  # noqa: E402
from mmr1.recipe import read_recipe  # noqa: E402
from mmr1.report.accuracy import verdicts  # noqa: E402

DOCUMENT, KEPT = ROOT / "docs" / "design.md", ROOT / "docs" / "study" / "frontier.json"
RECIPE = ROOT / "config" / "digits.yaml"
MODEL, BENCHMARK = "tiny", "digits"
# What decides the numbers: sections of the recipe that the kept file repeats.
SETTINGS = ("seed", "models", "data", "sft", "schedule", "grpo", "evaluation")
HOPELESS, MASTERED = 0.1, 0.9


@dataclass(frozen=True)
class Spread:
    """How the pass rates of problems lie: shares of problems in [0, 1], and the mean pass rate."""

    mean: float
    varying: float  # with right and wrong responses: what a group of this size learns from
    hopeless: float  # below .1
    mastered: float  # above .9


def spread(right: Sequence[int], n: int) -> Spread:
    """The spread of problems of which `right[i]` of `n` responses are right."""
    rates = np.array(right) / n
    return Spread(
        mean=float(rates.mean()),
        varying=float(((rates > 0) & (rates < 1)).mean()),
        hopeless=float((rates < HOPELESS).mean()),
        mastered=float((rates > MASTERED).mean()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "digits")
    parser.add_argument("--write", action="store_true", help="keep the numbers, and write them into docs/design.md")
    args = parser.parse_args()
    kept = collected(args.results)
    shown = table(kept)
    print(shown)
    if args.write:
        write_json(KEPT, {**read_json(KEPT), "demo": kept})
        write(DOCUMENT, {"frontier": shown})


def collected(results: Path) -> dict[str, Any]:
    """What is kept: the recipe's settings, each problem's kind, and each subject's right responses of `n` to it."""
    recipe = read_recipe(RECIPE)
    problems = read_problems(results / f"data/benchmarks/{BENCHMARK}.parquet", images=False)
    right = {}
    for items in sorted((results / MODEL / "eval").glob(f"*/{BENCHMARK}/items.parquet")):
        if (subject := items.parts[-3]) != "base":
            found = Counter(name for name, ok in verdicts(items, "reader") if ok)
            right[subject] = [found[problem.id] for problem in problems]
    kinds = [[problem.metadata["task"], problem.metadata["count"]] for problem in problems]
    settings = {name: recipe[name] for name in SETTINGS}
    return {"settings": settings, "n": recipe["evaluation"]["n"], "kinds": kinds, "right": right}


def by_task(kept: Mapping[str, Any], subject: str) -> dict[str, float]:
    """A subject's mean pass rate on the problems of each task."""
    tasks = np.array([task for task, _ in kept["kinds"]])
    rates = np.array(kept["right"][subject]) / kept["n"]
    return {task: float(rates[tasks == task].mean()) for task in dict.fromkeys(tasks.tolist())}


def by_count(kept: Mapping[str, Any], subject: str, task: str) -> list[float]:
    """A subject's mean pass rate on the problems of a task, by their number of digits."""
    rates = np.array(kept["right"][subject]) / kept["n"]
    kinds = [tuple(kind) for kind in kept["kinds"]]
    counts = sorted({count for _, count in kinds})
    return [float(rates[[kind == (task, count) for kind in kinds]].mean()) for count in counts]


def table(kept: Mapping[str, Any]) -> str:
    """A row per subject: its spread, and its pass rates by task; those of `read` by the number of digits, too."""
    tasks = list(by_task(kept, "sft"))
    heads = ["", "pass rate", "groups that vary", "below .1", "above .9", *tasks, "read, by digits"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 2) + " --- |"]
    for subject in kept["right"]:
        one = spread(kept["right"][subject], kept["n"])
        shares = [one.mean, one.varying, one.hopeless, one.mastered, *by_task(kept, subject).values()]
        digits = " ".join(f"{rate:.2f}" for rate in by_count(kept, subject, "read"))
        lines.append(f"| {subject} | {' | '.join(f'{share:.3f}' for share in shares)} | {digits} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
