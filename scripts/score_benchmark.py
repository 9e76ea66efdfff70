"""Score the responses of a model to a benchmark: its official score and a careful reader's (§6.1), with 95% intervals.

    python scripts/score_benchmark.py --benchmark mathvista --problems problems.parquet \\
        --predictions predictions.parquet --out scores.json --items items.parquet

Problems may also be the benchmark's own JSON or JSON lines, and predictions JSON lines of {"id": …, "response": …}
(both also .gz), so that answers of any other system can be scored. No images are needed.
"""

import argparse
import os
from pathlib import Path

from mmr1.benchmarks import judge
from mmr1.benchmarks.load import load_problems, load_responses
from mmr1.benchmarks.score import add_judge, item_rows, judge_items, pair, scores
from mmr1.benchmarks.settings import ScoreSettings
from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.rewards.verifier.verify import Verifier


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, ScoreSettings)
    chosen = settings.benchmark.module.BENCHMARK
    if settings.judge and not args.judge_cache:
        raise UserError("judge: expected --judge-cache with it, found none")
    workers = settings.machine.workers or len(os.sched_getaffinity(0))
    inputs = {"problems": args.problems, "predictions": args.predictions}
    with job(args, inputs=inputs, outputs={"out": args.out, "items": args.items}, settings=settings) as work:
        problems = load_problems(chosen, args.problems)
        responses = load_responses(args.predictions, args.response_field, args.extraction_field)
        pairs = pair(chosen, problems, responses, settings.partial)
        with Verifier(workers, settings.verify_seconds) as verifier:
            items = judge_items(chosen, pairs, verifier)
            work.metrics["timeouts"] = float(verifier.timeouts)
        if settings.judge:
            url, model, retries = settings.judge.url, settings.judge.model, settings.machine.judge_retries
            with judge.Judge(url, model, args.judge_cache, retries) as asked:
                items = add_judge(items, asked.verdicts)
        result = scores(chosen, items) | ({"limited": args.limited} if args.limited else {})
        if args.items:
            rows = item_rows(items)
            contracts.write(args.items, rows, rows.schema)
        write_json(args.out, result)
        work.metrics |= {f"accuracy_{name}": score["accuracy"] for name, score in result["scores"].items()}
        told = ", ".join(f"{name} {score['accuracy']:.4f}" for name, score in result["scores"].items())
        log(f"{chosen.name}: {result['n']} items, {told}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet, or the benchmark's own file")
    parser.add_argument("--predictions", type=Path, required=True, help="a rollouts table or JSON lines")
    parser.add_argument("--out", type=Path, required=True, help="scores.json")
    parser.add_argument("--items", type=Path, help="also write each item's verdicts here (Parquet)")
    parser.add_argument("--response-field", default="response", help="the field of JSON lines that holds the response")
    parser.add_argument("--extraction-field", help="the field of JSON lines with an extraction that someone else made")
    parser.add_argument("--judge-cache", type=Path, help="JSON lines of the judge's verdicts, kept and used again")
    add_settings_arguments(parser, ScoreSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
