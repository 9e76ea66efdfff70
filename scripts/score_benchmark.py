"""Score the responses of a model to a benchmark: its official score and a careful reader's (§6.1), with 95% intervals.

    python scripts/score_benchmark.py --benchmark mathvista --problems problems.parquet \\
        --predictions predictions.parquet --out scores.json --items items.parquet

Problems may also be the benchmark's own JSON or JSON lines, and predictions JSON lines of {"id": …, "response": …}
(both also .gz), so that answers of any other system can be scored. No images are needed.
"""

import argparse
from pathlib import Path

from mmr1.benchmarks.judge import add_judge
from mmr1.benchmarks.load import load_responses
from mmr1.benchmarks.score import add_response_arguments, decide, item_rows, scores
from mmr1.benchmarks.settings import ScoreSettings
from mmr1.data import contracts
from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, ScoreSettings)
    benchmark = settings.benchmark.module.BENCHMARK
    inputs = {"problems": args.problems, "predictions": args.predictions, "judge_replies": args.judge_replies}
    with job(args, inputs=inputs, outputs={"out": args.out, "items": args.items}, settings=settings) as work:
        items, timeouts = decide(args, settings)
        extra = {"limited": args.limited} if args.limited else {}
        if args.judge_replies:
            replies = {name: reply for name, (reply, *_) in load_responses(args.judge_replies).items()}
            items, extra["judge"] = add_judge(items, replies)
            log(f"judge: {extra['judge']}")
        result = scores(benchmark, items) | extra
        if args.items:
            rows = item_rows(items)
            contracts.write(args.items, rows, rows.schema)
        write_json(args.out, result)
        work.metrics["timeouts"] = float(timeouts)
        work.metrics |= {f"accuracy_{name}": score["accuracy"] for name, score in result["scores"].items()}
        work.metrics |= {f"judge_{name}": float(count) for name, count in result.get("judge", {}).items()}
        told = ", ".join(f"{name} {score['accuracy']:.4f}" for name, score in result["scores"].items())
        log(f"{benchmark.name}: {result['n']} items, {told}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_response_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="scores.json")
    parser.add_argument("--items", type=Path, help="also write each item's verdicts here (Parquet)")
    parser.add_argument(
        "--judge-replies",
        type=Path,
        help="what a judge said to the questions of select_undecided.py (a rollouts table)",
    )
    add_settings_arguments(parser, ScoreSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
