"""The train phase of a GRPO step on a GPU, at Qwen2.5-VL-3B's real shape with random weights; ours, and TRL's loss.

    python performance/gpu_grpo.py [--tokens 1024 4096] [--problems 4] [--smoke]

Responses of 1k to 4k tokens behind prompts with one image of 448×672 to 1,008×1,008 pixels; bf16, gradient
checkpointing, ZeRO-2, a frozen reference. Prints tokens per second, model FLOP utilisation and peak memory for each
length. Model FLOPs are 6 per weight and token for the policy, 2 for the reference, plus attention (causal: half of the
square), for the vision tower by patch and for the head by response token; work that is done twice (gradient
checkpointing) counts once. Where there is no GPU it says so; `--smoke` runs the same code at a toy shape on the CPU.
"""

import argparse
import gc
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

# Dense bf16 peak, FLOP a second, as the vendor states it.
PEAKS = {"H200": 989e12, "H100": 989e12, "H800": 989e12, "A100": 312e12, "B200": 2250e12}

# Qwen2.5-VL-3B-Instruct's config.json.
TEXT_3B = {
    **{"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16},
    **{"num_key_value_heads": 2, "vocab_size": 151_936, "max_position_embeddings": 128_000, "rms_norm_eps": 1e-6},
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
VISION_3B = {
    **{"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048},
    **{"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112},
    **{"fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2},
}
TEXT_TOY = TEXT_3B | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT_TOY |= {"num_key_value_heads": 1, "vocab_size": 1024}
TEXT_TOY["rope_parameters"] = TEXT_3B["rope_parameters"] | {"mrope_section": [4, 6, 6]}
VISION_TOY = VISION_3B | {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2}
VISION_TOY |= {"out_hidden_size": 64, "fullatt_block_indexes": [1]}


# Response length to tokens and model FLOPs of one update.
Work = dict[int, tuple[int, float]]


@dataclass(frozen=True)
class Shape:
    """What to build, and the sizes of images (height, width) in pixels."""

    text: dict[str, Any]
    vision: dict[str, Any]
    images: tuple[tuple[int, int], ...]
    precision: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 2048, 4096], help="response lengths")
    parser.add_argument("--problems", type=int, default=4, help="problems of eight rollouts per step")
    parser.add_argument("--micro-batch-tokens", type=int, default=16_384)
    parser.add_argument("--smoke", action="store_true", help="a toy shape on the CPU, to see that this runs")
    args = parser.parse_args()

    import torch

    if args.smoke:
        args.tokens, args.problems = [64], 2
        shape = Shape(TEXT_TOY, VISION_TOY, ((56, 84), (84, 84)), "fp32")
    elif torch.cuda.is_available():
        images = ((448, 672), (672, 672), (728, 1008), (1008, 1008))
        shape = Shape(TEXT_3B, VISION_3B, images, "bf16")
    else:
        print("no GPU here: nothing measured (--smoke runs the same code on the CPU)")
        return
    with tempfile.TemporaryDirectory() as folder:
        model = build(Path(folder) / "model", shape)
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        peak = next((value for key, value in PEAKS.items() if key in name), None)
        print(f"{name}, {shape.precision}, {args.problems} problems of 8 rollouts, seconds of one update")
        work = measure_ours(model, shape, args, peak)
        gc.collect()
        measure_trl(model, shape, args, work, peak)


def build(folder: Path, shape: Shape) -> Path:
    """A checkpoint of random weights with the tiny tokenizer, whose ids are the first of the vocabulary."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from mmr1.models.family import family

    processor = family("qwen2_5_vl").tiny_processor()
    processor.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": 1_048_576}
    token = processor.tokenizer.convert_tokens_to_ids
    dtype = torch.bfloat16 if shape.precision == "bf16" else torch.float32
    config = Qwen2_5_VLConfig(
        text_config=shape.text | {"pad_token_id": token("<|endoftext|>"), "eos_token_id": token("<|im_end|>")},
        vision_config=shape.vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype=dtype,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).to(dtype)
    model.generation_config = GenerationConfig(eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>"))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def measure_ours(folder: Path, shape: Shape, args: argparse.Namespace, peak: float | None) -> Work:
    from mmr1.data.prompts import PromptEncoder
    from mmr1.grpo import distributed
    from mmr1.grpo.learner import Learner
    from mmr1.grpo.policy import Policy, Reference
    from mmr1.grpo.settings import GRPOSettings
    from mmr1.models.action_space import suppressed_tokens
    from mmr1.plumbing.files import read_json

    settings = GRPOSettings.model_validate(
        {
            **{"group_size": 8, "mini_batch_size": args.problems, "precision": shape.precision},
            **{"micro_batch_tokens": args.micro_batch_tokens, "min_pixels": None, "max_pixels": None},
        }
    )
    ranks = distributed.join()
    zero2 = read_json(ROOT / "config" / "deepspeed" / "zero2.json")
    policy = Policy(folder, settings, [], zero2)
    suppressed = suppressed_tokens(policy.processor.tokenizer, policy.hf.config)
    reference = Reference(folder, settings, suppressed, policy)
    learner = Learner(settings, policy, reference, PromptEncoder(policy.processor), ranks, folder / "failure")
    work: Work = {}
    for tokens in args.tokens:
        groups = made_up(args.problems, 8, tokens, shape)
        learner.learn(0, groups)  # the first one compiles and allocates
        seconds = timed(lambda groups=groups: learner.learn(1, groups), ranks.device)
        work[tokens] = flops(learner, groups, shape)
        report("ours", seconds, tokens, work[tokens], peak, ranks.device)
    return work


def measure_trl(folder: Path, shape: Shape, args: argparse.Namespace, work: Work, peak: float | None) -> None:
    """TRL's loss on the same rollouts: one sequence per micro-batch, as its padding of a long-tailed batch asks for."""
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError:
        print("TRL is not installed: not measured")
        return
    import torch
    from datasets import Dataset
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    from mmr1.data.prompts import PromptEncoder

    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if shape.precision == "bf16" else torch.float32
    arguments = GRPOConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=8,
        num_generations=8,
        loss_type="bnpo",
        beta=0.01,
        temperature=0.6,
        use_bias_correction_kl=False,
        gradient_checkpointing=True,
        bf16=shape.precision == "bf16",
        use_cpu=not cuda,
        report_to=[],
    )
    trainer = GRPOTrainer(
        Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": "unused"}] * 8),
    )
    device = trainer.accelerator.device
    model, reference = trainer.model.to(device).train(), trainer.ref_model.to(device).eval()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    trainer.current_gradient_accumulation_steps = args.problems * 8
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))

    def step(groups: list[Any]) -> None:
        for group in groups:
            prompt = encoder.encode(group.entry.problem)
            for index, rollout in enumerate(group.rollouts):
                inputs = trl_inputs(prompt, rollout, float(index % 2), model.config.image_token_id, device)
                ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
                images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "num_images")}
                images["mm_token_type_ids"] = inputs["mm_token_type_ids"]
                with torch.no_grad():
                    inputs["ref_per_token_logps"] = trainer._get_per_token_logps_and_entropies(
                        reference, ids, torch.ones_like(ids), len(rollout.token_ids), **images
                    )[0]
                trainer._compute_loss(model, inputs).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for tokens in args.tokens:
        groups = made_up(args.problems, 8, tokens, shape)
        step(groups)
        seconds = timed(lambda groups=groups: step(groups), device)
        report("TRL", seconds, tokens, work[tokens], peak, device)


def trl_inputs(prompt: Any, rollout: Any, advantage: float, image_token: int, device: Any) -> dict[str, Any]:
    """One rollout as TRL's loss wants it."""
    import torch

    completion = torch.from_numpy(rollout.token_ids).long()[None].to(device)
    ids = prompt.input_ids[None].to(device)
    kinds = (torch.cat([ids, torch.zeros_like(completion)], dim=1) == image_token).int()
    return {
        **{"prompt_ids": ids, "prompt_mask": torch.ones_like(ids)},
        **{"completion_ids": completion, "completion_mask": torch.ones_like(completion)},
        "advantages": torch.tensor([advantage], device=device),
        **{"pixel_values": prompt.pixel_values.to(device), "image_grid_thw": prompt.image_grid_thw.to(device)},
        **{"num_images": [len(prompt.image_grid_thw)], "mm_token_type_ids": kinds},
    }


def made_up(problems: int, n: int, tokens: int, shape: Shape) -> list[Any]:
    """Groups of random tokens, of half to the whole length, and random verdicts; one image per problem."""
    import io

    import numpy as np
    from PIL import Image

    from mmr1.data.problems import Problem
    from mmr1.grpo.experience import Entry, Group
    from mmr1.grpo.judging import Judged
    from mmr1.rollout.requests import Rollout

    generator = np.random.default_rng(tokens)
    groups = []
    for slot in range(problems):
        height, width = shape.images[slot % len(shape.images)]
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, format="PNG")
        problem = Problem(f"bench-{slot}", "bench", "<image>" + "What is it? " * 20, (buffer.getvalue(),), "1")
        rollouts = []
        for index in range(n):
            length = int(generator.integers(tokens // 2, tokens + 1))
            ids = generator.integers(20, 100, length).astype(np.int32)
            rollouts.append(Rollout(problem.id, index, index, ids, "", "length", np.zeros(length, np.float32)))
        rewards = [{"format": 1.0, "accuracy": float(generator.random() < 0.5)} for _ in range(n)]
        judged = [Judged(earned, {"extracted": None, "reason": "words"}) for earned in rewards]
        groups.append(Group(Entry(slot, problem), rollouts, judged))
    return groups


def timed(function: Any, device: Any) -> float:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def flops(learner: Any, groups: list[Any], shape: Shape) -> tuple[int, float]:
    """Tokens (prompts and responses) and model FLOPs of one update with its reference."""
    text, vision = shape.text, shape.vision
    layers, width = text["num_hidden_layers"], text["hidden_size"]
    model = learner.policy.hf.model
    body = sum(p.numel() for name, p in model.language_model.named_parameters() if "embed_tokens" not in name)
    tower = sum(p.numel() for p in model.visual.parameters())
    passes, tokens, total = 6 + 2, 0, 0.0
    for group in groups:
        prompt = learner.encoder.encode(group.entry.problem)
        patches = 0 if prompt.pixel_values is None else len(prompt.pixel_values)
        for rollout in group.rollouts:
            length = len(prompt.input_ids) + len(rollout.token_ids)
            tokens += length
            total += passes * (body * length + tower * patches + text["vocab_size"] * width * len(rollout.token_ids))
            # Scores and sums over values, each 2·T²·width a layer and pass forward, halved by causality.
            total += passes * layers * length**2 * width
            total += passes * len(vision["fullatt_block_indexes"]) * 2 * patches**2 * vision["hidden_size"]
    return tokens, total


def report(name: str, seconds: float, longest: int, work: tuple[int, float], peak: float | None, device: Any) -> None:
    import torch

    tokens, total = work
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    used = "" if peak is None else f", MFU {100 * total / seconds / peak:.1f}%"
    speed = f"{tokens / seconds:,.0f} tokens/s{used}"
    print(f"{name:>5}, responses to {longest}: {seconds:.2f} s, {speed}, peak {memory:.1f} GiB", flush=True)


if __name__ == "__main__":
    main()
