"""Draw the schedule of a round: ⌊λB⌋ problems a step by VPS, the rest uniformly (Algorithm 1, §3)."""

import argparse
from pathlib import Path

import numpy as np

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.read import read_golds, read_scores
from mmr1.vas.schedule import draw_schedule, weighted_slots
from mmr1.vas.settings import DrawSettings


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet")
    parser.add_argument("--scores", type=Path, help="scores.parquet; not needed, and not read, with --mix 0")
    parser.add_argument("--out", type=Path, required=True, help="schedule.parquet")
    parser.add_argument("--first-step", type=int, required=True, metavar="T0", help="absolute number of the first step")
    parser.add_argument("--steps", type=int, required=True, metavar="T")
    parser.add_argument("--seed", type=int, required=True, metavar="S")
    add_settings_arguments(parser, DrawSettings)
    add_job_arguments(parser)
    args = parser.parse_args()
    for name, least in (("first_step", 0), ("steps", 1), ("seed", 0)):
        if getattr(args, name) < least:
            raise UserError(f"--{name.replace('_', '-')}: expected at least {least}, found {getattr(args, name)}")
    return args


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, DrawSettings)
    scores_file = args.scores if settings.mix > 0 else None
    inputs = {"problems": args.problems, "scores": scores_file}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        ids = list(read_golds(args.problems))
        ovs = vps = None
        if scores_file is not None:
            scores = read_scores(scores_file, ids)
            ovs, vps = scores["ovs"].to_numpy(), scores["vps"].to_numpy()
            if not np.any(vps):
                log(f"warning: {scores_file}: every vps is 0: the weighted part is drawn uniformly")
                work.notes["warnings"] = ["every vps is 0: the weighted part was drawn uniformly"]
        schedule = draw_schedule(
            settings, ids, range(args.first_step, args.first_step + args.steps), args.seed, ovs, vps
        )
        contracts.write(args.out, schedule, contracts.SCHEDULE)
        work.metrics["weighted_per_step"] = weighted_slots(settings.mix, settings.batch_size)
        work.metrics["different_problems"] = len(schedule["problem_id"].unique())


if __name__ == "__main__":
    run(main)
