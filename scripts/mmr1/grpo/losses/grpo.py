"""GRPO (arXiv 2402.03300): a clipped ratio per token, advantages standardised within the group, KL (k3) in the loss.

    A = (r - mean) / (std + ε),   ρ = π(token) / π_old(token),   loss = mean(-min(ρA, clip(ρ, 1-low, 1+high)A) + β·k3)

GRPO's published objective is a mean over each sequence, then over sequences (`loss_average: sequence`). The default is
that of MMR1's released code: a mean over the tokens of each micro-batch of 8 rollouts, then over these.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mmr1.grpo.losses import Sequences, Tokens
from mmr1.grpo.losses._parts import (
    AdvantageEpsilon,
    ClippedSettings,
    clipped,
    group_advantages,
    kept_lengths,
    mean_weights,
)

if TYPE_CHECKING:
    import torch

TITLE = "GRPO"
EXAMPLE = """
grpo:
  loss: {name: grpo, kl_coefficient: 0.01, loss_average: sequence}
"""


class Settings(ClippedSettings):
    """Defaults are the MMR1 paper's Table 6, and its released code's where the table is silent."""

    advantage_epsilon: AdvantageEpsilon = 1e-6
    loss_average: Literal["micro_batch", "sequence", "batch"] = Field(
        "micro_batch",
        description="mean over the tokens of each `micro_batch_size` rollouts, then over these (released code); "
        "over each sequence, then over sequences (GRPO); over all tokens of the mini-batch (DAPO)",
    )
    micro_batch_size: int = Field(8, ge=1, description="rollouts in one token mean of `micro_batch`; sets no memory")


def advantages(rewards: "torch.Tensor", settings: Settings) -> "torch.Tensor":
    """Standardised within each group."""
    return group_advantages(rewards, settings.advantage_epsilon)


def weights(sequences: Sequences, settings: Settings) -> list[float]:
    """Those of the mean that `loss_average` names."""
    lengths = kept_lengths(sequences, settings.truncated)
    size = {"batch": len(lengths), "sequence": 1, "micro_batch": settings.micro_batch_size}[settings.loss_average]
    return mean_weights(lengths, size)


def loss(tokens: Tokens, settings: Settings) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """The clipped surrogate at a ratio per token."""
    return clipped(tokens, tokens.logprobs - tokens.old, settings)
