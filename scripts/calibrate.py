"""Compare what the scores of a round predicted with what its training found: metrics of every step, as JSON lines.

Nothing is generated or judged: schedule, scores and training rewards are read. See `mmr1.vas.calibration` for what
each number is; those that need scores are null where there were none (mix 0).
"""

import argparse
from pathlib import Path

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_jsonl
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.calibration import calibrate
from mmr1.vas.history import REWARDS
from mmr1.vas.read import read_golds, read_scores


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet")
    parser.add_argument("--schedule", type=Path, required=True, help="schedule.parquet of the round")
    parser.add_argument("--scores", type=Path, help="scores.parquet that the schedule was drawn with; none for mix 0")
    parser.add_argument(
        "--rewards", type=Path, nargs="+", required=True, help="training rewards of this round and of all before"
    )
    parser.add_argument("--out", type=Path, required=True, help="calibration.jsonl")
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    inputs = {name: getattr(args, name) for name in ("problems", "schedule", "scores", "rewards")}
    with job(args, inputs=inputs, outputs={"out": args.out}) as work:
        ids = list(read_golds(args.problems))
        vps = None if args.scores is None else read_scores(args.scores, ids)["vps"].to_numpy()
        schedule = contracts.read(args.schedule, contracts.SCHEDULE)
        rewards = pa.concat_tables([contracts.read(path, REWARDS) for path in args.rewards])
        metrics = calibrate(schedule, rewards, vps, len(ids))
        write_jsonl(args.out, metrics)
        work.metrics |= {name: value for name, value in metrics[-1].items() if value is not None}


if __name__ == "__main__":
    run(main)
