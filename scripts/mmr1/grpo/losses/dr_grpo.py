"""Dr. GRPO (arXiv 2503.20783, §3.2): GRPO without its two biases, division by the standard deviation and by the length.

    A = r - mean,   loss = Σ_tokens -min(ρA, clip(ρ, 1-low, 1+high)A) / (sequences · max_response_tokens)

Problems that are nearly always or nearly never solved count no more than others, and a token of a long wrong response
counts as much as one of a short one. The divisor is a constant: it does not depend on what was sampled, or left out.
"""

from typing import TYPE_CHECKING

from mmr1.grpo.losses import Sequences, Tokens
from mmr1.grpo.losses._parts import ClippedSettings, KLCoefficient, centred_advantages, clipped, kept_lengths

if TYPE_CHECKING:
    import torch

TITLE = "Dr. GRPO"
EXAMPLE = """
grpo:
  loss: dr_grpo
"""


class Settings(ClippedSettings):
    """Without a KL term, as Dr. GRPO has none."""

    kl_coefficient: KLCoefficient = 0.0


def advantages(rewards: "torch.Tensor", settings: Settings) -> "torch.Tensor":
    """The reward over the group's mean."""
    return centred_advantages(rewards)


def weights(sequences: Sequences, settings: Settings) -> list[float]:
    """One constant for all tokens that are trained on."""
    constant = 1.0 / (len(sequences.lengths) * sequences.longest)
    return [constant if length else 0.0 for length in kept_lengths(sequences, settings.truncated)]


def loss(tokens: Tokens, settings: Settings) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """The clipped surrogate at a ratio per token."""
    return clipped(tokens, tokens.logprobs - tokens.old, settings)
