"""The arguments about prompts and engines that several programs share, and what is made of them."""

import argparse
from pathlib import Path

from mmr1.data.prompts import PromptEncoder
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.errors import UserError
from mmr1.rollout.make import ENGINES, make_engine
from mmr1.rollout.requests import Engine


def add_prompt_arguments(parser: argparse.ArgumentParser) -> None:
    """What a problem is shown as."""
    group = parser.add_argument_group("prompts")
    group.add_argument("--system-prompt", type=Path, help="text file (default: no system prompt)")
    group.add_argument("--prompt-position", choices=("system", "user"), default="system", help="where it goes")
    group.add_argument("--min-pixels", type=int, help="an image's least area (default: the checkpoint's)")
    group.add_argument("--max-pixels", type=int, help="an image's largest area (default: the checkpoint's)")
    group.add_argument("--max-prompt-tokens", type=int, help="refuse problems with longer prompts (default: no bound)")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """What samples, and how much of the machine it takes."""
    group = parser.add_argument_group("engine")
    add = group.add_argument
    add("--engine", choices=ENGINES, default="transformers", help="what samples (default: transformers)")
    add("--batch-size", type=int, default=512, help="responses decoded at a time (default: 512)")
    add("--threads", type=int, default=1, help="CPU threads; floats, hence results, depend on it (default: 1)")
    add("--tensor-parallel", type=int, default=1, help="GPUs a model is split over (vllm)")
    add("--gpu-memory-utilization", type=float, default=0.9, help="share of GPU memory to use (vllm)")
    add("--batch-invariant", action="store_true", help="kernels that do not depend on the batch (vllm, slower)")


def check(name: str, value: float, valid: bool, expected: str) -> None:
    """Raises UserError unless an argument's value is valid."""
    if not valid:
        raise UserError(f"--{name.replace('_', '-')}: expected {expected}, found {value}")


def check_at_least_one(args: argparse.Namespace, *names: str) -> None:
    """Raises UserError for an argument that is given and below 1."""
    for name in names:
        value = getattr(args, name)
        check(name, value, value is None or value >= 1, "at least 1")


def check_shared_arguments(args: argparse.Namespace) -> None:
    """Raises UserError for a value that the arguments above may not have."""
    check_at_least_one(
        args, "batch_size", "threads", "tensor_parallel", "min_pixels", "max_pixels", "max_prompt_tokens"
    )
    share = args.gpu_memory_utilization
    check("gpu_memory_utilization", share, 0 < share <= 1, "a number in (0, 1]")


def encoder_of(args: argparse.Namespace) -> PromptEncoder:
    """The prompt encoder for the checkpoint `args.model`. Raises UserError for an incomplete checkpoint."""
    prompt = None if args.system_prompt is None else args.system_prompt.read_text().strip()
    return PromptEncoder(load_processor(args.model), prompt, args.prompt_position, args.min_pixels, args.max_pixels)


def engine_of(args: argparse.Namespace, encoder: PromptEncoder, max_images: int) -> Engine:
    """The engine on the checkpoint `args.model`; responses have at most `args.max_tokens` tokens."""
    return make_engine(
        args.engine,
        args.model,
        encoder,
        max_images=max_images,
        max_tokens=args.max_tokens,
        max_prompt_tokens=args.max_prompt_tokens,
        batch_size=args.batch_size,
        tensor_parallel=args.tensor_parallel,
        gpu_memory_utilization=args.gpu_memory_utilization,
        batch_invariant=args.batch_invariant,
    )
