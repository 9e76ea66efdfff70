"""Score problems: verdicts of their rollouts, and OVS, TDS and VPS of each problem (Algorithm 1, §3).

All rollouts of a problem stand together in one file, and the files together hold each problem once, with the same
number of rollouts. With `--previous` they may hold fewer problems, or be training rollouts (tables with `step` and
`slot`, where a problem may come again): what they do not touch keeps its score. With no rollouts at all the previous
scores are combined again under other weights. A refresh that follows pass rates through training (`--refresh tracked`)
makes the scores from these rollouts, if any, and from all verdicts so far.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.plugins import NoSettings, Plugin
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import SECONDS_BETWEEN_LINES, log
from mmr1.plumbing.record import Job, add_job_arguments, job
from mmr1.vas.evidence import Evidence, add_history_arguments, evidence_of, passes_of
from mmr1.vas.features import read_rows
from mmr1.vas.groups import Groups, count_rows, is_training, iter_groups
from mmr1.vas.read import SCORES, read_golds, read_previous
from mmr1.vas.scores import Tally, score_table
from mmr1.vas.settings import ScoringSettings
from mmr1.vas.verdicts import Verdicts, judged_now, stored


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet: all of the set")
    parser.add_argument("--rollouts", type=Path, nargs="*", default=[], help="rollouts tables, any number of shards")
    parser.add_argument("--out", type=Path, required=True, help="scores.parquet, in the order of the problems")
    parser.add_argument("--rewards", type=Path, help="write each rollout's verdict, extracted answer and reason here")
    parser.add_argument("--rewards-in", type=Path, nargs="+", help="take verdicts from here instead of judging")
    parser.add_argument("--previous", type=Path, help="scores.parquet to keep for problems without rollouts here")
    parser.add_argument("--first-step", type=int, default=0, metavar="T0", help="step whose policy made the rollouts")
    add_history_arguments(parser)
    add_settings_arguments(parser, ScoringSettings)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, ScoringSettings)
    _check_combination(args, settings)
    names = ("problems", "rollouts", "rewards_in", "previous", "training_rewards", "pass_rewards")
    inputs = {name: getattr(args, name) for name in names}
    with job(args, inputs=inputs, outputs={"out": args.out, "rewards": args.rewards}, settings=settings) as work:
        golds = read_golds(args.problems)
        previous = None if args.previous is None else read_previous(args.previous, list(golds), settings.diversity.name)
        tally = Tally(list(golds))
        if args.rollouts:
            gather(args, settings, golds, tally, work)
        elif args.rewards is not None:
            contracts.write(args.rewards, contracts.REWARDS.empty_table(), contracts.REWARDS)
        if settings.refresh is None:
            scores = score_table(tally, settings, previous)
        else:
            scores = followed_scores(args, settings.refresh, settings.diversity.name, tally)
        contracts.write(args.out, scores, SCORES)
        work.metrics |= summary(scores, tally)


def followed_scores(args: argparse.Namespace, refresh: Plugin, diversity: str, tally: Tally) -> pa.Table:
    """The scores that a refresh makes of the rollouts in `tally` and of all verdicts before, without diversity."""
    new = np.flatnonzero(tally.n)
    now = Evidence(np.full(len(new), args.first_step), new, tally.passes[new], tally.n[new])
    evidence = evidence_of(tally.ids, args.training_rewards, passes_of(args), now)
    belief = refresh.module.follow(refresh.settings, read_rows(args.problems), evidence, args.first_step)
    columns = [
        tally.ids,
        tally.n.astype(np.int32),
        belief.mean(belief.rate),
        belief.variance,
        np.zeros(len(tally.ids)),
        refresh.module.weigh(refresh.settings, belief),
        np.full(len(tally.ids), args.first_step, np.int32),
        [diversity] * len(tally.ids),
    ]
    return pa.table(columns, schema=SCORES)


def gather(args: argparse.Namespace, settings: ScoringSettings, golds: dict[str, str], tally: Tally, work: Job) -> None:
    """Go through the rollouts once and add every group to `tally`."""
    training = [is_training(path) for path in args.rollouts]
    partial = args.previous is not None or settings.refresh is not None
    if any(training) and not all(training):
        raise UserError(f"{args.rollouts[training.index(False)]}: expected training rollouts like the other files")
    workers = settings.machine.workers or len(os.sched_getaffinity(0))
    own = () if isinstance(settings.diversity.settings, NoSettings) else (settings.diversity.settings,)
    position = {name: index for index, name in enumerate(golds)}
    reasons: Counter[str] = Counter()
    source: AbstractContextManager[Verdicts] = (
        judged_now(
            golds,
            args.rewards,
            training=all(training),
            workers=workers,
            seconds=settings.verify_seconds,
            reasons=reasons,
        )
        if args.rewards_in is None
        else stored(args.rewards_in, args.rewards)
    )
    with source as verdicts:
        for groups in progress(args.rollouts, text=args.rewards_in is None):
            where = check_groups(groups, position, tally, repeated=all(training), partial=partial)
            passes = np.add.reduceat(verdicts(groups), groups.bounds[:-1])
            tds = settings.diversity.module.diversity(*groups.tokens, groups.bounds, workers, *own)
            scored_at = args.first_step if groups.steps is None else groups.steps
            tally.add(where, np.diff(groups.bounds), passes, tds, scored_at)
        if not partial:
            tally.check_complete()  # before the verdicts get their final name
    work.notes["reasons"] = dict(sorted(reasons.items()))


def progress(paths: list[Path], *, text: bool) -> Iterator[Groups]:
    """All groups of all files, in chunks, with a line in the log now and then."""
    total, done, start = sum(map(count_rows, paths)), 0, time.monotonic()
    last = start
    for path in paths:
        for groups in iter_groups(path, text=text):
            yield groups
            done += len(groups.table)
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES or done == total:
                last = time.monotonic()
                log(f"scored {done}/{total} rollouts in {last - start:.0f} s")


def check_groups(
    groups: Groups, position: dict[str, int], tally: Tally, *, repeated: bool, partial: bool
) -> np.ndarray:
    """Where each group's problem stands in the set, (G,), after checking that it may come now and with this many."""
    where = []
    here: set[int] = set()
    expected = next(iter(tally.n[tally.n > 0].tolist()), int(np.diff(groups.bounds)[0]))
    for name, first, end in zip(
        groups.problem_ids, groups.bounds[:-1].tolist(), groups.bounds[1:].tolist(), strict=True
    ):
        row = f"{groups.path}: row {groups.row + first}"
        index = position.get(name)
        if index is None:
            raise UserError(f"{row}: problem_id: {name!r} is not among the problems")
        if not repeated and (index in here or tally.groups[index]):
            raise UserError(f"{row}: problem_id: {name!r} has rollouts elsewhere too: they must stand together, once")
        if not (repeated or partial) and end - first != expected:
            raise UserError(
                f"{row}: {name!r}: expected {expected} rollouts like the problems before, found {end - first}"
            )
        here.add(index)
        where.append(index)
    return np.array(where)


def summary(scores: pa.Table, tally: Tally) -> dict[str, float]:
    """What goes to the record: means over the set, and what was spent."""
    means = {f"mean_{name}": float(scores[name].to_numpy().mean()) for name in ("pass_rate", "ovs", "tds", "vps")}
    return means | {
        "zero_ovs": float((scores["ovs"].to_numpy() == 0).mean()),
        "problems_scored": int((tally.groups > 0).sum()),
        "rollouts_scored": int(tally.n.sum()),
    }


def _check_combination(args: argparse.Namespace, settings: ScoringSettings) -> None:
    refresh = settings.refresh
    if refresh is not None and not hasattr(refresh.module, "follow"):
        raise UserError(f"refresh: expected one that follows pass rates, found {refresh.name}")
    if refresh is None and not args.rollouts and (args.previous is None or args.rewards_in or args.rewards):
        raise UserError("--rollouts: expected at least one file (only --previous can do without, and then no rewards)")
    if args.rollouts and args.rewards is None and args.rewards_in is None:
        raise UserError("expected --rewards (judge, and write verdicts there) or --rewards-in (take them from there)")
    if args.first_step < 0:
        raise UserError(f"--first-step: expected at least 0, found {args.first_step}")


if __name__ == "__main__":
    run(main)
