"""GSPO (arXiv 2507.18071): one importance ratio for a whole sequence, which is clipped as a whole.

    A = (r - mean) / (std + ε),   s = (π(sequence) / π_old(sequence))^(1/length) = exp(mean over tokens of log ρ)
    loss = mean over sequences of -min(sA, clip(s, 1-low, 1+high)A)                          (eq. 5, s: eq. 7)

The ratio is a geometric mean over the tokens, so it stays much nearer to 1 than a token's, and so do its clips.
"""

from typing import TYPE_CHECKING

from mmr1.grpo.losses import Sequences, Tokens
from mmr1.grpo.losses._parts import (
    AdvantageEpsilon,
    ClipHigh,
    ClipLow,
    ClippedSettings,
    KLCoefficient,
    clipped,
    group_advantages,
    kept_lengths,
    mean_weights,
)

if TYPE_CHECKING:
    import torch

TITLE = "GSPO"
EXAMPLE = """
grpo:
  loss: {name: gspo, clip_low: 3.0e-4, clip_high: 4.0e-4}
"""


class Settings(ClippedSettings):
    """Defaults are GSPO's (§5.1), which leaves out the KL term."""

    clip_low: ClipLow = 3e-4
    clip_high: ClipHigh = 4e-4
    kl_coefficient: KLCoefficient = 0.0
    advantage_epsilon: AdvantageEpsilon = 1e-6


def advantages(rewards: "torch.Tensor", settings: Settings) -> "torch.Tensor":
    """Standardised within each group."""
    return group_advantages(rewards, settings.advantage_epsilon)


def weights(sequences: Sequences, settings: Settings) -> list[float]:
    """Those of a mean over each sequence, then over sequences: its tokens have one ratio, so it counts once."""
    return mean_weights(kept_lengths(sequences, settings.truncated), size=1)


def loss(tokens: Tokens, settings: Settings) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """The clipped surrogate at the sequence's ratio, at each of its tokens: all of them are clipped, or none."""
    return clipped(tokens, tokens.sequence_means(tokens.logprobs - tokens.old), settings)
