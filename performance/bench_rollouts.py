"""Sampling 64 problems × 8 rollouts of a tiny model: our transformers engine, transformers' own generate, and vLLM.

    python performance/bench_rollouts.py [--max-tokens 24] [--no-vllm]

One CPU thread, random weights, the best of two runs each after a short one. Times are CPU seconds, which other work
does not stretch. `generate` gets each prompt once and `num_return_sequences`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import torch
from transformers.utils.logging import disable_progress_bar

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.action_space import suppressed_tokens
from mmr1.models.checkpoints import load_processor
from mmr1.models.tiny import TinyArchitecture, build
from mmr1.rollout.requests import Sampling, group_requests
from mmr1.rollout.transformers_engine import TransformersEngine
from mmr1.rollout.vllm_engine import VllmEngine

PROBLEMS, N = 64, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--no-vllm", action="store_true", help="leave vLLM out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    problems = digits.make_problems("bench", PROBLEMS, 0, digits.load(held_out=False))
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), TinyArchitecture(), seed=0)
        seconds = measure(Path(folder), problems, args.max_tokens, with_vllm=not args.no_vllm)
    print(f"{PROBLEMS} problems x {N} rollouts of at most {args.max_tokens} tokens, one thread, CPU seconds")
    for name, value in seconds.items():
        print(f"{name:>24}: {value:6.2f} s, {value / seconds['generate']:.2f} of generate")


def measure(folder: Path, problems: list[Problem], max_tokens: int, *, with_vllm: bool) -> dict[str, float]:
    """Seconds for all rollouts, by what sampled them."""
    encoder = PromptEncoder(load_processor(folder), "Think, then answer in \\boxed{}.")
    ours = TransformersEngine.from_folder(folder, encoder)
    requests = [request for problem in problems for request in group_requests(problem, N, 0, "bench")]
    seconds = {
        "generate": best(lambda length: own_generate(ours.model, encoder, problems, length), max_tokens),
        "our transformers engine": best(lambda length: ours.generate(requests, Sampling(1.0, length)), max_tokens),
    }
    if with_vllm:
        vllm = VllmEngine(folder, encoder, max_images=4, max_tokens=max_tokens, max_prompt_tokens=200)
        seconds["vllm"] = best(lambda length: vllm.generate(requests, Sampling(1.0, length)), max_tokens)
        vllm.close()
    return seconds


def best(sample: Callable[[int], Any], max_tokens: int) -> float:
    """The smaller of two runs' CPU seconds, after a run of two tokens."""
    sample(2)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        sample(max_tokens)
        seconds.append(time.process_time() - start)
    return min(seconds)


def own_generate(model: Any, encoder: PromptEncoder, problems: list[Problem], max_tokens: int) -> torch.Tensor:
    """The same work by transformers' generate, with the same suppressed tokens."""
    prompts = [encoder.encode(problem) for problem in problems]
    longest = max(len(prompt.input_ids) for prompt in prompts)
    tokenizer = encoder.processor.tokenizer
    ids = torch.stack(
        [
            torch.nn.functional.pad(p.input_ids, (longest - len(p.input_ids), 0), value=tokenizer.pad_token_id)
            for p in prompts
        ]
    )
    mask = torch.stack(
        [torch.nn.functional.pad(torch.ones_like(p.input_ids), (longest - len(p.input_ids), 0)) for p in prompts]
    )
    return model.generate(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=torch.cat([prompt.pixel_values for prompt in prompts]),
        image_grid_thw=torch.cat([prompt.image_grid_thw for prompt in prompts]),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
        do_sample=True,
        num_return_sequences=N,
        max_new_tokens=max_tokens,
        suppress_tokens=suppressed_tokens(tokenizer, model.config),
    )


if __name__ == "__main__":
    main()
