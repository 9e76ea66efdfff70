"""Measure the gradients of single problems beside their reward variance: a test of the paper's theorem (§4).

    python scripts/measure_gradients.py --model sft/checkpoint --problems problems.parquet --rollouts 0.parquet \\
        --rewards rewards.parquet --out gradients.csv --summary gradients.json

Reads stored responses of the checkpoint and their verdicts; samples nothing. `mmr1.grpo.single_gradients` says how.
"""

import argparse
import csv
from dataclasses import asdict
from pathlib import Path

from mmr1.grpo.settings import GradientSettings
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import atomic, write_json
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job

FEWEST = 4  # responses: two to a half


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, GradientSettings)

    import torch  # after the arguments were checked: it takes seconds

    from mmr1.data.chat import read_prompt
    from mmr1.data.problems import read_problems
    from mmr1.grpo.single_gradients import SingleGradients, summary

    torch.set_num_threads(args.threads)
    inputs = {name: getattr(args, name) for name in ("model", "problems", "rollouts", "rewards", "system_prompt")}
    outputs = {"out": args.out, "summary": args.summary}
    with job(args, inputs=inputs, outputs=outputs, settings=settings) as work:
        problems = {one.id: one for one in read_problems(args.problems)}
        responses = read_responses(args)
        if few := [name for name, of in responses.items() if len(of) < FEWEST or name not in problems]:
            raise UserError(f"--rollouts: {few[0]}: expected {FEWEST} responses to a known problem, found fewer")
        gradients = SingleGradients(args.model, settings, read_prompt(args.system_prompt))
        measured = [gradients.measure(problems[name], of) for name, of in responses.items()]
        found = summary(measured)
        with atomic(args.out) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, asdict(measured[0]).keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(asdict, measured))
        write_json(args.summary, found)
        work.metrics |= {name: float(found[name]) for name in ("spearman", "slope") if found[name] is not None}
        log(f"{found['varying']} of {found['problems']} problems vary: {work.metrics}")


def read_responses(args: argparse.Namespace) -> dict:  # type: ignore[type-arg]
    """The responses of every problem with their verdicts."""
    import pyarrow as pa

    from mmr1.data import contracts
    from mmr1.grpo.single_gradients import by_problem

    tokens = pa.schema([contracts.ROLLOUTS.field(name) for name in ("problem_id", "rollout", "token_ids")])
    verdicts = pa.schema([contracts.REWARDS.field(name) for name in ("problem_id", "rollout", "accuracy")])
    judged = contracts.read(args.rewards, verdicts).to_pylist()
    rows = [row for path in args.rollouts for row in contracts.read(path, tokens).to_pylist()]
    return by_problem(rows, {(row["problem_id"], row["rollout"]): row["accuracy"] for row in judged})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the checkpoint that sampled the responses, a Hugging Face folder")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--rollouts", type=Path, nargs="+", required=True, help="its responses to them")
    add("--rewards", type=Path, required=True, help="their verdicts")
    add("--system-prompt", type=Path, help="a text file")
    add("--threads", type=int, default=1, help="CPU threads; results depend on it in the last bits")
    add("--out", type=Path, required=True, help="CSV: a row per problem")
    add("--summary", type=Path, required=True, help="JSON: rank correlation, slope, bins")
    add_settings_arguments(parser, GradientSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
