"""What a training needs of each rank's memory: the parts that both trainers have, and the refusal of what cannot fit.

What one token or patch leaves for the backward pass is held against transformers' own models of the paper's three sizes
on meta tensors (`tests/test_memory.py`); the rest is sizes of weights. Nothing here was measured on a GPU. Nothing here
needs torch: a plan shows the same numbers.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mmr1.models.shapes import Shape
from mmr1.plumbing.errors import UserError

MASTER_BYTES, MOMENT_BYTES = 4, 8  # float32 master weights; AdamW's two moments
FP32_BYTES = 4

# What CUDA's context, the libraries' workspaces and, among several ranks, NCCL's buffers take. A guess.
CUDA_BYTES, NCCL_BYTES = 800 << 20, 700 << 20

# Elements of one chunk of float32 logits: 256 MiB on a CPU, and 2 GiB on a GPU, whose products of 441 tokens would be
# too small at 152k words. How a gradient is rounded depends on it.
CHUNK_ELEMENTS = 2**26
GPU_CHUNK_ELEMENTS = 2**29

VARIABLE = "MMR1_MEMORY"  # "warn" lets a job try that is not expected to fit

Parts = dict[str, int]


@dataclass(frozen=True)
class Given:
    """What an estimate depends on, and a person can change. Without `deepspeed` every rank holds everything."""

    settings: Any
    deepspeed: dict[str, Any] | None
    ranks: int

    @property
    def zero(self) -> dict[str, Any]:
        """How memory is divided; empty without DeepSpeed."""
        return (self.deepspeed or {}).get("zero_optimization") or {}

    @property
    def stage(self) -> int:
        """ZeRO's stage, 0 without DeepSpeed."""
        return int(self.zero.get("stage", 0))

    @property
    def width(self) -> int:
        """Bytes of a weight."""
        return 2 if self.settings.precision == "bf16" else 4


@dataclass(frozen=True)
class Estimate:
    """Bytes a rank needs by what they are for: always, on top of that in each of two moments, and in host memory.

    `sampling` is empty where nothing is sampled.
    """

    held: Parts
    training: Parts
    sampling: Parts = field(default_factory=dict)
    host: Parts = field(default_factory=dict)

    @property
    def peaks(self) -> dict[str, int]:
        """The bytes of the device that are needed in each moment."""
        held = sum(self.held.values())
        moments = {"training": self.training, "sampling": self.sampling}
        return {name: held + sum(parts.values()) for name, parts in moments.items() if parts}

    @property
    def peak(self) -> int:
        """The most that is needed of the device."""
        return max(self.peaks.values())


def divided(shape: Shape, given: Given, trained: int, models: int, on_gpu: bool) -> tuple[Parts, Parts, Parts]:
    """What is held of weights and optimizer, what training adds to that, and what lies in host memory.

    ZeRO's share of weights, gradients and optimizer state is exact (ZeRO, arXiv 1910.02054, §3 and §5). `trained` of
    the weights are; `models` are as large as this one. An optimizer in host memory has its gradients there, too.
    """
    weights, width, zero, stage = shape.total, given.width, given.zero, given.stage
    kept = weights / given.ranks if stage == 3 else weights
    live = min(weights, _number(zero, "stage3_max_live_parameters", 10**9)) if stage == 3 else 0
    if stage:
        share = trained / given.ranks
        optimizer, gradients = (MASTER_BYTES + MOMENT_BYTES) * share, FP32_BYTES * share
        reduced = width * min(trained, _number(zero, "reduce_bucket_size", 5 * 10**8))
    else:  # torch's AdamW in the weights' precision; DistributedDataParallel has each gradient once more
        optimizer, gradients, reduced = 2 * width * trained, width * trained, width * trained * (given.ranks > 1)
    host = {"optimizer state": optimizer, "gradients": gradients}
    offloaded = (zero.get("offload_optimizer") or {}).get("device", "none") != "none"
    copies = zero.get("zero_hpz_partition_size", 1)
    held = {
        "policy weights": width * kept,
        "reference weights": width * kept * (models - 1),
        "optimizer state": 0 if offloaded else host["optimizer state"],
        "CUDA and NCCL": (CUDA_BYTES + NCCL_BYTES * (given.ranks > 1)) * on_gpu,
    }
    training = {
        "gradients": 0 if offloaded else host["gradients"],
        "gradients being reduced": reduced,
        "weights gathered (ZeRO-3)": width * live * models,
        "the node's copy of the weights (ZeRO-3)": width * weights / copies if copies > 1 else 0,
    }
    return whole(held), whole(training), whole(host) if offloaded else {}


def chunked_head(shape: Shape, given: Given, tokens: int, on_gpu: bool) -> Parts:
    """What a head takes whose logits are made a chunk of tokens at a time."""
    chunk = min(GPU_CHUNK_ELEMENTS if on_gpu else CHUNK_ELEMENTS, tokens * shape.vocabulary)
    # The head's sum over chunks, and that of the head and of the embedding as the weights are.
    gradients = (FP32_BYTES + 2 * given.width) * shape.head
    return whole({"logits": 3 * FP32_BYTES * chunk, "gradients of head and embedding": gradients})


def activations(shape: Shape, width: int, tokens: int, again: int) -> float:
    """Bytes that the language model keeps for the backward pass at so many tokens.

    Every `again`-th layer is computed again in it, and keeps its input alone; 0: none is.
    """
    kept = _kept(shape.layers, shape.hidden * width, text_layer_bytes(shape, width), again)
    around = (FP32_BYTES + 3 * width) * shape.hidden  # embeddings, the last norm, the head's inputs
    return tokens * (kept + around)


def image_activations(shape: Shape, width: int, tokens: int, again: int) -> float:
    """Bytes that the vision tower keeps, at so many visual tokens, until the language model's backward pass is done."""
    depth = shape.window_blocks + shape.whole_blocks
    kept = _kept(depth, shape.vision_width * width, vision_block_bytes(shape, width), again)
    return tokens * shape.merge * kept


def text_layer_bytes(shape: Shape, width: int) -> int:
    """What a layer of the language model keeps of a token, with FlashAttention: norms in float32, then each product's
    inputs; of attention queries, keys, values, outputs and a logarithm a head; of the MLP four tensors.
    """
    norms = 2 * (FP32_BYTES + 2 * width) * shape.hidden
    attention = width * (2 * shape.width + 2 * shape.keys) + FP32_BYTES * shape.heads
    return norms + attention + width * 4 * shape.inner


def vision_block_bytes(shape: Shape, width: int) -> int:
    """What a block of the vision tower keeps of a patch: as `text_layer_bytes`, but that queries, keys and values are
    kept as they were made beside those that were turned, and the outputs of windows once more where they are joined.
    """
    norms = 2 * (FP32_BYTES + 2 * width) * shape.vision_width
    attention = width * (3 + 2 + 2) * shape.vision_width + FP32_BYTES * shape.vision_heads
    return norms + attention + width * 4 * shape.vision_inner


Change = tuple[str, Callable[[Given], Given]]  # in words, and what it makes of what is given


def check_fits(
    given: Given, needs: Callable[[Given], Estimate], changes: Iterable[Change], device_bytes: int | None
) -> list[str]:
    """The estimate as lines. Raises UserError, saying which changes would fit, if the device has too little memory."""
    needed = needs(given)
    shown = lines(needed)
    if device_bytes is None or needed.peak <= device_bytes:
        return shown
    moment = max(needed.peaks, key=lambda name: needed.peaks[name])
    fitting = [
        f"{words} ({gibibytes(other.peak)})"
        for words, changed in _alternatives(given, changes)
        if (other := needs(changed)).peak <= device_bytes
    ]
    parts = needed.held | getattr(needed, moment)
    largest = sorted(parts, key=lambda name: -parts[name])[:3]
    problem = (
        f"memory: expected at most the device's {gibibytes(device_bytes)}, found an estimate of "
        f"{gibibytes(needed.peak)} while {moment} "
        f"({', '.join(f'{name} {gibibytes(parts[name])}' for name in largest)}); "
        f"{'would fit: ' + ', or '.join(fitting[:3]) if fitting else 'nothing that is tried here would fit'}"
    )
    if os.environ.get(VARIABLE) != "warn":
        raise UserError(f"{problem}; {VARIABLE}=warn tries it as it is")
    return [*shown, f"  warning: {problem}"]


def with_settings(**update: Any) -> Callable[[Given], Given]:
    """What changes some settings."""
    return lambda one: replace(one, settings=one.settings.model_copy(update=update))


def divisions(given: Given) -> Iterator[Change]:
    """Other ways to divide a model: ZeRO-3, more ranks, the optimizer in host memory."""

    def with_zero(**zero: Any) -> Callable[[Given], Given]:
        return lambda one: replace(one, deepspeed={**(one.deepspeed or {}), "zero_optimization": {**one.zero, **zero}})

    if given.ranks > 1:
        yield "config/deepspeed/zero3.json", with_zero(stage=3)
    for factor in (2, 4, 8):
        yield f"{factor * given.ranks} ranks", lambda one, factor=factor: replace(one, ranks=factor * given.ranks)  # type: ignore[misc]
    yield "config/deepspeed/zero3-offload.json", with_zero(stage=3, offload_optimizer={"device": "cpu"})


def lines(needed: Estimate) -> list[str]:
    """The estimate as text: its peaks, and a line a part."""
    peaks = ", ".join(f"{gibibytes(size)} {name}" for name, size in needed.peaks.items())
    shown = [f"memory per rank, estimated: {peaks}"]
    for moment in ("held", "training", "sampling", "host"):
        parts = getattr(needed, moment)
        shown += [f"  {moment}: {name}: {size / 2**20:,.1f} MiB" for name, size in parts.items()]
    return shown


def whole(parts: dict[str, float]) -> Parts:
    """Whole bytes, without the parts that need none."""
    return {name: round(value) for name, value in parts.items() if value}


def gibibytes(size: float) -> str:
    """Bytes as text."""
    return f"{size / 2**30:.1f} GiB"


def _number(zero: dict[str, Any], name: str, default: int) -> int:
    """A size of the configuration; DeepSpeed's default where it has none, or "auto"."""
    value = zero.get(name, "auto")
    return default if value == "auto" else int(value)


def _alternatives(given: Given, changes: Iterable[Change]) -> Iterator[tuple[str, Given]]:
    """Other ways to do the same: each change alone, from those that cost least, then more and more of them together."""
    real = [(words, change) for words, change in changes if change(given) != given]
    for words, change in real:
        yield words, change(given)
    together, told = given, list[str]()
    for words, change in real:
        together, told = change(together), [*told, words]
        if len(told) > 1:
            yield " and ".join(told), together


def _kept(layers: int, input_bytes: int, layer_bytes: int, again: int) -> int:
    """What layers keep of a token: all, or the inputs of those that are computed again, and one of them at a time."""
    if not again:
        return layers * layer_bytes
    count = math.ceil(layers / again)
    return count * input_bytes + (layers - count + 1) * layer_bytes
