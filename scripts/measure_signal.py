"""Measure the signal-to-noise of a batch's gradient under uniform draws and under draws by scores.

    python scripts/measure_signal.py --model sft/checkpoint --problems problems.parquet --rollouts 0.parquet \\
        --rewards rewards.parquet --scores vas=scores.parquet --out signal_to_noise.csv

Reads stored responses of the checkpoint and their verdicts; samples nothing. Scores must come from other responses than
these: weights that know a group's luck find signal in it. `--skip` leaves out the first responses to each problem: a
pass for scores has them too, where both have one seed. `mmr1.grpo.signal_to_noise` says how.
"""

import argparse
import csv
import math
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmr1.grpo.settings import SignalSettings
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import atomic
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.record import add_job_arguments, job

if TYPE_CHECKING:
    from mmr1.grpo.signal_to_noise import Draw
    from mmr1.grpo.single_gradients import Response

FEWEST = 4  # responses: two to a group


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, SignalSettings)

    import torch  # after the arguments were checked: it takes seconds

    from mmr1.data.chat import read_prompt
    from mmr1.data.problems import read_problems
    from mmr1.grpo.signal_to_noise import Sketch, group_gradients, products, rows
    from mmr1.grpo.single_gradients import SingleGradients

    torch.set_num_threads(args.threads)
    files = [Path(text.partition("=")[2]) for text in args.scores]
    inputs = {name: getattr(args, name) for name in ("model", "problems", "rollouts", "rewards", "system_prompt")}
    with job(args, inputs={**inputs, "scores": files}, outputs={"out": args.out}, settings=settings) as work:
        problems = {one.id: one for one in read_problems(args.problems)}
        responses = read_responses(args)
        size = group_size(responses, problems, settings.group_size)
        draws = ways_to_draw(args.scores, list(problems), list(responses), settings.mix)
        gradients, sketch = SingleGradients(args.model, settings, read_prompt(args.system_prompt)), Sketch()
        measured = [
            group_gradients(gradients, sketch, problems[name], of, size)
            for name, of in track(responses.items(), "problems", len(responses))
        ]
        known = products([groups for groups, _ in measured], np.stack([deviations for _, deviations in measured]))
        found = [{**row, "batch": settings.batch_size, "n": size} for row in rows(known, draws, settings.batch_size)]
        with atomic(args.out) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, found[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
        if math.isfinite(snr := found[0]["snr"]):
            work.metrics["snr"] = snr
        log(f"{len(measured)} problems of {len(measured[0][1])} groups of {size}; uniform draws: {snr:.3g}")


def read_responses(args: argparse.Namespace) -> "dict[str, list[Response]]":
    """The responses of every problem with their verdicts, but for the first that are skipped."""
    from mmr1.data import contracts
    from mmr1.grpo.single_gradients import by_problem

    tokens = pa.schema([contracts.ROLLOUTS.field(name) for name in ("problem_id", "rollout", "token_ids")])
    verdicts = pa.schema([contracts.REWARDS.field(name) for name in ("problem_id", "rollout", "accuracy")])
    judged = contracts.read(args.rewards, verdicts).to_pylist()
    rows = [row for path in args.rollouts for row in contracts.read(path, tokens).to_pylist()]
    rows = [row for row in rows if row["rollout"] >= args.skip]
    return by_problem(rows, {(row["problem_id"], row["rollout"]): row["accuracy"] for row in judged})


def group_size(responses: "dict[str, list[Response]]", problems: Container[str], wanted: int) -> int:
    """How many responses make a group: as many as wanted, or half of those that there are.

    Raises UserError for a problem that is not in the set, and unless all have as many responses, four or more.
    """
    if not responses:
        raise UserError(f"--rollouts: expected {FEWEST} responses to a problem, found none")
    count = max(len(of) for of in responses.values())
    for name, of in responses.items():
        if name not in problems or len(of) != count or count < FEWEST:
            raise UserError(
                f"--rollouts: {name}: expected {max(count, FEWEST)} responses to a known problem, found {len(of)}"
            )
    return min(wanted, count // 2)


def ways_to_draw(scores: list[str], ids: list[str], measured: list[str], mix: float) -> "list[Draw]":
    """Uniform draws first; by each file of scores NAME=FILE, `mix` of the batch and all of it."""
    from mmr1.grpo.signal_to_noise import Draw
    from mmr1.vas.read import read_scores

    draws = [Draw("uniform", 0.0, np.ones(len(measured)))]
    for text in scores:
        name, _, file = text.partition("=")
        vps = dict(zip(ids, read_scores(file, ids)["vps"].to_pylist(), strict=True))
        weights = np.array([vps[one] for one in measured])
        draws += [Draw(name, share, weights) for share in sorted({mix, 1.0} - {0.0})]
    return draws


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the checkpoint that sampled the responses, a Hugging Face folder")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--rollouts", type=Path, nargs="+", required=True, help="its responses: two groups or more to each problem")
    add("--rewards", type=Path, required=True, help="their verdicts")
    add("--skip", type=int, default=0, metavar="N", help="leave out the first N responses to each problem")
    add("--scores", nargs="+", default=[], metavar="NAME=FILE", help="scores to draw by, from other responses")
    add("--system-prompt", type=Path, help="a text file")
    add("--threads", type=int, default=1, help="CPU threads; results depend on it in the last bits")
    add("--out", type=Path, required=True, help="CSV: a row per way of drawing and kind of advantage")
    add_settings_arguments(parser, SignalSettings)
    add_job_arguments(parser)
    args = parser.parse_args()
    if wrong := [text for text in args.scores if "=" not in text]:
        raise UserError(f"--scores: expected NAME=FILE, found {wrong[0]!r}")
    return args


if __name__ == "__main__":
    run(main)
