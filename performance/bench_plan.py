"""How far off the plan's hours are: against EasyR1's published steps, and against what a finished run's jobs took.

    python performance/bench_plan.py [--results results/digits --recipe config/digits.yaml]

EasyR1 (`assets/baselines.md`): Qwen2.5-VL on 8 H100, Geometry3k, 512 prompts × 5 responses of at most 2,048 tokens,
seconds per step and tokens per second and GPU. The two give the tokens of a row. A third of them is taken for the
prompt, half of which is its image. The plan's speeds are its defaults. Printed are ratios; 1 is exact.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mmr1.models.families.qwen2_5_vl import FAMILY  # noqa: E402
from mmr1.models.shapes import shape_of  # noqa: E402
from mmr1.plan.summary import TITLES, Speeds  # noqa: E402
from mmr1.plan.work import Lengths, image, prompt, response, sampling, stage_of  # noqa: E402
from mmr1.provenance.ledger import read_records  # noqa: E402

GPUS, PROBLEMS, ROWS = 8, 512, 5
PUBLISHED = {"3B": (120, 1800), "7B": (132, 1800), "32B": (530, 620)}  # seconds per step, tokens per second and GPU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--recipe", default="config/digits.yaml")
    args = parser.parse_args()
    for size, (seconds, rate) in PUBLISHED.items():
        planned = step_seconds(size, seconds * rate * GPUS / (PROBLEMS * ROWS))
        print(f"EasyR1, {size:3} a step: published {seconds} s, planned {planned:.0f} s: ratio {planned / seconds:.2f}")
    if args.results:
        compare(args.results, args.recipe)


def step_seconds(size: str, tokens: float) -> float:
    """What the plan gives for one step whose rows have so many tokens: sampling, reference, old policy, updates."""
    shape = shape_of(FAMILY.RELEASED[f"Qwen/Qwen2.5-VL-{size}-Instruct"], FAMILY)
    lengths = Lengths(round(tokens / 3), round(tokens / 6), round(tokens * 2 / 3))
    group = image(shape, lengths.visual) + prompt(shape, lengths.prompt) + ROWS * response(shape, lengths)
    speeds = Speeds()
    shares = speeds.shares(shape.total)
    training = 5 * PROBLEMS * group / shares[0]  # three of an update, the reference, the old log-probabilities
    return (training + sampling(shape, lengths, PROBLEMS, ROWS).sampling_flops / shares[1]) / (GPUS * speeds.peak)


def compare(results: Path, recipe: str) -> None:
    """The hours of a finished run's stages, beside those of its plan."""
    words = ["--configfile", recipe, "--profile", "workflow/profiles/local", "--", "all"]
    program = [str(ROOT / ".envs/driver/bin/python"), "scripts/plan.py", "--json", *words]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    planned: Counter[str] = Counter()
    for row in json.loads(done.stdout)["rows"]:
        planned[row["stage"]] += row["hours"]
    took: Counter[str] = Counter()
    for record in read_records(results):
        took[TITLES[stage_of(record.rule) or "other"]] += record.execution.seconds / 3600
    for stage, hours in planned.items():
        if hours:
            print(f"{stage:12} took {took[stage]:.3f} h, planned {hours:.3f} h: ratio {hours / took[stage]:.2f}")


if __name__ == "__main__":
    main()
