"""Estimates of the memory that each rank needs and of the room on the disk, made before anything is loaded.

Two moments decide: the backward pass of a micro-batch, and sampling, when the engine has its share of the device. What
one token or patch leaves for the backward pass is held against transformers' own models of the paper's three sizes on
meta tensors (`tests/test_grpo_memory.py`); the rest is sizes of weights. Nothing here was measured on a GPU.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig

from mmr1.grpo.logprobs import CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS
from mmr1.grpo.settings import GRPOSettings
from mmr1.plumbing.errors import UserError

MASTER_BYTES, MOMENT_BYTES = 4, 8  # float32 master weights; AdamW's two moments
FP32_BYTES = 4

# What CUDA's context, the libraries' workspaces and, among several ranks, NCCL's buffers take. A guess.
CUDA_BYTES, NCCL_BYTES = 800 << 20, 700 << 20

Parts = dict[str, int]

VARIABLE = "MMR1_MEMORY"  # "warn" lets a job try that is not expected to fit


# An engine that takes less of a device beside a training.
LITTLE = {"gpu_memory_utilization": 0.4, "sleep_mode": True}


@dataclass(frozen=True)
class Given:
    """What an estimate depends on, and a person can change."""

    settings: GRPOSettings
    deepspeed: dict[str, Any]
    ranks: int


@dataclass(frozen=True)
class Estimate:
    """Bytes a rank needs by what they are for: always, on top of that in each of two moments, and in host memory."""

    held: Parts
    training: Parts
    sampling: Parts
    host: Parts

    @property
    def peaks(self) -> dict[str, int]:
        """The bytes of the device that are needed in each of the two moments."""
        held = sum(self.held.values())
        return {"training": held + sum(self.training.values()), "sampling": held + sum(self.sampling.values())}

    @property
    def peak(self) -> int:
        """The most that is needed of the device."""
        return max(self.peaks.values())


def count_parameters(config: PreTrainedConfig) -> int:
    """The number of weights of a model of this shape; none is made."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def estimate(
    config: PreTrainedConfig,
    settings: GRPOSettings,
    deepspeed: dict[str, Any],
    ranks: int,
    device_bytes: int | None = None,
    weights: int | None = None,
) -> Estimate:
    """What a rank needs; `device_bytes` is what the device has, if known, and `weights` their number, if counted.

    ZeRO's share of weights, gradients and optimizer state is exact (ZeRO, arXiv 1910.02054, §3 and §5). An optimizer in
    host memory has its gradients there, too.
    """
    weights = count_parameters(config) if weights is None else weights
    width = _width(settings)
    zero = deepspeed["zero_optimization"]
    stage, share = zero["stage"], weights / ranks
    kept = weights if stage == 2 else share
    live = min(weights, int(zero.get("stage3_max_live_parameters", 1e9))) if stage == 3 else 0
    models = 2 if settings.needs_reference else 1
    host = {"optimizer state": (MASTER_BYTES + MOMENT_BYTES) * share, "gradients": FP32_BYTES * share}
    offloaded = zero.get("offload_optimizer", {}).get("device", "none") != "none"
    vocabulary, tokens = config.text_config.vocab_size, settings.micro_batch_tokens
    head = vocabulary * config.text_config.hidden_size
    while_training, while_sampling = settings.engine.module.memory(
        settings.engine.settings, width * weights, device_bytes
    )
    held = {
        "policy weights": width * kept,
        "reference weights": width * kept * (models - 1),
        "optimizer state": 0 if offloaded else host["optimizer state"],
        "CUDA and NCCL": 0 if device_bytes is None else CUDA_BYTES + NCCL_BYTES * (ranks > 1),
    }
    training = {
        "gradients": 0 if offloaded else host["gradients"],
        "gradients being reduced": width * min(weights, int(zero.get("reduce_bucket_size", 5e8))),
        "weights gathered (ZeRO-3)": width * live * models,
        "activations": activations(config, settings),
        "activations of images": image_activations(config, settings),
        "logits": 3 * FP32_BYTES * min(_chunk(device_bytes), tokens * vocabulary),
        # The head's sum over chunks, and that of the head and of the embedding as the weights are.
        "gradients of head and embedding": (FP32_BYTES + 2 * width) * head,
        **while_training,
    }
    sampling = {"a weight handed to the engine": width * head if stage == 3 else 0, **while_sampling}
    return Estimate(_whole(held), _whole(training), _whole(sampling), _whole(host) if offloaded else {})


def saved_bytes(weights: int, settings: GRPOSettings, deepspeed: dict[str, Any]) -> tuple[int, int]:
    """The bytes of a checkpoint and of a trainer's state, all ranks together.

    A state holds the optimizer's float32 weights and moments and, under ZeRO-2, the policy's weights beside them.
    """
    width = _width(settings)
    beside = width if deepspeed["zero_optimization"]["stage"] == 2 else 0
    return weights * width, weights * (MASTER_BYTES + MOMENT_BYTES + beside)


def activations(config: PreTrainedConfig, settings: GRPOSettings) -> float:
    """Bytes that the language model keeps for the backward pass at `micro_batch_tokens` tokens."""
    text, width = config.text_config, _width(settings)
    kept = _kept(text.num_hidden_layers, text.hidden_size * width, text_layer_bytes(text, width), settings)
    around = (FP32_BYTES + 3 * width) * text.hidden_size  # embeddings, the last norm, the head's inputs
    return settings.micro_batch_tokens * (kept + around)


def image_activations(config: PreTrainedConfig, settings: GRPOSettings) -> float:
    """Bytes that the vision tower keeps until the language model's backward pass is done.

    Prompts are taken to be images alone, and responses to have their full length.
    """
    vision, width = config.vision_config, _width(settings)
    row = settings.max_prompt_tokens + settings.max_response_tokens
    tokens = max(1, settings.micro_batch_tokens // row) * min(settings.max_prompt_tokens, settings.micro_batch_tokens)
    patches = tokens * vision.spatial_merge_size**2
    return patches * _kept(vision.depth, vision.hidden_size * width, vision_block_bytes(vision, width), settings)


def text_layer_bytes(text: Any, width: int) -> int:
    """What a layer of the language model keeps of a token, with FlashAttention: norms in float32, then each product's
    inputs; of attention queries, keys, values, outputs and a logarithm a head; of the MLP four tensors.
    """
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    queries, keys = head * text.num_attention_heads, head * text.num_key_value_heads
    norms = 2 * (FP32_BYTES + 2 * width) * text.hidden_size
    attention = width * (2 * queries + 2 * keys) + FP32_BYTES * text.num_attention_heads
    return int(norms + attention + width * 4 * text.intermediate_size)


def vision_block_bytes(vision: Any, width: int) -> int:
    """What a block of the vision tower keeps of a patch: as `text_layer_bytes`, but that queries, keys and values are
    kept as they were made beside those that were turned, and the outputs of windows once more where they are joined.
    """
    norms = 2 * (FP32_BYTES + 2 * width) * vision.hidden_size
    attention = width * (3 + 2 + 2) * vision.hidden_size + FP32_BYTES * vision.num_heads
    return int(norms + attention + width * 4 * vision.intermediate_size)


def check_fits(
    config: PreTrainedConfig, settings: GRPOSettings, deepspeed: dict[str, Any], ranks: int, device_bytes: int | None
) -> list[str]:
    """The estimate as lines. Raises UserError, saying what would fit, if the device has too little memory for it."""
    weights = count_parameters(config)

    def needs(given: Given) -> Estimate:
        return estimate(config, given.settings, given.deepspeed, given.ranks, device_bytes, weights)

    given = Given(settings, deepspeed, ranks)
    needed = needs(given)
    shown = lines(needed)
    if device_bytes is None or needed.peak <= device_bytes:
        return shown
    moment = max(needed.peaks, key=lambda name: needed.peaks[name])
    fitting = [
        f"{words} ({_gib(other.peak)})"
        for words, changed in _alternatives(given)
        if (other := needs(changed)).peak <= device_bytes
    ]
    parts = needed.held | getattr(needed, moment)
    largest = sorted(parts, key=lambda name: -parts[name])[:3]
    problem = (
        f"memory: expected at most the device's {_gib(device_bytes)}, found an estimate of {_gib(needed.peak)} while "
        f"{moment} ({', '.join(f'{name} {_gib(parts[name])}' for name in largest)}); "
        f"{'would fit: ' + ', or '.join(fitting[:3]) if fitting else 'nothing that is tried here would fit'}"
    )
    if os.environ.get(VARIABLE) != "warn":
        raise UserError(f"{problem}; {VARIABLE}=warn tries it as it is")
    return [*shown, f"  warning: {problem}"]


def lines(needed: Estimate) -> list[str]:
    """The estimate as text: the two peaks, and a line a part."""
    peaks = ", ".join(f"{_gib(size)} {name}" for name, size in needed.peaks.items())
    shown = [f"memory per rank, estimated: {peaks}"]
    for moment in ("held", "training", "sampling", "host"):
        parts = getattr(needed, moment)
        shown += [f"  {moment}: {name}: {size / 2**20:,.1f} MiB" for name, size in parts.items()]
    return shown


def _alternatives(given: Given) -> Iterator[tuple[str, Given]]:
    """Other ways to do the same: each change alone, from those that cost least, then more and more of them together."""
    changes = [(words, change) for words, change in _changes(given) if change(given) != given]
    for words, change in changes:
        yield words, change(given)
    together, told = given, list[str]()
    for words, change in changes:
        together, told = change(together), [*told, words]
        if len(told) > 1:
            yield " and ".join(told), together


def _changes(given: Given) -> Iterator[tuple[str, Callable[[Given], Given]]]:
    def with_settings(**update: Any) -> Callable[[Given], Given]:
        return lambda one: replace(one, settings=one.settings.model_copy(update=update))

    def with_zero(**zero: Any) -> Callable[[Given], Given]:
        return lambda one: replace(one, deepspeed={**one.deepspeed, "zero_optimization": zero})

    settings, zero = given.settings, given.deepspeed["zero_optimization"]
    yield "gradient_checkpointing: true", with_settings(gradient_checkpointing=True)
    if (tokens := settings.micro_batch_tokens // 2) >= settings.max_prompt_tokens + settings.max_response_tokens:
        yield f"micro_batch_tokens: {tokens}", with_settings(micro_batch_tokens=tokens)
    if hasattr(getattr(settings.engine.settings, "machine", None), "gpu_memory_utilization"):
        machine = settings.engine.settings.machine.model_copy(update=LITTLE)
        engine = replace(settings.engine, settings=settings.engine.settings.model_copy(update={"machine": machine}))
        yield "engine: {machine: {gpu_memory_utilization: 0.4}}", with_settings(engine=engine)
    if given.ranks > 1:
        yield "config/deepspeed/zero3.json", with_zero(**{**zero, "stage": 3})
    for factor in (2, 4, 8):
        yield f"{factor * given.ranks} ranks", lambda one, factor=factor: replace(one, ranks=factor * given.ranks)  # type: ignore[misc]
    yield "config/deepspeed/zero3-offload.json", with_zero(stage=3, offload_optimizer={"device": "cpu"})


def _kept(layers: int, input_bytes: int, layer_bytes: int, settings: GRPOSettings) -> float:
    """What layers keep of a token: all, or the inputs of those that are computed again, and one of them at a time."""
    if not settings.gradient_checkpointing:
        return layers * layer_bytes
    again = math.ceil(layers / settings.recompute_every)
    return again * input_bytes + (layers - again + 1) * layer_bytes


def _chunk(device_bytes: int | None) -> int:
    """The elements of a chunk of logits."""
    return CHUNK_ELEMENTS if device_bytes is None else GPU_CHUNK_ELEMENTS


def _width(settings: GRPOSettings) -> int:
    return 2 if settings.precision == "bf16" else 4


def _whole(parts: dict[str, float]) -> Parts:
    return {name: round(value) for name, value in parts.items() if value}


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
