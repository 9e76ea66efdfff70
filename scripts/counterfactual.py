"""What would other weights have bought? Replay them on stored rollouts: gain, effective sample size and cost.

One JSON line a weighting comes out, and nothing is trained. In the workflow: the target `counterfactual`.

`--truth` are the verdicts of many rollouts of every problem (`generate.py --n 56 --purpose eval`, `score_vps.py
--rewards`) by the policy before step `--first-step`; the last `--new` of each problem play the part of responses that
are sampled for scores. Replayed are OVS from N of these, the scores files that are given, and, with the verdicts of
training and of passes before, a refresh that follows pass rates. Every weighting is thinned to `--ess`, and stands as
it is under `…_alone`; `recovered` is the share of the gain that perfect scores would bring, `cost` what is new, over
the rollouts of one round's training.
"""

import argparse
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import write_jsonl
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.vas.counterfactual import followed, fresh, given, perfect, stored
from mmr1.vas.evidence import add_history_arguments, evidence_of, passes_of
from mmr1.vas.features import read_rows
from mmr1.vas.groups import count_rows
from mmr1.vas.read import SCORES, read_golds, read_scores
from mmr1.vas.settings import ReplaySettings

VERDICTS = pa.schema([contracts.REWARDS.field(name) for name in ("problem_id", "rollout", "accuracy")])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet")
    parser.add_argument("--truth", type=Path, nargs="+", required=True, help="rewards of many rollouts of each problem")
    parser.add_argument("--scores", nargs="+", default=[], metavar="NAME=FILE", help="scores to replay as well")
    add_history_arguments(parser)
    parser.add_argument(
        "--first-step", type=int, required=True, metavar="T", help="the step before which the policy is"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one a weighting")
    parser.add_argument(
        "--rollouts", type=int, metavar="N", help="of a round's training (default: of the last of --training-rewards)"
    )
    add_settings_arguments(parser, ReplaySettings)
    add_job_arguments(parser)
    args = parser.parse_args()
    if wrong := [text for text in args.scores if "=" not in text]:
        raise UserError(f"--scores: expected NAME=FILE, found {wrong[0]!r}")
    if args.rollouts is not None and args.rollouts < 1:
        raise UserError(f"--rollouts: expected at least 1, found {args.rollouts}")
    return args


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, ReplaySettings)
    files = {name: Path(file) for name, _, file in (text.partition("=") for text in args.scores)}
    inputs = {name: getattr(args, name) for name in ("problems", "truth", "training_rewards", "pass_rewards")}
    with job(
        args, inputs=inputs | {"scores": list(files.values())}, outputs={"out": args.out}, settings=settings
    ) as work:
        ids = list(read_golds(args.problems))
        rewards = pa.concat_tables([contracts.read(path, VERDICTS) for path in args.truth])
        data = stored(ids, read_rows(args.problems), rewards, settings.new, settings.group_size, settings.ess)
        counts = [*takewhile(lambda count: count < settings.new, (1, 2, 4, 8, 16, 32)), settings.new]
        rows = [perfect(data), *fresh(data, counts)]
        rows += given(data, {name: read_scores(file, ids, SCORES) for name, file in files.items()}, args.first_step)
        evidence = evidence_of(ids, args.training_rewards, passes_of(args))
        if len(evidence.step):
            samples = [(0, 0.0), *((count, share) for count in counts for share in settings.shares)]
            rows += followed(data, settings.refresh, evidence, args.first_step, samples)
        trained = args.rollouts or sum(map(count_rows, args.training_rewards[-1:]))
        for row in rows:
            row["cost"] = None if row["new"] is None or not trained else row["new"] * len(ids) / trained
        write_jsonl(args.out, rows)
        work.metrics |= {"weightings": float(len(rows)), "varying": data.varying}
        if not data.varying:
            log("warning: no group would vary, so that no weights can gain anything")
        log(f"{'weights':<28} gain  recovered  ESS   cost, % of a round's rollouts")
        for row in rows:
            log(line(row))


def line(row: dict[str, Any]) -> str:
    """What a weighting bought, for a reader of the log."""
    gain, recovered, cost = ("-" if row[name] is None else row[name] for name in ("gain", "recovered", "cost"))
    shown = [f"{one:.2f}" if isinstance(one, float) else one for one in (gain, recovered, row["ess"])]
    return f"{row['weights']:<28} {shown[0]:<5} {shown[1]:<10} {shown[2]:<5} {cost if cost == '-' else f'{cost:.1%}'}"


if __name__ == "__main__":
    run(main)
