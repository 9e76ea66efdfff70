"""What losses share: settings, advantages of a group, weights of tokens, the clipped surrogate, the KL term."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmr1.grpo.losses import Sequences, Tokens
from mmr1.plumbing.settings import Section

if TYPE_CHECKING:
    import torch

ClipLow = Annotated[float, Field(gt=0, lt=1, description="the ratio is clipped below 1 minus this")]
ClipHigh = Annotated[float, Field(gt=0, description="the ratio is clipped above 1 plus this")]
KLCoefficient = Annotated[float, Field(ge=0, description="of the k3 estimate, in the loss; 0 needs no reference model")]
Truncated = Annotated[
    Literal["keep", "mask"], Field(description="responses cut at max_response_tokens: train on them or not")
]
AdvantageEpsilon = Annotated[float, Field(ge=0, description="added to the group's unbiased standard deviation")]


class ClippedSettings(Section):
    """Settings of the losses that clip a ratio; a member states the defaults in which it differs."""

    clip_low: ClipLow = 0.2
    clip_high: ClipHigh = 0.2
    kl_coefficient: KLCoefficient = 0.01
    truncated: Truncated = "keep"


def group_advantages(rewards: "torch.Tensor", epsilon: float) -> "torch.Tensor":
    """(r - mean) / (std + epsilon) within each group, with the unbiased standard deviation (GRPO, 2402.03300 §4.1.2).

    `rewards` float64 [groups, n], n ≥ 2; returns the same shape. A group without variance gets zeros, also where
    epsilon is 0 or the mean of equal rewards is rounded.
    """
    mean = rewards.mean(dim=1, keepdim=True)
    std = rewards.std(dim=1, keepdim=True)
    return ((rewards - mean) / (std + epsilon)).masked_fill(_equal(rewards), 0.0)


def centred_advantages(rewards: "torch.Tensor") -> "torch.Tensor":
    """r - mean within each group: float64 [groups, n] to the same shape; zeros for a group without variance."""
    return (rewards - rewards.mean(dim=1, keepdim=True)).masked_fill(_equal(rewards), 0.0)


def kept_lengths(sequences: Sequences, truncated: Literal["keep", "mask"]) -> list[int]:
    """The tokens of each sequence that are trained on: 0 for truncated ones under "mask"."""
    pairs = zip(sequences.lengths, sequences.truncated, strict=True)
    return [0 if cut and truncated == "mask" else length for length, cut in pairs]


def mean_weights(lengths: Sequence[int], size: int) -> list[float]:
    """Weights of a mean over the tokens of each run of `size` sequences, then over these runs; a length of 0 weighs 0.

    The weights of all tokens sum to 1. A size of 1 is a mean over each sequence, then over sequences; a size of all of
    them is one mean over all tokens.
    """
    runs = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    totals = [sum(run) for run in runs]
    filled = sum(total > 0 for total in totals)
    return [
        1.0 / (filled * total) if length else 0.0 for run, total in zip(runs, totals, strict=True) for length in run
    ]


def clipped(
    tokens: Tokens, log_ratio: "torch.Tensor", settings: ClippedSettings
) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
    """The clipped surrogate with the k3 estimate of the KL divergence, weighted and summed; the shares clipped, and KL.

    -min(ρA, clip(ρ, 1-low, 1+high)A) + β·k3 with ρ = exp(`log_ratio`), float32 [N] (PPO eq. 7, DAPO eq. 8) and
    k3 = exp(d) - d - 1 with d = reference - logprob (GRPO eq. 4). Without a reference there is no KL term. The first
    term is multiplied by `tokens.importance`, where that is given.
    """
    ratio = log_ratio.exp()
    bounded = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    loss = -(ratio * tokens.advantages).minimum(bounded * tokens.advantages)
    if tokens.importance is not None:
        loss = loss * tokens.importance
    kl = loss.new_zeros(len(loss))
    if tokens.reference is not None:
        difference = tokens.reference - tokens.logprobs
        kl = difference.exp() - difference - 1
        loss = loss + settings.kl_coefficient * kl
    low = (ratio < 1 - settings.clip_low) & (tokens.advantages < 0)
    high = (ratio > 1 + settings.clip_high) & (tokens.advantages > 0)
    values = {
        "clip_fraction": low | high,
        "clip_fraction_low": low,
        "clip_fraction_high": high,
        "kl": kl.detach(),
    }
    return (loss * tokens.weights).sum(), values


def _equal(rewards: "torch.Tensor") -> "torch.Tensor":
    return (rewards == rewards[:, :1]).all(dim=1, keepdim=True)
