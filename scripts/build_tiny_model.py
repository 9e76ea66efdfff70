"""Make the tiny Qwen2.5-VL of the digits recipe: real classes, random weights (DESIGN §6)."""

import argparse
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.record import add_job_arguments, job


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="settings.json with TinyArchitecture's fields")
    parser.add_argument("--out", type=Path, required=True, help="the model, a Hugging Face folder")
    parser.add_argument("--seed", type=int, default=0)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    with job(args, inputs={"settings": args.settings}, outputs={"out": args.out}) as work:
        from mmr1.models.tiny import TinyArchitecture, build
        from mmr1.plumbing.files import atomic
        from mmr1.plumbing.settings import read_settings

        with atomic(args.out) as folder:
            work.metrics["parameters"] = build(folder, read_settings(args.settings, TinyArchitecture), args.seed)


if __name__ == "__main__":
    run(main)
