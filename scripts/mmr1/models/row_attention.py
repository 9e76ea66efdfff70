"""Attention in a row of several texts: causal within each of them, and none sees another.

On a GPU in half precision it is one call of FlashAttention's kernel for sequences of any length, which skips what no
token sees; elsewhere one call of `scaled_dot_product_attention` a text, which is what an unpacked text gets.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "row_attention"


def attend_within_texts(model: PreTrainedModel) -> None:
    """Let the language model of a vision-language model take rows; each forward pass is given `bounds_of` them."""
    AttentionInterface.register(NAME, row_attention)
    model.model.language_model.config._attn_implementation = NAME


def bounds_of(lengths: list[int]) -> dict[str, Any]:
    """Where a row's texts begin and end, under the names that transformers hands on to attention.

    The bounds are int32 [texts + 1], from 0; the longest length is beside them.
    """
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    longest = max(lengths)
    return {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds, "max_length_q": longest, "max_length_k": longest}


def row_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """`query` [1, heads, T, size], `key` and `value` [1, groups, T, size]: [1, T, heads, size]."""
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        from torch.nn.attention.varlen import varlen_attn

        flat = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))
        bounds, longest = (cu_seq_lens_q, cu_seq_lens_q), (max_length_q, max_length_q)
        seen = varlen_attn(*flat, *bounds, *longest, scale=scaling, window_size=(-1, 0), enable_gqa=True)
        return seen[None], None  # type: ignore[index]
    lengths = cu_seq_lens_q.diff().tolist()
    parts = zip(*(states.split(lengths, dim=2) for states in (query, key, value)), strict=True)
    texts = [scaled_dot_product_attention(*part, is_causal=True, scale=scaling, enable_gqa=True) for part in parts]
    return torch.cat(texts, dim=2).transpose(1, 2), None
