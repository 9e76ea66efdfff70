"""Sample n responses to every problem with a checkpoint: rollouts for scoring (VPS) or predictions for a benchmark.

A rollouts table comes out, one row group a block of problems. Blocks are cut from the problems in their order, and
batches are formed inside a block, so that the shards of any K, concatenated, are the table that one job makes. A
response's seed is derived from (--seed, --purpose, --round, problem id, its index): no draw depends on another.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers.utils.logging import disable_progress_bar

from mmr1.data import contracts
from mmr1.data.problems import Problem, read_problems
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.progress import track
from mmr1.plumbing.record import Job, add_job_arguments, job
from mmr1.rollout.arguments import (
    add_engine_arguments,
    add_prompt_arguments,
    check,
    check_at_least_one,
    check_shared_arguments,
    encoder_of,
    engine_of,
)
from mmr1.rollout.requests import Engine, Rollout, Sampling, group_requests


def main() -> None:
    args = parse_arguments()
    inputs = {"model": args.model, "problems": args.problems, "system_prompt": args.system_prompt}
    with job(args, inputs=inputs, outputs={"out": args.out}) as work:
        torch.set_num_threads(args.threads)
        disable_progress_bar()
        problems = read_problems(args.problems)
        encoder = encoder_of(args)
        engine = engine_of(args, encoder, max_images=max(1, *(len(problem.images) for problem in problems)))
        try:
            generate(args, engine, shard_blocks(problems, args.block_size, args.shard), work)
            work.notes.update(engine.notes(), threads=torch.get_num_threads(), torch=torch.__version__)
        finally:
            engine.close()


def generate(args: argparse.Namespace, engine: Engine, blocks: list[list[Problem]], work: Job) -> None:
    """Sample block by block into the table, and leave counts and rates in the job's metrics."""
    sampling = Sampling(args.temperature, args.max_tokens, args.top_p)
    rollouts = tokens = truncated = 0
    start = time.monotonic()
    with contracts.writer(args.out, contracts.ROLLOUTS) as table:
        for block in track(blocks, "blocks of problems"):
            requests = [
                request
                for problem in block
                for request in group_requests(problem, args.n, args.seed, args.purpose, args.round)
            ]
            sampled = engine.generate(requests, sampling)
            table.write_table(as_table(sampled))
            rollouts += len(sampled)
            tokens += sum(len(rollout.token_ids) for rollout in sampled)
            truncated += sum(rollout.finish_reason == "length" for rollout in sampled)
    seconds = time.monotonic() - start
    work.metrics.update(
        rollouts=rollouts,
        tokens=tokens,
        mean_tokens=tokens / max(1, rollouts),
        truncated=truncated / max(1, rollouts),
        tokens_per_second=tokens / seconds,
    )


def shard_blocks(problems: list[Problem], size: int, shard: tuple[int, int]) -> list[list[Problem]]:
    """The blocks of shard I of K: whole blocks, in order, as evenly as they go; none where K exceeds their number."""
    blocks = [problems[start : start + size] for start in range(0, len(problems), size)]
    index, count = shard
    return blocks[len(blocks) * index // count : len(blocks) * (index + 1) // count]


def as_table(rollouts: list[Rollout]) -> pa.Table:
    """Rollouts as rows of the rollouts table."""
    return pa.Table.from_pydict(
        {
            "problem_id": [rollout.problem_id for rollout in rollouts],
            "rollout": [rollout.rollout for rollout in rollouts],
            "seed": [rollout.seed for rollout in rollouts],
            "token_ids": [rollout.token_ids for rollout in rollouts],
            "text": [rollout.text for rollout in rollouts],
            "finish_reason": [rollout.finish_reason for rollout in rollouts],
            "logprob": [rollout.logprobs.mean(dtype=np.float64) for rollout in rollouts],
        },
        schema=contracts.ROLLOUTS,
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="checkpoint folder")
    add("--problems", type=Path, required=True, help="problems.parquet")
    add("--out", type=Path, required=True, help="rollouts table to write")
    add("--n", type=int, required=True, help="responses a problem")
    add("--temperature", type=float, required=True, help="0 takes the most likely token each time")
    add("--max-tokens", type=int, required=True, help="bound on a response")
    add("--seed", type=int, required=True, help="run seed")
    add("--top-p", type=float, default=1.0, help="nucleus sampling (default: off)")
    add("--shard", type=parse_shard, default=(0, 1), metavar="I/K", help="the I-th of K parts, from 0 (default: 0/1)")
    add("--block-size", type=int, default=64, help="problems sampled at a time; shards are whole blocks (default: 64)")
    add("--purpose", choices=("vps", "eval"), default="vps", help="part of the seeds (default: vps)")
    add("--round", type=int, default=0, help="part of the seeds (default: 0)")
    add_prompt_arguments(parser)
    add_engine_arguments(parser)
    add_job_arguments(parser)
    args = parser.parse_args()
    check_at_least_one(args, "n", "max_tokens", "block_size")
    check_shared_arguments(args)
    for name in ("seed", "round"):
        check(name, getattr(args, name), 0 <= getattr(args, name) < 2**63, "a number in [0, 2^63)")
    check("temperature", args.temperature, 0 <= args.temperature < float("inf"), "0 or more")
    check("top_p", args.top_p, 0 < args.top_p <= 1, "a number in (0, 1]")
    return args


def parse_shard(text: str) -> tuple[int, int]:
    """ "I/K" as (I, K) with 0 ≤ I < K."""
    try:
        index, count = (int(part) for part in text.split("/"))
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise UserError(f"--shard: expected I/K with 0 <= I < K, such as 0/4, found {text}")
    return index, count


if __name__ == "__main__":
    run(main)
