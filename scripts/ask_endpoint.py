"""Ask a model behind an OpenAI-compatible endpoint for its answers to a benchmark: a row for any model that is served.

    ENDPOINT_API_KEY=… python scripts/ask_endpoint.py --url https://host/v1 --model NAME --problems problems.parquet \\
        --out predictions.parquet --cache answers.jsonl --n 1 --temperature 0 --max-tokens 4096 --seed 0

A rollouts table comes out, as of generate.py, with the same prompts and seeds; token ids and log-probabilities, which
an endpoint does not give, are empty and NaN. Images are sent as they are: the server bounds their pixels. Answers are
kept in --cache as they come, and a job that failed goes on from there.
"""

import argparse
import math
from pathlib import Path

from mmr1.data import contracts
from mmr1.data.problems import read_problems
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.rollout.endpoint import Endpoint
from mmr1.rollout.served import KEY_VARIABLE, responses


def main() -> None:
    args = parse_arguments()
    inputs = {"problems": args.problems, "system_prompt": args.system_prompt}
    with job(args, inputs=inputs, outputs={"out": args.out}) as work:
        problems = read_problems(args.problems, allow_empty_answer=True)
        prompt = None if args.system_prompt is None else args.system_prompt.read_text().strip()
        sampling = {"temperature": args.temperature, "top_p": args.top_p, "max_tokens": args.max_tokens}
        with Endpoint(args.url, args.model, KEY_VARIABLE, retries=args.retries, at_once=args.at_once) as endpoint:
            rows = responses(
                endpoint, problems, args.cache, prompt, args.prompt_position, n=args.n, seed=args.seed, **sampling
            )
        contracts.write(args.out, rows, contracts.ROLLOUTS)
        truncated = sum(row["finish_reason"] == "length" for row in rows) / len(rows)
        work.metrics |= {"rollouts": float(len(rows)), "truncated": truncated}
        work.notes["endpoint"] = {"url": args.url, "model": args.model}
        log(f"{args.model}: {len(rows)} answers")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--url", required=True, help=f"the endpoint, up to /v1; its key is read from ${KEY_VARIABLE}")
    add("--model", required=True, help="the model's name at the endpoint")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--out", type=Path, required=True, help="rollouts table to write")
    add("--cache", type=Path, required=True, help="JSON lines of answers, kept and used again")
    add("--n", type=int, required=True, help="responses a problem")
    add("--temperature", type=float, required=True, help="0 takes the most likely token each time")
    add("--top-p", type=float, default=1.0, help="nucleus sampling (default: off)")
    add("--max-tokens", type=int, required=True, help="bound on a response")
    add("--seed", type=int, required=True, help="part of each request's seed")
    add("--system-prompt", type=Path, help="text file (default: no system prompt)")
    add("--prompt-position", choices=("system", "user"), default="system", help="where it goes")
    add("--retries", type=int, default=6, help="tries again after a failure, ever later (default: 6)")
    add("--at-once", type=int, default=8, help="requests under way at a time (default: 8)")
    add_job_arguments(parser)
    args = parser.parse_args()
    for name in ("n", "max_tokens", "at_once"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')}: expected at least 1, found {getattr(args, name)}")
    if not (math.isfinite(args.temperature) and args.temperature >= 0):
        raise UserError(f"--temperature: expected 0 or more, found {args.temperature}")
    return args


if __name__ == "__main__":
    run(main)
