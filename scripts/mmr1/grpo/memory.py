"""Estimates of the memory that each rank needs and of the room on the disk, made before anything is loaded."""

from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig

from mmr1.grpo.logprobs import CHUNK_ELEMENTS
from mmr1.grpo.settings import GRPOSettings

MASTER_BYTES, MOMENT_BYTES = 4, 8  # float32 master weights; AdamW's two moments


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
) -> dict[str, int]:
    """Bytes a rank needs while it trains, by what they are for; `device_bytes` is what the device has, if known.

    ZeRO's share of weights, gradients and optimizer state is exact (ZeRO, arXiv 1910.02054, §3 and §5); activations are
    the inputs of each layer with gradient checkpointing, about 16 tensors of a token's width a layer without, and one
    layer's working set; logits are the chunks of `logprobs.py`. What an offloaded optimizer holds is in host memory and
    named so.
    """
    weights = count_parameters(config)
    width = 2 if settings.precision == "bf16" else 4
    zero = deepspeed["zero_optimization"]
    stage = zero["stage"]
    bucket = min(weights, int(zero.get("reduce_bucket_size", 5e8)))
    share = weights / ranks
    kept = weights if stage == 2 else share
    optimizer = (MASTER_BYTES + MOMENT_BYTES) * share
    offloaded = zero.get("offload_optimizer", {}).get("device", "none") != "none"
    parts = {
        "policy weights": width * kept,
        "gradients": 4 * share + width * bucket,
        "optimizer state" + (" (host)" if offloaded else ""): optimizer,
        "reference weights": width * kept if settings.needs_reference else 0,
        "weights gathered (ZeRO-3)": width * min(weights, int(zero.get("stage3_max_live_parameters", 1e9)))
        if stage == 3
        else 0,
        "activations": activations(config, settings),
        "logits": 3 * 4 * min(CHUNK_ELEMENTS, settings.micro_batch_tokens * config.text_config.vocab_size),
    }
    parts |= settings.engine.module.memory(settings.engine.settings, width * weights, device_bytes)
    return {name: round(value) for name, value in parts.items() if value}


def saved_bytes(weights: int, settings: GRPOSettings, deepspeed: dict[str, Any]) -> tuple[int, int]:
    """The bytes of a checkpoint and of a trainer's state, all ranks together.

    A state holds the optimizer's float32 weights and moments and, under ZeRO-2, the policy's weights beside them.
    """
    width = 2 if settings.precision == "bf16" else 4
    beside = width if deepspeed["zero_optimization"]["stage"] == 2 else 0
    return weights * width, weights * (MASTER_BYTES + MOMENT_BYTES + beside)


def activations(config: PreTrainedConfig, settings: GRPOSettings) -> float:
    """Bytes of activations of the language model at `micro_batch_tokens` tokens."""
    text = config.text_config
    width = 2 if settings.precision == "bf16" else 4
    tokens = settings.micro_batch_tokens
    one_layer = tokens * (8 * text.hidden_size + 3 * text.intermediate_size) * width
    if settings.gradient_checkpointing:
        return tokens * text.hidden_size * text.num_hidden_layers * width + one_layer
    return one_layer * text.num_hidden_layers


def lines(parts: dict[str, int], device_bytes: int | None) -> list[str]:
    """The estimate as text, one line a part and a total."""
    mib = 2**20
    on_device = sum(value for name, value in parts.items() if not name.endswith("(host)"))
    shown = [f"memory per rank, estimated: {on_device / mib:,.0f} MiB on the device"]
    shown += [f"  {name}: {value / mib:,.1f} MiB" for name, value in parts.items()]
    if device_bytes is not None and on_device > device_bytes:
        shown.append(f"  warning: the device has {device_bytes / mib:,.0f} MiB")
    return shown
