"""Make a benchmark's problems.parquet, from the hub at a pinned revision or from local files.

    python scripts/prepare_benchmark.py --benchmark mathvista --out problems.parquet
    python scripts/prepare_benchmark.py --benchmark mathverse --local testmini.jsonl --out problems.parquet

The pinned revision stands in the benchmark's file; a prefix of a commit hash is resolved against the repository's
history and the full hash is noted in the record. Local files are a JSON list, an object of rows by id, or JSON lines,
with images beside them.
"""

import argparse
from pathlib import Path

from mmr1.benchmarks import prepare
from mmr1.benchmarks.load import load_rows
from mmr1.benchmarks.settings import PrepareSettings
from mmr1.data.golds import tell_unreadable, unreadable_golds
from mmr1.data.hub import resolve
from mmr1.data.problems import problem_rows, rows_problems, write_problems
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import temporary_beside
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, PrepareSettings)
    chosen = settings.benchmark.module.BENCHMARK
    inputs, outputs = {"local": args.local, "images": args.images}, {"out": args.out}
    with job(args, inputs=inputs, outputs=outputs, settings=settings) as work, temporary_beside(args.out) as copy:
        if args.local:
            rows, where = iter(load_rows(args.local)), args.local
        elif chosen.source:
            commit = resolve(chosen.source.repository, "dataset", settings.revision or chosen.source.revision)
            work.notes["source"] = {"repository": chosen.source.repository, "commit": commit}
            log(f"{chosen.source.repository}@{commit}")
            rows, where = prepare.hub_rows(chosen.source, commit, copy), Path(f"{chosen.source.repository}@{commit}")
        else:
            raise UserError(f"--benchmark {chosen.name}: it has no source on the hub; expected --local")
        folder = args.images or where.parent
        made = prepare.problems(chosen, where, prepare.limited(rows, settings.limit), settings.prompt, folder)
        rows_problems(where, problem_rows(made), allow_empty_answer=True)  # before anything is written
        write_problems(args.out, made)
        work.metrics["problems"] = float(len(made))
        tell_unreadable(work, {chosen.name: unreadable_golds(made)})
        log(f"{chosen.name}: {len(made)} problems")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="problems.parquet")
    parser.add_argument("--local", type=Path, help="the benchmark's own file instead of the hub")
    parser.add_argument("--images", type=Path, help="folder of images (default: that of the local file)")
    add_settings_arguments(parser, PrepareSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
