"""Attention of the vision tower: windows and images of equal length are attended to in one call.

A tower attends within windows of an image or within whole images. transformers runs one attention call for each of
them where no flash-attention package is installed, which is 63 for a block of Qwen2.5-VL and an image of 728 × 1008
pixels. Here sequences of equal length are a batch of one call. An image has windows of at most four lengths (whole
ones, those cut at the right, below, and in the corner), and all images together of few. Each sequence is computed as
it was alone.

The way in is transformers' attention interface. A tower hands all sequences over at once to an attention whose name
has "flash" in it, and so ours have.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.weak import WeakTensorKeyDictionary
from transformers import AttentionInterface, PreTrainedModel

from mmr1.models.family import family_of

Way = Literal["grouped", "varlen"]
NAMES: dict[Way, str] = {"grouped": "flash_grouped_by_length", "varlen": "flash_varlen_of_torch"}


def use_vision_attention(model: PreTrainedModel, way: Way = "grouped") -> None:
    """Let the model's vision tower attend to sequences of equal length at once, the language model as before.

    `varlen` is one call of torch's `varlen_attn` for all sequences: on a GPU only, in bfloat16 or float16. No second
    model can be made from this one's config: transformers would look for a package of the attention's name.
    """
    family_of(model.config).vision_tower(model).config._attn_implementation = NAMES[way]


class Layout(NamedTuple):
    """How T patches are put in order of the lengths of their sequences.

    `groups` are (number, length) of equal sequences, `order` int64 [T] says which patch comes at each place and
    `inverse` undoes it; both are None where the order stays.
    """

    groups: list[tuple[int, int]]
    order: torch.Tensor | None
    inverse: torch.Tensor | None


def layout(bounds: torch.Tensor) -> Layout:
    """The layout of the sequences between `bounds` int [S + 1], which ascend from 0 to T; on their device."""
    on_cpu = bounds.cpu().long()
    lengths = on_cpu.diff()
    kinds, counts = lengths.unique(return_counts=True)
    groups = list(zip(counts.tolist(), kinds.tolist(), strict=True))
    if len(groups) <= 1:
        return Layout(groups, None, None)
    order = torch.arange(int(on_cpu[-1]))[lengths.repeat_interleave(lengths).argsort(stable=True)]
    return Layout(groups, order.to(bounds.device), order.argsort().to(bounds.device))


# A tower passes the same bounds to all its blocks. On a GPU each look at them would wait for it.
_LAYOUTS: Any = WeakTensorKeyDictionary()


class _Reordered(torch.autograd.Function):
    """`values[order]`; its gradient is a lookup too: a scatter has no deterministic kernel on a GPU."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, order: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inverse)
        return values[order]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return gradients[0][inverse], None, None


def _grouped(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: torch.Tensor,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of [1, H, T, D] within the sequences that `cu_seq_lens_q` bounds: [1, T, H, D]."""
    plan = _LAYOUTS.get(cu_seq_lens_q)
    if plan is None:
        plan = _LAYOUTS[cu_seq_lens_q] = layout(cu_seq_lens_q)
    by_patch = [states[0].transpose(0, 1) for states in (query, key, value)]
    if plan.order is not None:
        by_patch = [_Reordered.apply(states, plan.order, plan.inverse) for states in by_patch]
    sizes = [count * length for count, length in plan.groups]
    parts = []
    for group, states in zip(plan.groups, zip(*(one.split(sizes) for one in by_patch), strict=True), strict=True):
        batch = (one.unflatten(0, group).transpose(1, 2) for one in states)
        parts.append(scaled_dot_product_attention(*batch, scale=scaling).transpose(1, 2).flatten(0, 1))
    out = torch.cat(parts)
    if plan.inverse is not None:
        out = _Reordered.apply(out, plan.inverse, plan.order)
    return out[None], None


def _varlen(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As `_grouped`, in one call."""
    from torch.nn.attention.varlen import varlen_attn

    by_patch = [states[0].transpose(0, 1) for states in (query, key, value)]
    return varlen_attn(*by_patch, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q, scale=scaling)[None], None


AttentionInterface.register(NAMES["grouped"], _grouped)
AttentionInterface.register(NAMES["varlen"], _varlen)
