"""The train phase of a GRPO step at the paper's shape, counted: what a step computes and sends, before and after.

    python performance/train_phase.py [--problems 512] [--rollouts 8] [--ranks 8] [--budget 16384]

One mini-batch of problems with one image each, of 448 × 672 to 1,008 × 1,008 pixels, and responses of lognormal length
(median 650 tokens, σ 0.7, cut at 4,096). Nothing is trained: layouts are planned, attention calls are counted in a
narrow tower with the windows of Qwen2.5-VL-3B's, and messages are pickled. Seconds are not estimated.

"Before" is the plain way: a row for each response, a call for each window, and groups sent whole.
"""

import argparse
import io
import pickle
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration  # noqa: E402
from transformers.vision_utils import get_vision_window_index  # noqa: E402

from gpu_check import TEXT_TOY, VISION_3B  # noqa: E402
from mmr1.data.problems import Problem  # noqa: E402
from mmr1.grpo.batching import Row, Sample, deal, plan  # noqa: E402
from mmr1.grpo.experience import Entry, Group  # noqa: E402
from mmr1.grpo.judging import Judged  # noqa: E402
from mmr1.grpo.sampling import Found  # noqa: E402
from mmr1.models import vision_attention  # noqa: E402
from mmr1.models.family import family_of  # noqa: E402
from mmr1.rollout.requests import Rollout  # noqa: E402

IMAGES = ((448, 672), (672, 672), (728, 1008), (1008, 1008))  # height and width in pixels
PATCH, TOKEN = 14, 28  # pixels of a side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=512)
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--budget", type=int, default=16_384, help="tokens of a micro-batch")
    args = parser.parse_args()
    samples = made_up_samples(args.problems, args.rollouts)
    print(f"{args.problems} problems × {args.rollouts} rollouts on {args.ranks} ranks, budget {args.budget} tokens")
    print_layouts(samples, args)
    print_attention_calls()
    print_messages(samples, args)


def made_up_samples(problems: int, rollouts: int) -> list[Sample]:
    generator = np.random.default_rng(0)
    samples = []
    for group in range(problems):
        height, width = IMAGES[group % len(IMAGES)]
        prompt = height * width // TOKEN**2 + int(generator.integers(80, 300))
        lengths = np.minimum(4096, generator.lognormal(np.log(650), 0.7, rollouts)).astype(int) + 1
        samples += [Sample(group, prompt, torch.ones(int(length), dtype=torch.long)) for length in lengths]
    return samples


def print_layouts(samples: list[Sample], args: argparse.Namespace) -> None:
    print("\nlayout             tokens    padding  image passes  micro-batches  most of a rank over mean")
    plain = plan(samples, args.budget, share_prompts=False)
    ways = {
        "a row a response": (plain, False),
        "the same, packed": (plan(samples, args.budget, share_prompts=False, packed=True), True),
        "shared": (plan(samples, args.budget, share_prompts=True), False),
        "shared, packed": (plan(samples, args.budget, share_prompts=True, packed=True), True),
    }
    before = sum(padded(batch, False) for batch in plain)
    for name, (batches, packed) in ways.items():
        tokens = sum(padded(batch, packed) for batch in batches)
        real = sum(row.length for batch in batches for row in batch)
        passes = sum(len({row.group for row in batch}) for batch in batches)
        loads = [
            sum(padded(batches[index], packed) for index, counts in deal(len(batches), rank, args.ranks) if counts)
            for rank in range(args.ranks)
        ]
        balance = max(loads) / (sum(loads) / len(loads))
        print(
            f"{name:<16} {tokens:>10,} {1 - real / tokens:>9.1%} {passes:>13,} {len(batches):>14,} {balance:>10.3f}"
            f"   {tokens / before - 1:+.0%} tokens"
        )


def padded(batch: list[Row], packed: bool) -> int:
    """The tokens that a micro-batch computes; a packed line is a multiple of 128."""
    if packed:
        return -(-sum(row.length for row in batch) // 128) * 128
    return max(row.length for row in batch) * len(batch)


def print_attention_calls() -> None:
    """Of the vision tower, for one image and pass: by the number of windows, and counted."""
    calls = []

    def count(query: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        calls.append(query.shape)
        return query

    attend, vision_attention.scaled_dot_product_attention = vision_attention.scaled_dot_product_attention, count  # type: ignore[assignment]
    narrow = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    text = TEXT_TOY | {"pad_token_id": 0}
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=VISION_3B | narrow))
    vision_attention.use_vision_attention(model)
    print("\nattention calls of the vision tower, an image and pass")
    for height, width in IMAGES:
        grid = torch.tensor([[1, height // PATCH, width // PATCH]])
        _, bounds = get_vision_window_index(grid, 2, VISION_3B["window_size"], PATCH)
        full = len(VISION_3B["fullatt_block_indexes"])
        before = (len(bounds) - 1) * (VISION_3B["depth"] - full) + full
        calls.clear()
        with torch.no_grad():
            family_of(model.config).image_features(model, torch.zeros(int(grid.prod()), 3 * 2 * PATCH**2), grid)
        print(f"{height:>5} × {width:<5} {before:>6,} before, {len(calls):>4} after")
    vision_attention.scaled_dot_product_attention = attend


def print_messages(samples: list[Sample], args: argparse.Namespace) -> None:
    """What one rank sends to the others of a step's groups: 16 problems are pickled, and stand for all."""
    generator = np.random.default_rng(1)
    whole, slim, shown = 0, 0, 16
    for group in range(shown):
        height, width = IMAGES[group % len(IMAGES)]
        buffer = io.BytesIO()
        # Smooth, as figures and photographs are: noise would not compress.
        coarse = Image.fromarray(generator.integers(0, 256, (height // 14, width // 14, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, format="PNG")
        problem = Problem(f"problem-{group:06d}", "bench", "<image>What is it?", (buffer.getvalue(),), "1")
        rollouts = []
        for index, sample in enumerate(one for one in samples if one.group == group):
            length = len(sample.response)
            ids = np.ones(length, np.int32)
            rollouts.append(
                Rollout(problem.id, index, index, ids, "word" * length, "stop", np.zeros(length, np.float32))
            )
        judged = [Judged({"format": 1.0, "accuracy": 1.0}, {"extracted": "1", "reason": "equal"})] * len(rollouts)
        whole += len(pickle.dumps(Group(Entry(group, problem), rollouts, judged)))
        slim += len(pickle.dumps(Found(group, samples[0].prompt_tokens, rollouts, judged)))
    scale = args.problems / shown / 2**20
    print(f"\nsent among ranks, a step: {whole * scale:,.1f} MiB before, {slim * scale:,.1f} MiB after "
          f"({slim / shown / args.rollouts:,.0f} bytes a rollout)")  # fmt: skip


if __name__ == "__main__":
    main()
