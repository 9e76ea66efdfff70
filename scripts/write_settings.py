"""Write the resolved settings of one stage to a file, so that a program run by hand sees what the rule saw."""

import argparse
import json
from pathlib import Path

from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.record import add_job_arguments, job


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", required=True, help="the settings as one JSON object")
    parser.add_argument("--out", type=Path, required=True, help="settings.json")
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    with job(args, inputs={}, outputs={"out": args.out}):
        try:
            values = json.loads(args.values)
        except json.JSONDecodeError as error:
            raise UserError(f"--values: expected JSON: {error}") from None
        write_json(args.out, values)


if __name__ == "__main__":
    run(main)
