"""Select the responses that no rule could decide, and write what a judge is asked about them.

    python scripts/select_undecided.py --benchmark mathvista --problems problems.parquet \\
        --predictions predictions.parquet --out undecided.parquet
    python scripts/generate.py --model JUDGE --problems undecided.parquet --n 1 --temperature 0 --out replies.parquet …
    python scripts/score_benchmark.py … --judge-replies replies.parquet

A problems table comes out (questions in words, no images), so that a judge answers it as a model answers a benchmark.
"""

import argparse
from pathlib import Path

from mmr1.benchmarks.judge import CONTROLS, questions
from mmr1.benchmarks.score import add_response_arguments, decide
from mmr1.benchmarks.settings import ScoreSettings
from mmr1.data.problems import write_problems
from mmr1.plumbing.errors import run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, ScoreSettings)
    inputs = {"problems": args.problems, "predictions": args.predictions}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        items, timeouts = decide(args, settings)
        asked = questions(items)
        write_problems(args.out, asked)
        work.metrics |= {"undecided": float(len(asked) - len(CONTROLS)), "timeouts": float(timeouts)}
        log(f"{settings.benchmark.name}: {len(asked) - len(CONTROLS)} of {len(items)} responses for the judge")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_response_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="the judge's questions, as a problems table")
    add_settings_arguments(parser, ScoreSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
