"""Choose the problems whose scores are worth renewing (`vas.refresh`) and write them as a problems table.

Generate rollouts for that table, then run `score_vps.py --previous` with the same scores.
"""

import argparse
from pathlib import Path

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.read import SCORES, read_golds, read_scores
from mmr1.vas.settings import RefreshSettings


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet: all of the set")
    parser.add_argument("--scores", type=Path, required=True, help="scores.parquet of the last round")
    parser.add_argument("--out", type=Path, required=True, help="problems.parquet of those to generate again")
    parser.add_argument("--first-step", type=int, required=True, metavar="T0", help="first step of the coming round")
    add_settings_arguments(parser, RefreshSettings)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, RefreshSettings)
    refresh = settings.refresh
    if not hasattr(refresh.module, "select"):
        raise UserError(f"refresh: expected one that selects problems, found {refresh.name}")
    inputs = {"problems": args.problems, "scores": args.scores}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        ids = list(read_golds(args.problems))
        scores = read_scores(args.scores, ids, SCORES)
        selected = refresh.module.select(refresh.settings, scores, args.first_step)
        done = 0
        with contracts.writer(args.out, contracts.PROBLEMS) as out:
            for rows in contracts.iter_row_groups(args.problems, contracts.PROBLEMS):
                out.write_table(rows.filter(pa.array(selected[done : done + len(rows)])))
                done += len(rows)
        age = args.first_step - scores["scored_at"].to_numpy()
        work.metrics |= {"problems_selected": int(selected.sum()), "mean_age": float(age.mean())}


if __name__ == "__main__":
    run(main)
