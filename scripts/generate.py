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
from mmr1.data.prompts import PromptEncoder
from mmr1.models import determinism
from mmr1.models.checkpoints import load_processor
from mmr1.models.family import family_file
from mmr1.plumbing.disk import check_room, responses_bytes
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import track
from mmr1.plumbing.record import Job, add_job_arguments, job
from mmr1.plumbing.settings import read_text
from mmr1.rollout.engines import Limits
from mmr1.rollout.make import make_engine
from mmr1.rollout.requests import Engine, Rollout, Sampling, group_requests
from mmr1.rollout.settings import GenerateSettings


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, GenerateSettings)
    inputs = {"model": args.model, "problems": args.problems, "system_prompt": args.system_prompt}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        torch.set_num_threads(args.threads)
        if settings.deterministic:
            determinism.require_determinism()
        disable_progress_bar()
        problems = read_problems(args.problems, allow_empty_answer=args.purpose == "eval")
        check_room({args.out: responses_bytes(len(problems) * settings.n, settings.max_tokens) / args.shard[1]})
        encoder = PromptEncoder(
            load_processor(args.model),
            read_text(args.system_prompt),
            settings.prompt_position,
            settings.min_pixels,
            settings.max_pixels,
        )
        work.plugins.append(family_file(args.model))
        images = max(1, *(len(problem.images) for problem in problems))
        limits = Limits(images, settings.max_tokens, settings.max_prompt_tokens)
        engine = make_engine(settings.engine, args.model, encoder, limits)
        try:
            generate(args, settings, engine, shard_blocks(problems, settings.block_size, args.shard), work)
            work.notes.update(
                engine.notes(), **determinism.notes(), threads=torch.get_num_threads(), torch=torch.__version__
            )
        finally:
            engine.close()


def generate(
    args: argparse.Namespace, settings: GenerateSettings, engine: Engine, blocks: list[list[Problem]], work: Job
) -> None:
    """Sample block by block into the table, and leave counts and rates in the job's metrics."""
    sampling = Sampling(settings.temperature, settings.max_tokens, settings.top_p)
    rollouts = tokens = truncated = 0
    start = time.monotonic()
    with contracts.writer(args.out, contracts.ROLLOUTS) as table:
        for block in track(blocks, "blocks of problems"):
            requests = [
                request
                for problem in block
                for request in group_requests(problem, settings.n, args.seed, args.purpose, args.round)
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
    add("--seed", type=int, required=True, help="run seed")
    add("--system-prompt", type=Path, help="text file (default: no system prompt)")
    add("--shard", type=parse_shard, default=(0, 1), metavar="I/K", help="the I-th of K parts, from 0 (default: 0/1)")
    add("--purpose", choices=("vps", "eval"), default="vps", help="part of the seeds (default: vps)")
    add("--round", type=int, default=0, help="part of the seeds (default: 0)")
    add("--threads", type=int, default=1, help="CPU threads; floats, hence results, depend on it (default: 1)")
    add_settings_arguments(parser, GenerateSettings)
    add_job_arguments(parser)
    args = parser.parse_args()
    for name in ("seed", "round"):
        if not 0 <= getattr(args, name) < 2**63:
            raise UserError(f"--{name}: expected a number in [0, 2^63), found {getattr(args, name)}")
    if args.threads < 1:
        raise UserError(f"--threads: expected at least 1, found {args.threads}")
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
