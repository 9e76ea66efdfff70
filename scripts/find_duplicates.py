"""List the training problems that are near-duplicates of a benchmark's (`mmr1.data.near_duplicates` says what that is).

    python scripts/find_duplicates.py --tables problems.parquet sft.parquet --benchmarks mathvista.parquet \\
        --out duplicates.parquet

Of the items of one benchmark that a problem is like in the same way, the first is listed.
"""

import argparse
from collections import Counter
from functools import partial
from pathlib import Path

from mmr1.data import contracts
from mmr1.data.near_duplicates import DUPLICATES, Questions
from mmr1.data.parallel import cores, in_order
from mmr1.data.problems import Problem, iter_blocks, read_problems
from mmr1.data.settings import SearchSettings
from mmr1.plumbing.errors import run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job

ROWS_AT_A_TIME = 32


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, SearchSettings)
    inputs = {"tables": args.tables, "benchmarks": args.benchmarks}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        benchmarks = {path.stem: read_problems(path, allow_empty_answer=True) for path in args.benchmarks}
        questions = Questions(benchmarks)
        rows: list[dict[str, str]] = []
        for path in args.tables:
            blocks = iter_blocks(path, ROWS_AT_A_TIME)
            for found in in_order(partial(like, questions), blocks, settings.machine.workers or cores()):
                rows += [row | {"table": path.stem} for row in found]
            count = sum(row["table"] == path.stem for row in rows)
            log(f"{path}: {count} near-duplicates of {len(questions)} questions")
        contracts.write(args.out, rows, DUPLICATES)
        counts = Counter((row["table"], row["benchmark"], row["kind"]) for row in rows)
        work.metrics["near_duplicates"] = float(len(rows))
        work.notes["near_duplicates"] = {" ".join(name): count for name, count in sorted(counts.items())}


def like(questions: Questions, block: list[Problem]) -> list[dict[str, str]]:
    """A row for each pair of a problem and what it is like."""
    names = ("benchmark", "benchmark_id", "kind")
    return [{"id": one.id, **dict(zip(names, found, strict=True))} for one in block for found in questions.like(one)]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tables", type=Path, nargs="+", required=True, help="problems or conversations, Parquet, each by its name")
    add("--benchmarks", type=Path, nargs="+", required=True, help="problems.parquet of each benchmark, by its name")
    add("--out", type=Path, required=True, help="table of the near-duplicates to write")
    add_settings_arguments(parser, SearchSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
