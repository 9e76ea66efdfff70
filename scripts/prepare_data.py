"""Make the tables of a data source (`mmr1.data.sources`): problems, conversations, and what is held out of both.

    python scripts/prepare_data.py --source '{name: digits, problems: 64, test: 8}' --problems problems.parquet \\
        --test test.parquet
"""

import argparse
from pathlib import Path

from mmr1.data.golds import tell_unreadable, unreadable_golds
from mmr1.data.problems import read_problems
from mmr1.data.settings import Preparation
from mmr1.data.sources import TABLES
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, job

JUDGED = {"problems", "validation", "test"}  # tables whose golds answers are compared with


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in TABLES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=f"{what}: the Parquet file to write")
        rejects = f"the rows that are left out of {name} (mmr1.data.rejects), where the source leaves any out"
        parser.add_argument(f"--{name.replace('_', '-')}-rejects", type=Path, help=rejects)
    parser.add_argument("--seed", type=int, default=0)
    add_settings_arguments(parser, Preparation)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    data = settings_of(args, Preparation)
    known = [*TABLES, *(f"{name}_rejects" for name in TABLES)]
    tables: dict[str, Path] = {name: path for name in known if (path := getattr(args, name)) is not None}
    made_by_it = [*data.rows(), *(f"{name}_rejects" for name in data.asked("rejected", []))]
    for name in tables:
        if name not in made_by_it:
            made = ", ".join(made_by_it)
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: expected one of the tables that the source {data.source.name} makes ({made})")
    with job(args, inputs=data.asked("inputs", {}), outputs=tables, settings=data) as work:
        summary = data.source.module.write(data.source.settings, tables, args.seed, data.limits())
        work.metrics |= {name: value for name, value in summary.items() if isinstance(value, int | float)}
        work.notes |= {name: value for name, value in summary.items() if name not in work.metrics}
        golds = {}
        for name in sorted(tables.keys() & JUDGED):
            problems = read_problems(tables[name], images=False, allow_empty_answer=True)
            golds[name] = unreadable_golds(problems)
        tell_unreadable(work, golds)


if __name__ == "__main__":
    run(main)
