"""Draw the schedule of a round: by default ⌊λB⌋ problems per step by VPS, the rest uniformly (Algorithm 1, §3).

Of a sampler that observes (`schedule.sampler`) the schedule is written by the training. Given the training's rewards
this draws it again, to the byte.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.history import iter_steps
from mmr1.vas.read import read_golds, read_scores
from mmr1.vas.samplers import ProblemSampler, make_sampler
from mmr1.vas.schedule import draw_schedule
from mmr1.vas.settings import DrawSettings


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet")
    parser.add_argument("--scores", type=Path, help="scores.parquet; not needed, and not read, with --mix 0")
    parser.add_argument("--rewards", type=Path, nargs="+", default=[], help="training rewards up to the last step")
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
    scores_file = args.scores if settings.sampler.module.Sampler.needs_scores(settings) else None
    inputs = {"problems": args.problems, "scores": scores_file, "rewards": args.rewards or None}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        ids = list(read_golds(args.problems))
        scores = None if scores_file is None else read_scores(scores_file, ids)
        if scores is not None and not np.any(scores["vps"]):
            log(f"warning: {scores_file}: every vps is 0: the weighted part is drawn uniformly")
            work.notes["warnings"] = ["every vps is 0: the weighted part was drawn uniformly"]
        sampler = make_sampler(settings, ids, args.seed, scores)
        steps = range(args.first_step, args.first_step + args.steps)
        observed = observe_before(steps, args.rewards, sampler) if settings.sampler.module.Sampler.observes else None
        schedule = draw_schedule(sampler, ids, steps, observed)
        contracts.write(args.out, schedule, contracts.SCHEDULE)
        origins = schedule["origin"].to_pylist()
        work.metrics["weighted_per_step"] = origins.count("weighted") / (len(steps) * settings.queue_factor)
        work.metrics["different_problems"] = len(schedule["problem_id"].unique())


def observe_before(steps: range, paths: list[Path], sampler: ProblemSampler) -> dict[int, pa.Table]:
    """Show a sampler the training rewards of all earlier steps; returns those of `steps`."""
    observed = dict(iter_steps(paths))
    if missing := sorted(set(range(steps.stop)) - observed.keys()):
        raise UserError(f"--rewards: expected those of steps 0 to {steps.stop - 1}, found none of step {missing[0]}")
    for step in range(steps.start):
        sampler.observe(step, observed[step])
    return {step: observed[step] for step in steps}


if __name__ == "__main__":
    run(main)
