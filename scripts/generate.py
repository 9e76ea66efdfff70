"""Sample n responses to every problem with a checkpoint: rollouts for scoring (VPS) or predictions for a benchmark.

A rollouts table comes out, one row group a block of problems. Blocks are cut from the problems in their order, so that
the shards of any K, concatenated, are the table that one job makes. `transformers` forms its batches inside a block;
vLLM is never left idle before the last. A response's seed is derived from (--seed, --purpose, --round, problem id, its
index): no draw depends on another. Blocks are kept in --work as they are done, and a job that was killed goes on there.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers.utils.logging import disable_progress_bar

from mmr1.data import contracts
from mmr1.data.chat import read_prompt
from mmr1.data.problems import Problem, read_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.models import determinism
from mmr1.models.checkpoints import check_checkpoint, load_processor
from mmr1.models.family import family_file
from mmr1.plumbing.code import code_digest
from mmr1.plumbing.disk import bytes_under, check_room, responses_bytes
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import track
from mmr1.plumbing.record import Job, add_job_arguments, job
from mmr1.plumbing.settings import numbers, plugin_files
from mmr1.plumbing.work_folder import WorkFolder
from mmr1.rollout.blocks import Blocks
from mmr1.rollout.engines import Limits
from mmr1.rollout.make import make_engine
from mmr1.rollout.requests import Engine, Rollout, Sampling, generate_blocks, group_requests
from mmr1.rollout.settings import GenerateSettings


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, GenerateSettings)
    inputs = {"model": args.model, "problems": args.problems, "system_prompt": args.system_prompt}
    folder = WorkFolder(args.work or args.out.with_name(f"{args.out.name}.work"))
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        folder.hold(apart_from=[*inputs.values(), args.out, args.record])
        try:
            check_checkpoint(args.model)
            work.plugins.append(family_file(args.model))
            torch.set_num_threads(args.threads)
            if settings.deterministic:
                determinism.require_determinism()
            disable_progress_bar()
            generate(args, settings, folder.folder, work)
        finally:
            folder.leave()
    folder.remove()  # only now: until the record is written the job may have to be run again


def generate(args: argparse.Namespace, settings: GenerateSettings, folder: Path, work: Job) -> None:
    """Sample the blocks that are not in `folder` yet, and write all into the table."""
    problems = read_problems(args.problems, allow_empty_answer=args.purpose == "eval")
    shard = shard_blocks(problems, settings.block_size, args.shard)
    blocks = Blocks(folder, identify(args, settings, work), {n: settings.n * len(block) for n, block in shard.items()})
    room = responses_bytes(sum(blocks.rows.values()), settings.max_tokens)
    check_room({args.out: room, folder: room - bytes_under(folder)})
    done = blocks.finished()
    if missing := {number: block for number, block in shard.items() if number not in done}:
        seconds, tokens = time.monotonic(), 0
        engine = engine_of(args, settings, problems)
        try:
            for number, rollouts in sampled(args, settings, engine, missing):
                blocks.add(number, as_table(rollouts), engine.notes())
                tokens += sum(len(rollout.token_ids) for rollout in rollouts)
        finally:
            engine.close()
        work.metrics["tokens_per_second"] = tokens / (time.monotonic() - seconds)
    work.metrics |= blocks.join(args.out)
    work.notes |= {
        **blocks.notes(),
        **determinism.notes(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def identify(args: argparse.Namespace, settings: GenerateSettings, work: Job) -> dict[str, Any]:
    """What the job computes: blocks are used only by a job that agrees in all of it, whatever its shard."""
    return {
        "settings": numbers(settings),
        "inputs": work.inputs,
        "code": code_digest("generate", [*plugin_files(settings), *work.plugins]),
        **{name: getattr(args, name) for name in ("seed", "purpose", "round", "threads")},
    }


def engine_of(args: argparse.Namespace, settings: GenerateSettings, problems: Sequence[Problem]) -> Engine:
    """The engine of the settings, ready for all problems."""
    encoder = PromptEncoder(
        load_processor(args.model),
        read_prompt(args.system_prompt),
        settings.prompt_position,
        settings.min_pixels,
        settings.max_pixels,
    )
    images = max(1, *(len(problem.images) for problem in problems))
    limits = Limits(images, settings.max_tokens, settings.max_prompt_tokens)
    return make_engine(settings.engine, args.model, encoder, limits)


def sampled(
    args: argparse.Namespace, settings: GenerateSettings, engine: Engine, blocks: Mapping[int, Sequence[Problem]]
) -> Iterator[tuple[int, list[Rollout]]]:
    """The rollouts of each block, as they are done."""
    requests = {
        number: [
            request
            for problem in block
            for request in group_requests(problem, settings.n, args.seed, args.purpose, args.round)
        ]
        for number, block in blocks.items()
    }
    sampling = Sampling(settings.temperature, settings.max_tokens, settings.top_p)
    return track(generate_blocks(engine, requests, sampling), "blocks of problems", len(blocks))


def shard_blocks(problems: Sequence[Problem], size: int, shard: tuple[int, int]) -> dict[int, Sequence[Problem]]:
    """The blocks of shard I of K, by their numbers: whole blocks, in order, as evenly as they go; none beyond them."""
    count = -(-len(problems) // size)
    index, shards = shard
    numbers = range(count * index // shards, count * (index + 1) // shards)
    return {number: problems[number * size : (number + 1) * size] for number in numbers}


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
    add("--work", type=Path, help="where finished blocks are kept until all are (default: --out with .work behind)")
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
