"""DAPO (arXiv 2503.14476): clip-higher (§3.1), one mean over all tokens (§3.3), truncated responses left out (§3.4).

    A = (r - mean) / (std + ε),   loss = mean over the mini-batch's tokens of -min(ρA, clip(ρ, 1-low, 1+high)A)

There is no KL term. §3.4 has two answers to truncated responses: they are masked (`truncated: mask`, the default), or
kept and their reward is lowered as they grow long, which is a reward and not part of the loss. Dynamic sampling (§3.2)
is the gate `dapo`.
"""

from typing import TYPE_CHECKING

from mmr1.grpo.losses import Sequences, Tokens
from mmr1.grpo.losses._parts import (
    AdvantageEpsilon,
    ClipHigh,
    ClippedSettings,
    KLCoefficient,
    Truncated,
    clipped,
    group_advantages,
    kept_lengths,
    mean_weights,
)

if TYPE_CHECKING:
    import torch

TITLE = "DAPO"
EXAMPLE = """
grpo:
  loss: {name: dapo, clip_high: 0.28, truncated: mask}
"""


class Settings(ClippedSettings):
    """Defaults are DAPO's (§4.1)."""

    clip_high: ClipHigh = 0.28
    kl_coefficient: KLCoefficient = 0.0
    truncated: Truncated = "mask"
    advantage_epsilon: AdvantageEpsilon = 1e-6


def advantages(rewards: "torch.Tensor", settings: Settings) -> "torch.Tensor":
    """Standardised within each group."""
    return group_advantages(rewards, settings.advantage_epsilon)


def weights(sequences: Sequences, settings: Settings) -> list[float]:
    """Those of one mean over all tokens of the mini-batch."""
    lengths = kept_lengths(sequences, settings.truncated)
    return mean_weights(lengths, size=len(lengths))


def loss(tokens: Tokens, settings: Settings) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """The clipped surrogate at a ratio per token."""
    return clipped(tokens, tokens.logprobs - tokens.old, settings)
