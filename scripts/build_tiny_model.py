"""Make a tiny model such as the digits recipe's: real classes, random weights (docs/design.md §6)."""

import argparse
from pathlib import Path

from mmr1.models.settings import TinyArchitecture
from mmr1.plumbing.errors import run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, job


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model, a Hugging Face folder")
    parser.add_argument("--seed", type=int, default=0)
    add_settings_arguments(parser, TinyArchitecture)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    architecture = settings_of(args, TinyArchitecture)
    with job(args, inputs={}, outputs={"out": args.out}, settings=architecture) as work:
        from mmr1.models.tiny import build
        from mmr1.plumbing.files import atomic

        with atomic(args.out) as folder:
            work.metrics["parameters"] = build(folder, architecture, args.seed)


if __name__ == "__main__":
    run(main)
