"""Ask a model behind an OpenAI-compatible endpoint for its answers to a benchmark: a row for any model that is served.

    ENDPOINT_API_KEY=… python scripts/ask_endpoint.py --url https://host/v1 --model NAME --problems problems.parquet \\
        --out predictions.parquet --cache answers.jsonl --n 1 --temperature 0 --max-tokens 4096 --seed 0

A rollouts table comes out, as of generate.py, with the same prompts and seeds; token ids and log-probabilities, which
an endpoint does not give, are empty and NaN. Images are sent as they are, or as PNG where servers would differ in what
they see; the server bounds their pixels. Answers are kept in --cache as they come, and a job that failed goes on from
there.
"""

import argparse
from pathlib import Path

from mmr1.data import contracts
from mmr1.data.chat import read_prompt
from mmr1.data.problems import read_problems
from mmr1.plumbing.disk import bytes_under, check_room, responses_bytes
from mmr1.plumbing.errors import run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.plumbing.secrets import check_url
from mmr1.rollout.endpoint import Endpoint
from mmr1.rollout.served import KEY_VARIABLE, responses
from mmr1.rollout.settings import AskSettings


def main() -> None:
    args = parse_arguments()
    inputs = {"problems": args.problems, "system_prompt": args.system_prompt}
    settings = settings_of(args, AskSettings)
    check_url("--url", args.url, f"${args.key_variable}")
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        problems = read_problems(args.problems, allow_empty_answer=True)
        table = responses_bytes(len(problems) * settings.n, settings.max_tokens)
        check_room({args.out: table, args.cache: 2 * table - bytes_under(args.cache)})  # what is kept is plain text
        prompt, position = read_prompt(args.system_prompt), settings.prompt_position
        sampling = settings.model_dump(include={"temperature", "top_p", "max_tokens"})
        with Endpoint(args.url, args.model, args.key_variable, **settings.machine.model_dump()) as endpoint:
            rows = responses(endpoint, problems, args.cache, prompt, position, n=settings.n, seed=args.seed, **sampling)
        contracts.write(args.out, rows, contracts.ROLLOUTS)
        truncated = sum(row["finish_reason"] == "length" for row in rows) / len(rows)
        work.metrics |= {"rollouts": float(len(rows)), "truncated": truncated}
        work.notes["endpoint"] = {"url": args.url, "model": args.model}
        log(f"{args.model}: {len(rows)} answers")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--url", required=True, help="the endpoint, up to /v1")
    add("--model", required=True, help="the model's name at the endpoint")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--out", type=Path, required=True, help="rollouts table to write")
    add("--key-variable", default=KEY_VARIABLE, help=f"environment variable of its key (default: {KEY_VARIABLE})")
    add("--cache", type=Path, required=True, help="JSON lines of answers, kept and used again")
    add("--seed", type=int, required=True, help="part of each request's seed")
    add("--system-prompt", type=Path, help="text file (default: no system prompt)")
    add_settings_arguments(parser, AskSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
