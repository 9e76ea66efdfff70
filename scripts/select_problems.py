"""Choose the problems whose scores are worth renewing (`vas.refresh`) and write them as a problems table.

Generate rollouts for that table, then run `score_vps.py --previous` with the same scores. Where the refresh follows
pass rates through training (`tracked`), both programs take the verdicts so far in their place.
"""

import argparse
from pathlib import Path

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.evidence import add_history_arguments, evidence_of, passes_of
from mmr1.vas.features import read_rows
from mmr1.vas.read import SCORES, read_golds, read_scores
from mmr1.vas.settings import RefreshSettings


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet: all of the set")
    parser.add_argument("--scores", type=Path, help="scores.parquet of the last round")
    add_history_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="problems.parquet of those to generate again")
    parser.add_argument("--first-step", type=int, required=True, metavar="T0", help="first step of the coming round")
    add_settings_arguments(parser, RefreshSettings)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, RefreshSettings)
    refresh = settings.refresh
    followed = hasattr(refresh.module, "follow")
    if not (followed or hasattr(refresh.module, "select")):
        raise UserError(f"refresh: expected one that selects problems, found {refresh.name}")
    if args.scores is None and not followed:
        raise UserError(f"--scores: refresh {refresh.name} expects those of the last round")
    inputs = {name: getattr(args, name) for name in ("problems", "scores", "training_rewards", "pass_rewards")}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        ids = list(read_golds(args.problems))
        if followed:
            evidence = evidence_of(ids, args.training_rewards, passes_of(args))
            belief = refresh.module.follow(refresh.settings, read_rows(args.problems), evidence, args.first_step)
            selected = refresh.module.choose(refresh.settings, belief)
        else:
            scores = read_scores(args.scores, ids, SCORES)
            selected = refresh.module.select(refresh.settings, scores, args.first_step)
            work.metrics["mean_age"] = float((args.first_step - scores["scored_at"].to_numpy()).mean())
        done = 0
        with contracts.writer(args.out, contracts.PROBLEMS) as out:
            for rows in contracts.iter_row_groups(args.problems, contracts.PROBLEMS):
                out.write_table(rows.filter(pa.array(selected[done : done + len(rows)])))
                done += len(rows)
        work.metrics["problems_selected"] = int(selected.sum())


if __name__ == "__main__":
    run(main)
