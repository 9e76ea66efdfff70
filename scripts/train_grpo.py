"""Train one round of GRPO; killed anywhere and run again, it goes on and lands on the same bits.

Run it by hand on one device, or with `torchrun` on several. Exit code 75 means: stopped as asked (SIGTERM, or the
deadline came near), the state is saved in --work, run the same command again.
"""

import argparse
import sys
import time
from pathlib import Path

from mmr1.grpo.settings import TrainerSettings
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, beside_job, job
from mmr1.plumbing.work_folder import WorkFolder

INPUTS = ("model", "reference", "problems", "schedule", "earlier_rewards", "state", "system_prompt", "validation")
OUTPUTS = ("out", "rollouts", "rewards", "metrics", "timings", "validation_out", "entries", "schedule_out", "state_out")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the checkpoint to start from, a Hugging Face folder")
    add("--reference", type=Path, required=True, help="the SFT checkpoint, to which the KL term holds on")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--schedule", type=Path, help="schedule.parquet: which problem is trained at which step")
    add("--first-step", type=int, metavar="T0", help="without --schedule: absolute number of the first step")
    add("--steps", type=int, metavar="T", help="without --schedule: how many")
    add("--earlier-rewards", type=Path, nargs="+", default=[], help="training rewards of all steps before the first")
    add("--state", type=Path, help="trainer_state of the round before; without one the optimizer starts fresh")
    add("--validation", type=Path, help="held-out problems.parquet")
    add("--validate-every", type=int, default=1, help="steps between validations")
    add("--system-prompt", type=Path, help="a text file")
    add("--replay", type=Path, help="training rollouts to learn from in place of sampling (an audit)")
    add("--out", type=Path, required=True, help="the checkpoint, a Hugging Face folder")
    add("--rollouts", type=Path, required=True, help="training rollouts, Parquet")
    add("--rewards", type=Path, required=True, help="their verdicts, Parquet")
    add("--metrics", type=Path, required=True, help="metrics.jsonl: one object per step, reproducible")
    add("--timings", type=Path, required=True, help="timings.jsonl: seconds, tokens per second, memory")
    add("--validation-out", type=Path, help="validation.jsonl")
    add("--entries", type=Path, help="entries.jsonl: for each step how many entries were drawn, which slots trained")
    add("--schedule-out", type=Path, help="schedule.parquet as it was used: which problem was trained at which step")
    add("--state-out", type=Path, help="trainer_state: what the next round needs")
    add("--work", type=Path, required=True, help="states to go on from; removed when all outputs are written")
    add("--seed", type=int, required=True, help="the run's seed, in [0, 2^63)")
    add("--threads", type=int, default=1, help="CPU threads; results depend on it in the last bits")
    add("--deadline-minutes", type=float, help="the job's time limit: save and leave before it")
    add("--any-world-size", action="store_true", help="accept a state that was saved by another number of ranks")
    add_settings_arguments(parser, TrainerSettings)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    started = time.monotonic()
    args = parse_arguments()
    if args.validation and not args.validation_out:
        raise UserError("--validation-out: expected a path, for --validation was given")
    settings = settings_of(args, TrainerSettings)
    check_steps(args, settings)
    if args.validate_every < 1:
        raise UserError(f"--validate-every: expected at least 1, found {args.validate_every}")

    import torch  # after the arguments were checked: it takes seconds

    from mmr1.grpo import distributed
    from mmr1.grpo.round import train_round
    from mmr1.models.determinism import require_determinism
    from mmr1.models.family import family_file
    from mmr1.plumbing.interruption import EXIT_CODE, Interrupted, Interruption

    interruption = Interruption(args.deadline_minutes, started)
    torch.set_num_threads(args.threads)
    if settings.deterministic:
        require_determinism()
    ranks = distributed.join()
    inputs = {name: getattr(args, name) or None for name in (*INPUTS, "replay")}
    outputs = {name: getattr(args, name) for name in OUTPUTS}
    recorded = job(
        args, inputs=inputs, outputs=outputs, settings=settings, unrepeated=["timings"], temporary=["state_out"]
    )
    folder = WorkFolder(args.work)
    try:
        with recorded if ranks.first else beside_job(args, ranks.rank, outputs) as work:
            work.plugins.append(family_file(args.model))
            with ranks.one_mistake_is_all():
                if ranks.first:
                    folder.hold(apart_from=[*inputs.values(), *outputs.values(), args.record])
            try:
                metrics, notes = train_round(args, settings, ranks, interruption)
            finally:
                folder.leave()
            work.metrics |= metrics
            work.notes |= notes
        if ranks.first:  # only now: until the record is written the job may have to be run again
            folder.remove()
    except Interrupted as reason:
        print(f"train_grpo.py: {reason}; run again to go on", file=sys.stderr)
        sys.exit(EXIT_CODE)


def check_steps(args: argparse.Namespace, settings: TrainerSettings) -> None:
    """Raises UserError unless there is one thing that says which problem is trained at which step."""
    if (args.schedule is None) == (settings.draw is None):
        raise UserError("--schedule: expected a schedule, or settings with a section `draw`, and not both")
    if args.schedule is None and not (settings.draw and settings.draw.sampler.module.Sampler.observes):
        raise UserError("draw.sampler: expected one that observes; others draw a schedule before the round")
    if args.schedule is None and (args.first_step is None or args.first_step < 0 or (args.steps or 0) < 1):
        raise UserError("--first-step, --steps: expected at least 0 and at least 1, because no schedule was given")


if __name__ == "__main__":
    run(main)
