"""Make the embedded data set: problems over scikit-learn's handwritten digits (DESIGN §6)."""

import argparse
from pathlib import Path

from mmr1.data.conversations import write_conversations
from mmr1.data.problems import write_problems
from mmr1.data.sources import digits
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.record import add_job_arguments, job

# Held-out sets use digit images that training never shows.
TABLES = {
    "problems": "the RL pool",
    "sft": "conversations for supervised fine-tuning",
    "sft_validation": "held-out conversations, for its validation loss",
    "validation": "held-out problems, for the validation curve of RL",
    "test": "held-out problems, for evaluation",
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in TABLES.items():
        option = name.replace("_", "-")
        parser.add_argument(f"--{option}", type=Path, required=True, help=f"{what}: the Parquet file to write")
        parser.add_argument(f"--{option}-size", type=int, required=True, help=f"{what}: how many")
    parser.add_argument("--seed", type=int, default=0)
    add_job_arguments(parser)
    args = parser.parse_args()
    for name in TABLES:
        if (size := getattr(args, f"{name}_size")) < 1:
            raise UserError(f"--{name.replace('_', '-')}-size: expected at least 1, found {size}")
    return args


def main() -> None:
    args = parse_arguments()
    with job(args, inputs={}, outputs={name: getattr(args, name) for name in TABLES}):
        pools = {held_out: digits.load(held_out) for held_out in (False, True)}
        for name in TABLES:
            pool = pools[name not in ("problems", "sft")]
            problems = digits.make_problems(name, getattr(args, f"{name}_size"), args.seed, pool)
            if name.startswith("sft"):
                write_conversations(getattr(args, name), [(one, digits.worked_response(one)) for one in problems])
            else:
                write_problems(getattr(args, name), problems)


if __name__ == "__main__":
    run(main)
