"""The policy that is sampled from and trained: which tokens it can take, and at which temperature.

Sampler and trainer share these definitions: a rollout's log-probability means the same in both (docs/design.md §7).
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from mmr1.models.family import family_of

UNIT = 2**40  # probabilities are added as multiples of 1 / UNIT


def end_of_sequence(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the one token that ends a response (the one that ends a turn of chat)."""
    return int(tokenizer.eos_token_id)


def suppressed_tokens(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> list[int]:
    """The ids that a response can never hold, ascending.

    They are all special tokens except end-of-sequence (an image or video token in a response would make the next
    forward pass look for pixels), and the ids that the model has and the tokenizer has not (a vocabulary
    may be padded). Their logits are set to -inf before the softmax, by the sampler and by the trainer alike.
    """
    special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    special |= set(tokenizer.all_special_ids)
    special |= family_of(config).visual_tokens(config)
    unnamed = range(len(tokenizer), config.text_config.vocab_size)
    return sorted((special | set(unnamed)) - {end_of_sequence(tokenizer)})


def policy_logits(logits: torch.Tensor, suppressed: Sequence[int] | torch.Tensor, temperature: float) -> torch.Tensor:
    """The logits of the policy, float32 [..., V]: those of the model, suppressed tokens at -inf, over the temperature.

    Temperature 0 means the most likely token; log-probabilities are then those of temperature 1. The input is left
    as it is.
    """
    scaled = logits.float() / temperature if temperature > 0 else logits.to(torch.float32, copy=True)
    index = torch.as_tensor(suppressed, dtype=torch.long, device=logits.device)
    return scaled.index_fill_(-1, index, -torch.inf)


def keep_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Nucleus sampling (Holtzman et al. 2020): -inf outside the smallest set of tokens that holds `top_p` of the mass.

    float32 [..., V]; the most likely token is always kept. `top_p` 1 changes nothing.
    """
    if top_p >= 1:
        return logits
    ascending, order = logits.sort(dim=-1)
    # As integers: what they add up to depends on no order, where a GPU adds floats in any.
    mass = (ascending.softmax(dim=-1).double() * UNIT).round().long().cumsum(dim=-1)
    dropped = mass <= round((1 - top_p) * UNIT)
    dropped[..., -1] = False
    return logits.masked_fill(torch.zeros_like(dropped).scatter_(-1, order, dropped), -torch.inf)
