"""What a rank of GRPO needs in memory at its two peaks: the backward pass of a micro-batch, and sampling.

`mmr1.training.memory` has the parts; here is what GRPO asks of them, and what it could do with less.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mmr1.grpo.settings import GRPOSettings
from mmr1.models.shapes import Shape
from mmr1.training import memory
from mmr1.training.memory import Change, Estimate, Given, with_settings


def estimate(
    shape: Shape, settings: GRPOSettings, deepspeed: dict[str, Any], ranks: int, device_bytes: int | None = None
) -> Estimate:
    """What a rank needs; `device_bytes` is what the device has, None on a CPU."""
    given = Given(settings, deepspeed, ranks)
    width, on_gpu = given.width, device_bytes is not None
    models = 2 if settings.needs_reference else 1
    held, divided, host = memory.divided(shape, given, shape.total, models, on_gpu)
    while_training, while_sampling = settings.engine.module.memory(
        settings.engine.settings, width * shape.total, device_bytes
    )
    again = settings.recompute_every if settings.gradient_checkpointing else 0
    tokens = settings.micro_batch_tokens
    # Prompts are taken to be images alone, and responses to have their full length.
    rows = max(1, tokens // (settings.max_prompt_tokens + settings.max_response_tokens))
    visual = rows * min(settings.max_prompt_tokens, tokens)
    training = {
        "activations": memory.activations(shape, width, tokens, again),
        "activations of images": memory.image_activations(shape, width, visual, again),
        **memory.chunked_head(shape, given, tokens, on_gpu),
        **while_training,
    }
    handed = width * shape.head if given.stage == 3 else 0
    sampling = {"a weight handed to the engine": handed, **while_sampling}
    return Estimate(held, divided | memory.whole(training), memory.whole(sampling), host)


def check_fits(
    shape: Shape, settings: GRPOSettings, deepspeed: dict[str, Any], ranks: int, device_bytes: int | None
) -> list[str]:
    """The estimate as lines. Raises UserError, saying what would fit, if the device has too little memory for it."""

    def needs(given: Given) -> Estimate:
        return estimate(shape, given.settings, given.deepspeed or {}, given.ranks, device_bytes)

    given = Given(settings, deepspeed, ranks)
    return memory.check_fits(given, needs, _changes(given), device_bytes)


def saved_bytes(weights: int, settings: GRPOSettings, deepspeed: dict[str, Any]) -> tuple[int, int]:
    """The bytes of a checkpoint and of a trainer's state, all ranks together.

    A state holds the optimizer's float32 weights and moments and, under ZeRO-2, the policy's weights beside them.
    """
    given = Given(settings, deepspeed, 1)
    beside = given.width if given.stage == 2 else 0
    return weights * given.width, weights * (memory.MASTER_BYTES + memory.MOMENT_BYTES + beside)


def _changes(given: Given) -> Iterator[Change]:
    settings = given.settings
    yield "gradient_checkpointing: true", with_settings(gradient_checkpointing=True)
    if (tokens := settings.micro_batch_tokens // 2) >= settings.max_prompt_tokens + settings.max_response_tokens:
        yield f"micro_batch_tokens: {tokens}", with_settings(micro_batch_tokens=tokens)
    lighter = settings.engine.module.lighter(settings.engine.settings)
    if lighter is not None:
        words, taken = lighter
        yield f"engine: {words}", with_settings(engine=replace(settings.engine, settings=taken))
    yield from memory.divisions(given)
