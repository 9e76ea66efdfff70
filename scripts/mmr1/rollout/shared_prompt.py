"""Decoding many responses to few prompts: each prompt's keys and values are kept once, not once per response.

The text layers of the model are used as they are; only their attention is swapped while decoding, through
transformers' attention interface. Attention to the prompt is computed for all responses to it in one product and
merged with attention to the response so far by their log-sum-exp.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, Cache, PreTrainedConfig

ATTENTION = "shared_prompt"
# The response part of the cache grows by this factor, so that copying it costs little.
GROWTH = 2
FIRST_CAPACITY = 32


class SharedPromptCache:
    """Keys and values of P prompts and of B responses to them, per layer.

    `prompts` is what the model's forward pass over left-padded prompts left behind (each layer [P, Hkv, T, D]);
    `mask` bool [P, T] is true on prompt tokens; `prompt_of` int64 [B] says which prompt a response belongs to. All
    responses have the same length, since they are decoded in step.
    """

    def __init__(self, prompts: Cache, mask: torch.Tensor, prompt_of: torch.Tensor) -> None:
        self._prompts = [(layer.keys, layer.values) for layer in prompts.layers]
        self._responses: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(self._prompts)
        self._mask = mask
        self._prompt_of = prompt_of
        self._length = 0
        self._lay_out()

    def advance(self) -> None:
        """Make room for one more token of every response; to be called before each forward pass."""
        self._length += 1

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's keys and values of the newest token, [B, Hkv, 1, D]; returns those of the whole responses."""
        held = self._responses[layer]
        if held is None or held[0].shape[2] < self._length:
            held = self._grown(held, keys)
            self._responses[layer] = held
        held[0][:, :, self._length - 1] = keys[:, :, 0]
        held[1][:, :, self._length - 1] = values[:, :, 0]
        return held[0][:, :, : self._length], held[1][:, :, : self._length]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only the responses at `rows` (int64, ascending), and only the prompts that still have one."""
        self._responses = [None if held is None else (held[0][rows], held[1][rows]) for held in self._responses]
        left, self._prompt_of = torch.unique(self._prompt_of[rows], return_inverse=True)
        if len(left) < len(self._mask):
            self._prompts = [(keys[left], values[left]) for keys, values in self._prompts]
            self._mask = self._mask[left]
        self._lay_out()

    def attend(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, layer: int, scaling: float
    ) -> torch.Tensor:
        """Attention of one query per response, [B, H, 1, D], to its prompt and its own `keys`; returns [B, 1, H, D]."""
        rows, heads, _, width = query.shape
        key_value_heads = keys.shape[1]
        grouped = query.view(rows, key_value_heads, heads // key_value_heads, width) * scaling
        prompt = self._to_prompts(grouped, layer)
        response = _partial(grouped, keys, values, None)
        return _merge(prompt, response).reshape(rows, 1, heads, width).to(query.dtype)

    def _to_prompts(self, query: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of [B, Hkv, R, D] to the prompts: responses to one prompt are rows of one matrix product."""
        keys, values = self._prompts[layer]
        prompts, slots = len(keys), self._slots
        _, key_value_heads, repeats, width = query.shape
        placed = query.new_zeros(prompts * slots, key_value_heads, repeats, width)
        placed[self._slot_of] = query
        placed = placed.view(prompts, slots, key_value_heads, repeats, width).transpose(1, 2)
        out, log_sum = _partial(
            placed.reshape(prompts, key_value_heads, slots * repeats, width), keys, values, self._mask
        )

        def back(slotted: torch.Tensor) -> torch.Tensor:
            by_slot = slotted.view(prompts, key_value_heads, slots, repeats, -1).transpose(1, 2)
            return by_slot.reshape(prompts * slots, key_value_heads, repeats, -1)[self._slot_of]

        return back(out), back(log_sum)

    def _lay_out(self) -> None:
        """Give every response a slot of its prompt: response b sits at `_slot_of[b]` of P × `_slots` slots."""
        one_hot = torch.nn.functional.one_hot(self._prompt_of, len(self._mask))
        rank = (one_hot.cumsum(0) * one_hot).sum(1) - 1
        self._slots = int(rank.max()) + 1
        self._slot_of = self._prompt_of * self._slots + rank

    def _grown(
        self, held: tuple[torch.Tensor, torch.Tensor] | None, like: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, heads, _, width = like.shape
        old = 0 if held is None else held[0].shape[2]
        capacity = max(FIRST_CAPACITY, old * GROWTH)
        keys, values = (like.new_empty(rows, heads, capacity, width) for _ in range(2))
        if held is not None:
            keys[:, :, :old], values[:, :, :old] = held
        return keys, values


@contextmanager
def shared_prompt_attention(text_config: PreTrainedConfig) -> Iterator[None]:
    """Let the model's text layers attend through the `SharedPromptCache` they are given as `past_key_values`."""
    before = text_config._attn_implementation
    text_config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        text_config._attn_implementation = before


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    shared_prompts: SharedPromptCache,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    return shared_prompts.attend(query, key, value, module.layer_idx, scaling), None


AttentionInterface.register(ATTENTION, _attention)


def _partial(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of [N, Hkv, Q, D] over one set of keys [N, Hkv, L, D], and its log-sum-exp [N, Hkv, Q, 1], float32."""
    scores = torch.matmul(query, keys.transpose(2, 3)).float()
    if mask is not None:
        scores = scores.masked_fill_(~mask[:, None, None, :], -torch.inf)
    log_sum = scores.logsumexp(dim=-1, keepdim=True)
    weights = (scores - log_sum).exp_().to(values.dtype)
    return torch.matmul(weights, values).float(), log_sum


def _merge(first: tuple[torch.Tensor, torch.Tensor], second: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Attention over the union of two sets of keys, from the attention over each and their log-sum-exps."""
    (out_1, log_1), (out_2, log_2) = first, second
    share = torch.sigmoid(log_1 - log_2)
    return out_2 + share * (out_1 - out_2)
