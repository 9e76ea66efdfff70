"""Curate a pool by how hard it is for a model (§5): conversations for SFT, and a balanced set for RL.

    python scripts/curate.py --problems pool.parquet --rollouts 0.parquet 1.parquet --rewards rewards.parquet \\
        --problems-out problems.parquet --sft-out sft.parquet --difficulty-out difficulty.parquet

The rollouts are N responses of the model to each problem, and the rewards their verdicts, as `score_vps.py` writes
them. The results are files that a recipe takes as its own data.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.conversations import conversation_writer
from mmr1.data.curation import CURATED, Judged, balanced, chains, difficulty
from mmr1.data.problems import iter_blocks, problem_rows
from mmr1.data.settings import CurationSettings
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job

ROWS_AT_A_TIME = 64


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, CurationSettings)
    inputs = {name: getattr(args, name) for name in ("problems", "rollouts", "rewards")}
    outputs = {name: getattr(args, name) for name in ("problems_out", "sft_out", "difficulty_out")}
    with job(args, inputs=inputs, outputs=outputs, settings=settings) as work:
        judged = judged_problems(args.problems, args.rewards, settings)
        chosen = balanced(judged, settings, args.seed)
        wanted = {one.id: chains(one, settings) for one in judged}
        said = responses(args.rollouts, wanted)
        kept = 0
        with (
            contracts.writer(args.problems_out, contracts.PROBLEMS) as rl,
            conversation_writer(args.sft_out) as add,
        ):
            for block in iter_blocks(args.problems, ROWS_AT_A_TIME):
                if own := [one for one in block if one.id in chosen]:
                    rl.write_table(pa.Table.from_pylist(problem_rows(own), schema=contracts.PROBLEMS))
                for one in block:
                    for rollout in wanted[one.id]:
                        add(replace(one, id=f"{one.id}/{rollout}"), said[one.id, rollout])
                        kept += 1
            if not chosen:
                asked = " or ".join(settings.rl_difficulties)
                raise UserError(f"{args.rewards}: expected a problem that is {asked} for RL, found none")
        if not kept:
            log(f"warning: {args.sft_out}: empty: no problem that is medium or hard has a right response")
        contracts.write(args.difficulty_out, [row(one, settings, one.id in chosen) for one in judged], CURATED)
        counts = Counter(difficulty(one.pass_rate, settings) for one in judged)
        types = Counter(str(one.type) for one in judged if one.id in chosen)
        work.metrics |= {"rl": float(len(chosen)), "sft": float(kept)}
        work.metrics |= {name: float(counts[name]) for name in ("easy", "medium", "hard")}
        work.notes["rl_by_type"] = dict(sorted(types.items()))
        log(f"{len(judged)} problems: {dict(counts)}; {kept} conversations for SFT, {len(chosen)} problems for RL")


def judged_problems(problems: Path, rewards: Path, settings: CurationSettings) -> list[Judged]:
    """The pool in its order, with its verdicts. Raises UserError for a problem that has none."""
    right: dict[str, list[int]] = {}
    count: Counter[str] = Counter()
    for table in contracts.iter_row_groups(rewards, contracts.REWARDS):
        for verdict in table.select(["problem_id", "rollout", "accuracy"]).to_pylist():
            count[verdict["problem_id"]] += 1
            if verdict["accuracy"] == 1:
                right.setdefault(verdict["problem_id"], []).append(verdict["rollout"])
    names = pa.schema([contracts.PROBLEMS.field(name) for name in ("id", "metadata")])
    judged = []
    for one in contracts.read(problems, names).to_pylist():
        if not count[one["id"]]:
            raise UserError(f"{rewards}: expected verdicts of {one['id']!r}, found none")
        kind = row_type(one["metadata"], settings.type_key)
        judged.append(Judged(one["id"], kind, count[one["id"]], tuple(sorted(right.get(one["id"], [])))))
    return judged


def row_type(metadata: str, key: str) -> str | None:
    """A problem's type, from its metadata."""
    said = json.loads(metadata).get(key)
    return None if said is None or not str(said).strip() else str(said)


def responses(paths: list[Path], wanted: dict[str, tuple[int, ...]]) -> dict[tuple[str, int], str]:
    """The texts of the rollouts that are wanted."""
    said: dict[tuple[str, int], str] = {}
    for path in paths:
        for table in contracts.iter_row_groups(path, contracts.ROLLOUTS):
            for one in table.select(["problem_id", "rollout", "text"]).to_pylist():
                if one["rollout"] in wanted.get(one["problem_id"], ()):
                    said[one["problem_id"], one["rollout"]] = one["text"]
    for name, rollouts in wanted.items():
        if missing := [rollout for rollout in rollouts if (name, rollout) not in said]:
            raise UserError(f"{paths[0]}: expected rollout {missing[0]} of {name!r}, as its verdict says, found none")
    return said


def row(one: Judged, settings: CurationSettings, rl: bool) -> dict[str, Any]:
    """What is said of a problem of the pool."""
    return {
        "problem_id": one.id,
        "type": one.type,
        "n": one.n,
        "pass_rate": one.pass_rate,
        "difficulty": difficulty(one.pass_rate, settings),
        "chains": len(chains(one, settings)),
        "rl": rl,
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--problems", type=Path, required=True, help="problems.parquet: the pool")
    add("--rollouts", type=Path, nargs="+", required=True, help="responses to them, any number of shards")
    add("--rewards", type=Path, required=True, help="the verdicts of these responses")
    add("--problems-out", type=Path, required=True, help="the RL set to write: problems.parquet")
    add("--sft-out", type=Path, required=True, help="conversations to write, Parquet")
    add("--difficulty-out", type=Path, required=True, help="what each problem of the pool is, to write, Parquet")
    add("--seed", type=int, default=0)
    add_settings_arguments(parser, CurationSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
