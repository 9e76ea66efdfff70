"""What a token may attend to where a row holds several responses behind a prompt, or a line several such rows.

One definition, `may_attend`. On a GPU FlexAttention (arXiv 2412.05496) takes it as a mask of blocks and passes over
those that are empty. On a CPU, where FlexAttention has no backward pass, the same definition makes a dense mask.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "sdpa_or_flex"
BLOCK = 128  # tokens of a side of FlexAttention's blocks
RECOMPILATIONS = 32  # torch's own limit is 8

Mask: TypeAlias = torch.Tensor | BlockMask
MayAttend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def may_attend(row_of: torch.Tensor, response_of: torch.Tensor) -> MayAttend:
    """Whether, in a line, the token at `query` may attend to the one at `key`: FlexAttention's `mask_mod`.

    `row_of` int [lines, T] is the row of each token, `response_of` int [lines, T] its response in that row, 0 in the
    prompt. A token sees of what stands before it in its row the prompt and its own response.
    """

    def mask(line: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        before = (query >= key) & (row_of[line, query] == row_of[line, key])
        return before & ((response_of[line, key] == 0) | (response_of[line, key] == response_of[line, query]))

    return mask


def dense_mask(row_of: torch.Tensor, response_of: torch.Tensor) -> torch.Tensor:
    """`may_attend` of all pairs: bool [lines, 1, T, T]."""
    lines, width = row_of.shape
    index = torch.arange(width, device=row_of.device)
    line = torch.arange(lines, device=row_of.device)
    mask = may_attend(row_of, response_of)
    return mask(line[:, None, None], line[:1], index[:, None], index)[:, None]


def block_mask(row_of: torch.Tensor, response_of: torch.Tensor) -> BlockMask:
    """`may_attend` as FlexAttention takes it."""
    lines, width = row_of.shape
    mask = may_attend(row_of, response_of)
    return create_block_mask(mask, lines, None, width, width, device=row_of.device, BLOCK_SIZE=BLOCK)


def attention_mask(row_of: torch.Tensor, response_of: torch.Tensor) -> Mask:
    """What the attention of this device takes: a mask of blocks on a GPU, a dense one on a CPU."""
    return (block_mask if row_of.is_cuda else dense_mask)(row_of, response_of)


def use_row_attention(text_config: PreTrainedConfig) -> None:
    """Let a language model take `attention_mask`'s masks; with any other, or none, it attends as under "sdpa"."""
    text_config._attn_implementation = ATTENTION


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Mask | None,
    *,
    scaling: float,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    if not isinstance(attention_mask, BlockMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    attend = _compiled() if query.is_cuda else flex_attention
    shared = query.shape[1] != key.shape[1]  # queries share keys and values
    out = attend(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=shared)
    return out.transpose(1, 2).contiguous(), None


@cache
def _compiled() -> Callable[..., Any]:
    """FlexAttention compiled for any sizes at once: which came first decides nothing, so that a resumed job has the
    same kernels. One line or block is compiled apart, and each with and without gradient: within `RECOMPILATIONS`,
    behind which torch would attend densely.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, RECOMPILATIONS)
    return torch.compile(flex_attention, dynamic=True)


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
