"""What one GPU does with this package, in ten minutes: speed, memory and equality of every part that runs on one.

    python performance/gpu_check.py [--parts machine vision …] [--out gpu_check.jsonl] [--quick | --smoke]

Alone on a bare machine: it needs this checkout, and torch, transformers, DeepSpeed, pydantic, pyarrow and Pillow; where
TRL or vLLM are not installed, those parts say so. The model has Qwen2.5-VL-3B's shape and random weights. Each part is
a process with a time limit: one that fails or hangs ends alone. Every number is a line of JSON in --out, with the
device and the versions, written when it is known; a table of all of them is printed at the end. `--quick` keeps four
layers and one length: in two minutes, what does not run at all. `--smoke` runs the same code at a toy shape on the CPU.

Model FLOPs are those of the mathematics, whatever computes them: an image counts once for each row that shows it in
training without sharing and once a group with it; windowed attention counts its windows; causal attention half of the
square; three times the forward pass for what is trained, once for the reference; recomputation counts nothing.
"""

import argparse
import gc
import hashlib
import io
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

BUDGET = 10 * 60  # seconds

# Dense bf16 peak, FLOP/s, as the vendor states it.
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

# Height and width in pixels: 676, 1,768 and 2,272 windows and blocks' calls at three of them (one call a window).
IMAGES = ((448, 672), (672, 672), (728, 1008), (1008, 1008))
PROBLEMS, GROUP = 4, 8  # of an update


@dataclass
class Check:
    """What a part is given: the shape, and where its numbers go."""

    part: str
    out: Path
    scratch: Path  # checkpoints, which parts share
    smoke: bool
    quick: bool = False
    text: dict[str, Any] = field(default_factory=dict)
    vision: dict[str, Any] = field(default_factory=dict)
    images: tuple[tuple[int, int], ...] = IMAGES
    precision: str = "bf16"
    variants: tuple[str, ...] = ()  # of `update`

    def __post_init__(self) -> None:
        if self.smoke:
            self.text, self.vision, self.images, self.precision = TEXT_TOY, VISION_TOY, ((56, 84), (84, 84)), "fp32"
        else:
            self.text, self.vision = dict(TEXT_3B), dict(VISION_3B)
        if self.quick:
            self.text["num_hidden_layers"] = 4

    def say(self, name: str, **numbers: Any) -> None:
        """Write one line of JSON, whole and at once."""
        line = {"part": self.part, "name": name, **numbers, **versions()}
        with self.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        shown = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in numbers.items()
        )
        print(f"{self.part}: {name}: {shown}", flush=True)

    def say_ended(self, name: str, problem: str) -> None:
        """A line for a process that ended before its time; this one asks no device for its name."""
        with self.out.open("a") as file:
            file.write(json.dumps({"part": self.part, "name": name, "error": problem}) + "\n")
        print(f"{self.part}: {name}: {problem}", flush=True)

    def halve(self) -> None:
        """Half of the layers, where the GPU has less than 100 GiB: a 3B and its optimizer fill 70 before any row."""
        import torch

        if not (self.smoke or self.quick) and torch.cuda.get_device_properties(0).total_memory < 100 * 2**30:
            self.text["num_hidden_layers"] //= 2


def versions() -> dict[str, str]:
    """What stands beside every number."""
    import torch
    import transformers

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=" ".join(PARTS))
    names = ", ".join(VARIANTS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME", help=names)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.jsonl"), help="lines are appended")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="four layers and one length, to see what does not run")
    size.add_argument("--smoke", action="store_true", help="a toy shape on the CPU, to see that this runs")
    args = parser.parse_args()
    if not args.smoke and not has_gpu():
        print("no GPU here: nothing measured (--smoke runs the same code on the CPU)")
        return
    with tempfile.TemporaryDirectory() as scratch:
        failed = run_parts(args, Path(scratch))
    print_table(args.out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run_parts(args: argparse.Namespace, scratch: Path) -> list[str]:
    """The parts that failed, each with what went wrong."""
    import torch  # noqa: F401  # imported once for all parts, which are forks; nothing here may start CUDA
    import transformers  # noqa: F401

    if args.smoke:
        import mmr1.grpo.learner  # noqa: F401  # DeepSpeed, which on a GPU machine may start CUDA
    start, failed = time.monotonic(), []
    for part in args.parts:
        left = BUDGET - (time.monotonic() - start)
        if left < 10:
            failed.append(f"{part} (no time left)")
            continue
        work, limit = PARTS[part]
        begun = time.monotonic()
        problem = alone(
            in_part,
            work,
            Check(part, args.out, scratch, args.smoke, args.quick, variants=tuple(args.variants)),
            limit=min(limit, left),
        )
        print(f"{part}: {time.monotonic() - begun:.0f} s{f', {problem}' if problem else ''}", flush=True)
        if problem:
            failed.append(f"{part} ({problem})")
    return failed


def has_gpu() -> bool:
    """Whether there is a GPU, asked without starting CUDA in this process, which is forked later."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    import torch

    return torch.cuda.is_available()


def alone(function: Callable[..., None], *arguments: Any, limit: float) -> str:
    """Run in a process of its own; what went wrong, or nothing."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return f"ended after {limit:.0f} s"
    return "" if process.exitcode == 0 else f"exit code {process.exitcode}"


def in_part(work: Callable[[Check], None], check: Check) -> None:
    try:
        work(check)
    except Exception as error:
        check.say("failed", error=f"{type(error).__name__}: {error}"[:2000])
        traceback.print_exc()
        sys.exit(1)


def print_table(path: Path) -> None:
    """Everything in the file, as a Markdown table."""
    print("\n| part | what | numbers | device, torch, transformers |\n| --- | --- | --- | --- |")
    for text in path.read_text().splitlines():
        line = json.loads(text)
        about = ", ".join(str(line.pop(key)) for key in ("device", "torch", "transformers") if key in line)
        part, name = line.pop("part"), line.pop("name")
        numbers = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in line.items()
        )
        print(f"| {part} | {name} | {numbers} | {about} |")


# The machine itself


def machine(check: Check) -> None:
    """The bf16 product and the copy that this device does at best, beside what its vendor states."""
    import torch

    device = where()
    size = 256 if check.smoke else 8192
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = median_seconds(lambda: left @ right, 20)
    check.say("bf16 product", size=size, tflops=2 * size**3 / seconds / 1e12, vendor_tflops=(vendor_peak() or 0) / 1e12)
    source = torch.empty(2**20 if check.smoke else 2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = median_seconds(lambda: target.copy_(source), 20)
    check.say("copy on the device", gigabytes_per_second=2 * source.nbytes / seconds / 1e9)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(0)
        check.say(
            "device",
            gibibytes=properties.total_memory / 2**30,
            capability=f"{properties.major}.{properties.minor}",
            multiprocessors=properties.multi_processor_count,
            cuda=torch.version.cuda,
        )


def where() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def vendor_peak() -> float | None:
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((value for key, value in PEAKS.items() if key in name), None)


def measured_peak() -> float:
    """FLOP/s of a large bf16 product, here and now."""
    import torch

    size = 8192 if torch.cuda.is_available() else 256
    left, right = (torch.randn(size, size, device=where(), dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: left @ right, 10)


def median_seconds(function: Callable[[], Any], times: int) -> float:
    """The median of some calls, after two that do not count."""
    function()
    function()
    return sorted(timed(function) for _ in range(times))[times // 2]


def timed(function: Callable[[], Any]) -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_gibibytes() -> float:
    import torch

    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")


def forget() -> None:
    """Give memory back between measurements, and start the peak anew."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# The vision tower


def vision(check: Check) -> None:
    """One image forward and backward: attention window by window, by equal lengths, and in one call."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from mmr1.models.vision_attention import NAMES

    device, dtype = where(), torch.float32 if check.smoke else torch.bfloat16
    torch.manual_seed(0)
    text = TEXT_TOY | {"hidden_size": check.vision["out_hidden_size"]}  # unused here
    tiny_text = {**text, "rope_parameters": text["rope_parameters"]}
    config = Qwen2_5_VLConfig(text_config=tiny_text, vision_config=check.vision)
    tower = Qwen2_5_VLForConditionalGeneration(config).model.visual.to(device, dtype)
    ways = {"loop": "sdpa", **NAMES}
    for height, width in check.images:
        pixels, grid = patches_of(height, width, check, device, dtype)
        with torch.no_grad():  # what rounding alone does
            tower.config._attn_implementation = NAMES["grouped"]
            exact = tower.float()(pixels.float(), grid).pooler_output
            tower.to(dtype)
        for way, attention in ways.items():
            if way == "varlen" and device.type == "cpu":
                continue
            tower.config._attn_implementation = attention

            def both(pixels: Any = pixels, grid: Any = grid) -> Any:
                tower.zero_grad(set_to_none=True)
                features = tower(pixels, grid).pooler_output
                features.float().square().mean().backward()
                return features.detach()

            difference = (both().float() - exact).abs()
            seconds = median_seconds(both, 1 if check.smoke else 3)
            check.say(
                way,
                pixels=f"{height}×{width}",
                milliseconds=1000 * seconds,
                kernels=kernels(both),
                difference_to_float32_mean=float(difference.mean()),
                difference_to_float32_max=float(difference.max()),
                feature_deviation=float(exact.std()),
            )


def patches_of(height: int, width: int, check: Check, device: Any, dtype: Any) -> tuple[Any, Any]:
    """Random pixels as the image processor lays them out, and their grid of (time, rows, columns) of patches."""
    import torch

    side = check.vision["patch_size"] * check.vision["spatial_merge_size"]
    rows, columns = (round(size / side) * check.vision["spatial_merge_size"] for size in (height, width))
    values = 3 * check.vision["temporal_patch_size"] * check.vision["patch_size"] ** 2
    pixels = torch.randn(rows * columns, values, device=device, dtype=dtype)
    return pixels, torch.tensor([[1, rows, columns]], device=device)


def kernels(function: Callable[[], Any]) -> int:
    """How many kernels run on the GPU; on a CPU, how many operations of torch."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    cuda = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as recorded:
        timed(function)
    events = recorded.profiler.kineto_results.events()  # type: ignore[union-attr]  # a summary of 50,000 takes seconds
    if not cuda:
        return len(events)
    on_device = [event for event in events if event.device_type() == torch.autograd.DeviceType.CUDA]
    return sum(not event.name().startswith("Mem") for event in on_device)


# One update of the policy


@dataclass
class Trainer:
    """A policy with its reference and learner, as `train_grpo.py` makes them."""

    learner: Any
    settings: Any

    def update(self, step: int, groups: list[Any]) -> dict[str, float]:
        return self.learner.learn(step, groups)


def make_trainer(check: Check, stage: int = 2, **changes: Any) -> Trainer:
    from transformers import AutoConfig, AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.grpo import distributed
    from mmr1.grpo.learner import Learner
    from mmr1.grpo.policy import Policy, Reference
    from mmr1.grpo.settings import GRPOSettings
    from mmr1.models.action_space import suppressed_tokens
    from mmr1.plumbing.files import read_json

    values = {
        **{"group_size": GROUP, "mini_batch_size": PROBLEMS, "precision": check.precision},
        **{"micro_batch_tokens": 16_384, "min_pixels": None, "max_pixels": None},
    }
    settings = GRPOSettings.model_validate(values | changes)
    ranks = distributed.join()
    zero = read_json(ROOT / "config" / "deepspeed" / f"zero{stage}.json")
    model = build(check)
    suppressed = suppressed_tokens(AutoProcessor.from_pretrained(model).tokenizer, AutoConfig.from_pretrained(model))
    policy = Policy(model, settings, suppressed, zero)
    reference = Reference(model, settings, suppressed, policy) if settings.needs_reference else None
    encoder = PromptEncoder(policy.processor)
    return Trainer(Learner(settings, policy, reference, encoder, ranks, check.scratch / "failure"), settings)


def build(check: Check) -> Path:
    """A checkpoint of random weights with the tiny tokenizer, whose ids are the first of the vocabulary."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from mmr1.models.family import family

    folder = check.scratch / f"model-{check.text['num_hidden_layers']}-{check.vision['depth']}"
    if folder.exists():
        return folder
    processor = family("qwen2_5_vl").tiny_processor()
    processor.image_processor.size = {"shortest_edge": 28 * 28, "longest_edge": 1_048_576}
    token = processor.tokenizer.convert_tokens_to_ids
    dtype = torch.bfloat16 if check.precision == "bf16" else torch.float32
    config = Qwen2_5_VLConfig(
        text_config=check.text | {"pad_token_id": token("<|endoftext|>"), "eos_token_id": token("<|im_end|>")},
        vision_config=check.vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype=dtype,
    )
    torch.manual_seed(0)
    with torch.device(where()):  # 3B of random numbers take a minute on a CPU
        model = Qwen2_5_VLForConditionalGeneration(config).to(dtype)
    model.generation_config = GenerationConfig(eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>"))
    half = folder.with_suffix(".half")  # a part that is ended while it writes leaves no checkpoint to the next
    model.save_pretrained(half)
    processor.save_pretrained(half)
    half.rename(folder)
    del model
    forget()
    return folder


def made_up(check: Check, tokens: int, problems: int = PROBLEMS) -> list[Any]:
    """Groups of random tokens, of half to the whole length, and random verdicts; one image per problem."""
    import numpy as np
    from PIL import Image

    from mmr1.data.problems import Problem
    from mmr1.grpo.experience import Entry, Group
    from mmr1.grpo.judging import Judged
    from mmr1.rollout.requests import Rollout

    generator = np.random.default_rng(tokens)
    groups = []
    for slot in range(problems):
        height, width = check.images[slot % len(check.images)]
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, format="PNG")
        problem = Problem(f"bench-{slot}", "bench", "<image>" + "What is it? " * 20, (buffer.getvalue(),), "1")
        rollouts = []
        for index in range(GROUP):
            length = int(generator.integers(tokens // 2, tokens + 1))
            ids = generator.integers(20, 100, length).astype(np.int32)
            rollouts.append(Rollout(problem.id, index, index, ids, "", "length", np.zeros(length, np.float32)))
        rewards = [{"format": 1.0, "accuracy": float(index % 2)} for index in range(GROUP)]
        judged = [Judged(earned, {"extracted": None, "reason": "words"}) for earned in rewards]
        groups.append(Group(Entry(slot, problem), rollouts, judged))
    return groups


@dataclass
class Work:
    """Tokens that are trained (prompts and responses of each row) and model FLOPs of one update."""

    tokens: int
    flops: float


def work_of(trainer: Trainer, groups: list[Any], check: Check, shared: bool) -> Work:
    """Counted over the groups; `shared` counts a prompt and its image once a group."""
    text, tower = check.text, check.vision
    model = trainer.learner.policy.hf.model
    body = sum(p.numel() for name, p in model.language_model.named_parameters() if "embed_tokens" not in name)
    patch_weights = sum(p.numel() for name, p in model.visual.named_parameters() if "merger" not in name)
    merger_weights = sum(p.numel() for p in model.visual.merger.parameters())
    passes = 3 + (trainer.learner.reference is not None)  # forward and twice that backward, and the reference's
    width, layers = text["hidden_size"], text["num_hidden_layers"]
    merge = tower["spatial_merge_size"] ** 2
    window = (tower["window_size"] // tower["patch_size"]) ** 2
    whole = len(tower["fullatt_block_indexes"])
    tokens, total = 0, 0.0
    for group in groups:
        prompt = trainer.learner.encoder.encode(group.entry.problem)
        patches, length = len(prompt.pixel_values), len(prompt.input_ids)
        image = 2 * (patch_weights * patches + merger_weights * patches / merge)
        image += 4 * patches * tower["hidden_size"] * (whole * patches + (tower["depth"] - whole) * window)
        responses = [len(rollout.token_ids) for rollout in group.rollouts]
        times = 1 if shared else len(responses)
        total += passes * times * (image + 2 * body * length + 2 * layers * length**2 * width)
        for response in responses:
            attended = response * length + response**2 / 2
            total += passes * (2 * body * response + 4 * layers * attended * width)
            total += passes * 2 * text["vocab_size"] * width * response
        tokens += sum(length + response for response in responses)
    return Work(tokens, total)


# Name to the trainer's settings, the way of the vision tower, and (response tokens, problems) of its updates. As it
# was, four problems take more than a minute of attention calls.
GROUPED = "flash_grouped_by_length"
SHORT, LONG = (1024, 4), (4096, 4)
SHARED = {"share_prompts": True, "gradient_checkpointing": True}
PACKED = SHARED | {"pack_rows": True}
VARIANTS: dict[str, tuple[dict[str, Any], str, tuple[tuple[int, int], ...]]] = {
    "vision grouped": ({"share_prompts": False, "gradient_checkpointing": True}, GROUPED, ((1024, 1), SHORT)),
    "shared prompts": (SHARED, GROUPED, (SHORT, LONG)),
    "packed": (PACKED, GROUPED, (SHORT,)),
    "rows of 32k tokens": (PACKED | {"micro_batch_tokens": 32_768}, GROUPED, (LONG,)),
    "nothing recomputed": (PACKED | {"gradient_checkpointing": False}, GROUPED, (SHORT,)),
    "as it was": ({"share_prompts": False, "gradient_checkpointing": True}, "sdpa", ((1024, 1),)),
}


def update(check: Check) -> None:
    """An update at three response lengths, with each improvement on top of those before, and as it was.

    Each variant is a process of its own, because DeepSpeed keeps the memory of a trainer that is gone.
    """
    for name in check.variants:
        if problem := alone(in_part, lambda check, name=name: variant(check, name), check, limit=100):
            check.say_ended(name, problem)


def variant(check: Check, name: str) -> None:
    """One way to train, at each length until one does not fit."""
    changes, way, sizes = VARIANTS[name]
    check.halve()
    peaks = {"vendor": vendor_peak(), "measured": measured_peak()}
    trainer = make_trainer(check, **changes)
    for tokens, problems in ((64, 2),) if check.smoke else sizes[: 1 if check.quick else None]:
        try:
            measure_update(check, name, trainer, way, made_up(check, tokens, problems), tokens, peaks)
        except Exception as error:  # out of memory, say: the next variant may fit
            check.say(name, response_tokens=tokens, error=f"{type(error).__name__}: {error}"[:500])
            traceback.print_exc()
            break


def measure_update(
    check: Check,
    name: str,
    trainer: Trainer,
    way: str,
    groups: list[Any],
    tokens: int,
    peaks: dict[str, float | None],
) -> None:
    """Seconds by phase, utilisation and memory of an update; the same one goes before, compiles and allocates."""
    import torch

    from mmr1.grpo.memory import estimate
    from mmr1.grpo.metrics import PHASES_OF_TRAIN
    from mmr1.models.load import shape_in
    from mmr1.plumbing.stopwatch import Stopwatch

    learner = trainer.learner
    for model in (learner.policy.hf, learner.reference.module.model):
        model.model.visual.config._attn_implementation = way
    first = timed(lambda: trainer.update(0, groups))
    forget()
    held = torch.cuda.memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")
    watch = Stopwatch(on_gpu=torch.cuda.is_available())
    with watch.running():
        seconds = timed(lambda: trainer.update(1, groups))
    phases = {phase: round(watch.seconds[phase], 3) for phase in PHASES_OF_TRAIN if phase in watch.seconds}
    work = work_of(trainer, groups, check, trainer.settings.share_prompts)
    utilisation = {f"mfu_{kind}": work.flops / seconds / peak for kind, peak in peaks.items() if peak}
    expected = estimate(shape_in(build(check)), trainer.settings, learner.policy.config, 1)
    check.say(
        name,
        layers=check.text["num_hidden_layers"],
        problems=len(groups),
        response_tokens=tokens,
        seconds=seconds,
        first_seconds=first,
        tokens_per_second=work.tokens / seconds,
        phases=phases,
        **utilisation,
        held_gibibytes=held,
        peak_gibibytes=peak_gibibytes(),
        estimated_gibibytes=expected.peaks["training"] / 2**30,
        estimate={part: round(value / 2**30, 2) for part, value in {**expected.held, **expected.training}.items()},
    )


def zero(check: Check) -> None:
    """ZeRO-3 against ZeRO-2, one rank: what gathering costs where there is nobody to gather from."""
    for stage in (2, 3):
        if problem := alone(in_part, lambda check, stage=stage: zero_stage(check, stage), check, limit=60):
            check.say_ended(f"ZeRO-{stage}", problem)


def zero_stage(check: Check, stage: int) -> None:
    """An update under one stage; the first one compiles and allocates."""
    check.halve()
    groups = made_up(check, 64 if check.smoke else 1024)
    trainer = make_trainer(check, stage=stage, pack_rows=not check.smoke, share_prompts=True)
    trainer.update(0, groups)
    forget()
    check.say(f"ZeRO-{stage}", seconds=timed(lambda: trainer.update(1, groups)), peak_gibibytes=peak_gibibytes())


# Others on the same tokens


def plain(check: Check) -> None:
    """A step as transformers alone would take it: cross-entropy over the responses, a row at a time."""
    import torch
    from transformers import AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.models.load import load_model

    check.halve()
    folder = build(check)
    model = load_model(folder, torch.float32 if check.smoke else torch.bfloat16).to(where()).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))
    groups = made_up(check, 64 if check.smoke else 1024)

    def step() -> None:
        for group in groups:
            prompt = encoder.encode(group.entry.problem)
            for rollout in group.rollouts:
                response = torch.from_numpy(rollout.token_ids).long()
                ids = torch.cat([prompt.input_ids, response])[None].to(where())
                labels = ids.clone()
                labels[:, : len(prompt.input_ids)] = -100
                model(
                    input_ids=ids,
                    labels=labels,
                    pixel_values=prompt.pixel_values.to(where(), model.dtype),
                    image_grid_thw=prompt.image_grid_thw.to(where()),
                    mm_token_type_ids=(ids == model.config.image_token_id).int(),
                ).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    step()
    forget()
    check.say("transformers, no reference", seconds=timed(step), peak_gibibytes=peak_gibibytes())


def trl(check: Check) -> None:
    """TRL's loss on one group, one sequence at a time, as its padding of a long-tailed batch asks for."""
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError as error:
        check.say("TRL is not installed", error=str(error))
        return
    import torch
    from datasets import Dataset
    from transformers import AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.models.load import load_model

    check.halve()
    folder = build(check)
    arguments = GRPOConfig(
        output_dir=str(check.scratch / "trl"),
        per_device_train_batch_size=GROUP,
        num_generations=GROUP,
        loss_type="bnpo",
        beta=0.01,
        temperature=0.6,
        use_bias_correction_kl=False,
        gradient_checkpointing=True,
        bf16=not check.smoke,
        use_cpu=check.smoke,
        report_to=[],
    )
    trainer = GRPOTrainer(
        load_model(folder, torch.float32 if check.smoke else torch.bfloat16),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": "unused"}] * GROUP),
    )
    model, reference = trainer.model.to(where()).train(), trainer.ref_model.to(where()).eval()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    trainer.current_gradient_accumulation_steps = GROUP
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))
    groups = made_up(check, 64 if check.smoke else 1024, problems=1)

    def step() -> None:
        for group in groups:
            prompt = encoder.encode(group.entry.problem)
            for index, rollout in enumerate(group.rollouts):
                inputs = trl_inputs(prompt, rollout, float(index % 2), model.config.image_token_id)
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

    step()
    forget()
    check.say("TRL's loss", problems=1, seconds=timed(step), peak_gibibytes=peak_gibibytes())


def trl_inputs(prompt: Any, rollout: Any, advantage: float, image_token: int) -> dict[str, Any]:
    """One rollout as TRL's loss wants it."""
    import torch

    completion = torch.from_numpy(rollout.token_ids).long()[None].to(where())
    ids = prompt.input_ids[None].to(where())
    kinds = (torch.cat([ids, torch.zeros_like(completion)], dim=1) == image_token).int()
    return {
        **{"prompt_ids": ids, "prompt_mask": torch.ones_like(ids)},
        **{"completion_ids": completion, "completion_mask": torch.ones_like(completion)},
        "advantages": torch.tensor([advantage], device=where()),
        **{"pixel_values": prompt.pixel_values.to(where()), "image_grid_thw": prompt.image_grid_thw.to(where())},
        **{"num_images": [len(prompt.image_grid_thw)], "mm_token_type_ids": kinds},
    }


# Equal bits, and rounding


def deterministic(check: Check) -> None:
    """Two updates twice, and once more killed between them and resumed: the sha256 of all weights; what it costs.

    This process starts no CUDA: each run is a process of its own.
    """
    if not check.smoke:  # a state of the whole is 50 GB
        check.text["num_hidden_layers"] = 2
        check.vision |= {"depth": 8, "fullatt_block_indexes": [7]}
    folder, answers = check.scratch, {}
    for name, steps, saved, exact in (
        ("once", (0, 1), None, True),
        ("again", (0, 1), None, True),
        ("killed after one", (0,), folder / "state", True),
        ("resumed", (1,), folder / "state", True),
        ("not asked for", (0, 1), None, False),
    ):
        result = folder / f"{name}.json"
        problem = alone(updates, check, steps, saved, exact, result, limit=120)
        if problem:
            raise RuntimeError(f"{name}: {problem}")
        answers[name] = json.loads(result.read_text())
    once = answers["once"]
    check.say("same run twice", equal=once["sha256"] == answers["again"]["sha256"], sha256=once["sha256"])
    check.say("killed and resumed", equal=once["sha256"] == answers["resumed"]["sha256"])
    check.say("not asked for", equal=once["sha256"] == answers["not asked for"]["sha256"])
    check.say("its cost", ratio=once["seconds"] / answers["not asked for"]["seconds"])


def updates(check: Check, steps: tuple[int, ...], state: Path | None, exact: bool, result: Path) -> None:
    """Some updates; a `state` that is there is loaded before them, one that is not is saved after them."""
    from mmr1.models.determinism import require_determinism

    if exact:
        require_determinism()
    trainer = make_trainer(check, share_prompts=True, pack_rows=True)  # FlexAttention's kernels, too
    policy = trainer.learner.policy
    if state is not None and state.exists():
        policy.load_state(state)
    seconds = 0.0
    for step in steps:
        groups = made_up(check, (64 if check.smoke else 512) + step)
        seconds = timed(lambda step=step, groups=groups: trainer.update(step, groups))  # the last one counts
    if state is not None and not state.exists():
        state.mkdir()
        policy.save_state(state)
    digest = hashlib.sha256()
    for name, tensor in policy.named_tensors():
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    result.write_text(json.dumps({"sha256": digest.hexdigest(), "seconds": seconds}))


# The cold start


def sft(check: Check) -> None:
    """Packed rows of 16,384 tokens, forward and backward, against the same conversations one by one."""
    import torch
    from transformers import AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.models.load import load_model
    from mmr1.sft.rows import RowCollator, learn_rows

    check.halve()
    let_older_torch_share_keys()
    folder = build(check)
    model = load_model(folder, torch.float32 if check.smoke else torch.bfloat16).to(where()).train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    learn_rows(model)
    collate = RowCollator(model)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))
    items = conversations(check, encoder, 64 if check.smoke else 4096)

    def learn(rows: list[list[Any]]) -> float:
        model.zero_grad(set_to_none=True)
        total = 0.0
        for row in rows:
            batch = collate([row])
            moved = {name: value.to(where()) for name, value in batch.items() if torch.is_tensor(value)}
            loss = model(**{**batch, **moved, "pixel_values": moved["pixel_values"].to(model.dtype)})
            loss.backward()
            total += float(loss.detach())
        return total

    tokens = sum(len(item["input_ids"]) for item in items)
    losses = {}
    for name, rows in (("one row", [items]), ("one by one", [[item] for item in items])):
        losses[name] = learn(rows)
        forget()
        seconds = timed(lambda rows=rows: learn(rows))
        check.say(
            name,
            layers=check.text["num_hidden_layers"],
            conversations=len(items),
            tokens=tokens,
            seconds=seconds,
            tokens_per_second=tokens / seconds,
            peak_gibibytes=peak_gibibytes(),
            loss=losses[name] / len(items),
        )


def conversations(check: Check, encoder: Any, tokens: int) -> list[dict[str, Any]]:
    """Conversations of random tokens with an image each, as `RowCollator` takes them."""
    import torch

    from mmr1.sft.conversations import IGNORED

    items = []
    for group in made_up(check, tokens):
        prompt = encoder.encode(group.entry.problem)
        response = torch.from_numpy(group.rollouts[0].token_ids).long()
        ids = torch.cat([prompt.input_ids, response])
        labels = torch.cat([torch.full_like(prompt.input_ids, IGNORED), response])
        images = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw}
        items.append({"input_ids": ids, "labels": labels, **images})
    return items


def let_older_torch_share_keys() -> None:
    """Before 2.13 torch's `varlen_attn` has no grouped heads: there keys and values are repeated for it."""
    import inspect

    try:
        from torch.nn.attention import varlen
    except ImportError:
        return
    attend = varlen.varlen_attn
    if "enable_gqa" in inspect.signature(attend).parameters:
        return

    def repeated(query: Any, key: Any, value: Any, *bounds: Any, enable_gqa: bool = False, **options: Any) -> Any:
        times = query.shape[1] // key.shape[1]
        return attend(query, *(one.repeat_interleave(times, dim=1) for one in (key, value)), *bounds, **options)

    varlen.varlen_attn = repeated


def precision(check: Check) -> None:
    """Log-probabilities and gradients in bf16 against float32, of the same weights and rollouts."""
    import torch

    check.text["num_hidden_layers"] = min(check.text["num_hidden_layers"], 12)  # float32 of the whole does not fit
    logprobs, gradients = {}, {}
    folder = build(check)
    groups = made_up(check, 64 if check.smoke else 512)[:1]
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        logprobs[name], gradients[name] = plain_gradients(folder, groups, dtype)
        forget()
    difference = (logprobs["bf16"] - logprobs["fp32"]).abs()
    products = {  # in float64: float32 sums of a billion products gave a cosine of 1.15
        one: sum(float(torch.dot(*(part.double() for part in pair))) for pair in zip(*halves, strict=True))
        for one, halves in {
            "both": (gradients["bf16"].split(2**26), gradients["fp32"].split(2**26)),
            "bf16": (gradients["bf16"].split(2**26),) * 2,
            "fp32": (gradients["fp32"].split(2**26),) * 2,
        }.items()
    }
    cosine = products["both"] / (products["bf16"] * products["fp32"]) ** 0.5
    check.say(
        "bf16 against float32",
        logprob_difference_mean=float(difference.mean()),
        logprob_difference_max=float(difference.max()),
        gradient_cosine=cosine,
    )


def plain_gradients(folder: Path, groups: list[Any], dtype: Any) -> tuple[Any, Any]:
    """Log-probabilities of a group's responses, float32 [N], and the gradient of their mean, float32, on the CPU."""
    import torch
    from transformers import AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.models.load import load_model

    model = load_model(folder, dtype).to(where())
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))
    collected = []
    for group in groups:
        prompt = encoder.encode(group.entry.problem)
        for rollout in group.rollouts[:2]:
            response = torch.from_numpy(rollout.token_ids).long().to(where())
            ids = torch.cat([prompt.input_ids.to(where()), response])[None]
            logits = model(
                input_ids=ids,
                pixel_values=prompt.pixel_values.to(where(), dtype),
                image_grid_thw=prompt.image_grid_thw.to(where()),
                mm_token_type_ids=(ids == model.config.image_token_id).int(),
                logits_to_keep=len(response) + 1,
            ).logits[0, :-1]
            chosen = logits.float().log_softmax(-1).gather(1, response[:, None])[:, 0]
            (-chosen.mean()).backward()
            collected.append(chosen.detach().cpu())
    gradient = torch.cat([p.grad.float().flatten().cpu() for p in model.parameters() if p.grad is not None])
    return torch.cat(collected), gradient


# The engine


def vllm(check: Check) -> None:
    """Where vLLM is installed: new weights, sleep and wake, seeds in other company, tokens a second."""
    try:
        import vllm as installed
    except ImportError as error:
        check.say("vLLM is not installed", error=str(error))
        return
    import torch
    from transformers import AutoProcessor

    from mmr1.data.prompts import PromptEncoder
    from mmr1.models.determinism import require_determinism
    from mmr1.models.load import load_model
    from mmr1.rollout.engines import Limits
    from mmr1.rollout.engines import vllm as engine_file
    from mmr1.rollout.requests import Sampling, group_requests

    require_determinism()
    tokens = 16 if check.smoke else 512
    folder = build(check)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(folder))
    engine = engine_file.make(
        engine_file.Settings(batch_invariant=torch.cuda.is_available()),
        folder,
        encoder,
        Limits(1, tokens, 2048),
        beside_training=True,
    )
    problems = [group.entry.problem for group in made_up(check, 64)]
    requests = [one for problem in problems for one in group_requests(problem, GROUP, 0, "check")]
    sampling = Sampling(1.0, tokens)
    first = engine.generate(requests, sampling)
    seconds = timed(lambda: engine.generate(requests, sampling))
    made = sum(len(rollout.token_ids) for rollout in first)
    check.say("generate", version=installed.__version__, requests=len(requests), tokens_per_second=made / seconds)
    alone_again = [engine.generate([one], sampling)[0] for one in requests[:: len(requests) // 4]]
    equal = [
        (one.token_ids == other.token_ids).all()
        for one, other in zip(first[:: len(requests) // 4], alone_again, strict=True)
    ]
    check.say("seeds in other company", equal=int(sum(equal)), of=len(equal))
    model = load_model(folder, torch.float32 if check.smoke else torch.bfloat16)
    asleep = timed(engine.sleep)
    held = torch.cuda.memory_allocated() / 2**30 if torch.cuda.is_available() else float("nan")
    awake = timed(engine.wake)
    loaded = timed(lambda: engine.load_weights(model.named_parameters()))
    after = engine.generate(requests, sampling)
    same = sum((one.token_ids == other.token_ids).all() for one, other in zip(first, after, strict=True))
    check.say("sleep, wake, same weights", equal=int(same), of=len(first), sleep_seconds=asleep, wake_seconds=awake)
    check.say("new weights", seconds=loaded, gibibytes_asleep=held)
    engine.close()


# Part to its program and its time limit in seconds; in the order of what is wanted most.
PARTS: dict[str, tuple[Callable[[Check], None], float]] = {
    "machine": (machine, 40),
    "vision": (vision, 60),
    "update": (update, 240),
    "deterministic": (deterministic, 150),
    "precision": (precision, 60),
    "sft": (sft, 60),
    "zero": (zero, 90),
    "plain": (plain, 60),
    "trl": (trl, 120),
    "vllm": (vllm, 150),
}


if __name__ == "__main__":
    main()
