"""What a rank of SFT needs in memory at its peak, the backward pass of a micro-batch.

`mmr1.training.memory` has the parts; here is what SFT asks of them, and what it could do with less.
"""

from collections.abc import Iterator
from typing import Any

from mmr1.models.shapes import Shape
from mmr1.sft.settings import SFTSettings
from mmr1.training import memory
from mmr1.training.memory import FP32_BYTES, Change, Estimate, Given, with_settings


def estimate(
    shape: Shape, settings: SFTSettings, deepspeed: dict[str, Any] | None, ranks: int, device_bytes: int | None = None
) -> Estimate:
    """What a rank needs; `device_bytes` is what the device has, None on a CPU."""
    given = Given(settings, deepspeed, ranks)
    width, on_gpu = given.width, device_bytes is not None
    frozen = sum({"vision": shape.vision, "projector": shape.merger}[part] for part in settings.freeze)
    held, divided, host = memory.divided(shape, given, shape.total - frozen, 1, on_gpu)
    again = 1 if settings.gradient_checkpointing else 0
    tokens = row_tokens(settings)
    visual = 0 if "vision" in settings.freeze else visual_tokens(shape, settings)
    training = {
        "activations": memory.activations(shape, width, tokens, again),
        "activations of images": memory.image_activations(shape, width, visual, again),
        **(memory.chunked_head(shape, given, tokens, on_gpu) if settings.in_rows else _logits(shape, width, tokens)),
    }
    return Estimate(held, divided | memory.whole(training), host=host)


def row_tokens(settings: SFTSettings) -> int:
    """The most tokens of a forward pass on one rank."""
    return settings.micro_batch_size * settings.cutoff if settings.packing is None else settings.packing


def visual_tokens(shape: Shape, settings: SFTSettings) -> int:
    """As many of a forward pass as images can be: all of them, or one image of the largest size a conversation."""
    tokens = row_tokens(settings)
    if settings.max_pixels is None or settings.packing is not None:
        return tokens
    return min(tokens, settings.micro_batch_size * settings.max_pixels // shape.visual_token_pixels)


def check_fits(
    shape: Shape, settings: SFTSettings, deepspeed: dict[str, Any] | None, ranks: int, device_bytes: int | None
) -> list[str]:
    """The estimate as lines. Raises UserError, saying what would fit, if the device has too little memory for it."""

    def needs(given: Given) -> Estimate:
        return estimate(shape, given.settings, given.deepspeed, given.ranks, device_bytes)

    given = Given(settings, deepspeed, ranks)
    return memory.check_fits(given, needs, _changes(given), device_bytes)


def _logits(shape: Shape, width: int, tokens: int) -> dict[str, float]:
    """Whole logits: as the head makes them, in float32, and the gradient of each."""
    return {
        "logits": 2 * (width + FP32_BYTES) * tokens * shape.vocabulary,
        "gradients of head and embedding": 2 * width * shape.head,
    }


def _changes(given: Given) -> Iterator[Change]:
    settings = given.settings
    yield "gradient_checkpointing: true", with_settings(gradient_checkpointing=True)
    if not settings.in_rows:
        yield "group_by_length: true", with_settings(group_by_length=True)
    if settings.micro_batch_size > 1:
        yield "micro_batch_size: 1", with_settings(micro_batch_size=1)
    if settings.packing is not None and settings.packing > settings.cutoff:
        yield f"packing: {settings.cutoff}", with_settings(packing=settings.cutoff)
    half = {"cutoff": settings.cutoff // 2, **({} if settings.packing is None else {"packing": settings.cutoff // 2})}
    yield ", ".join(f"{name}: {tokens}" for name, tokens in half.items()), with_settings(**half)
    yield from memory.divisions(given)
