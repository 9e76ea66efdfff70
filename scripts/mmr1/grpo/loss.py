"""The GRPO objective: clipped surrogate with the k3 estimate of the KL divergence, as weighted sums over tokens.

A weight per sequence says how the mean is taken. Weights come from the whole mini-batch, so the sum over any split
into micro-batches and ranks is the same loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

LossAverage = Literal["micro_batch", "sequence", "batch"]


def sequence_weights(
    lengths: Sequence[int], kept: Sequence[bool], average: LossAverage, micro_batch_size: int
) -> list[float]:
    """What each token of a sequence counts for in the loss; the weights of all kept tokens sum to 1.

    `lengths` are the response tokens of the mini-batch's sequences in the order of slot and rollout; sequences that
    are not `kept` (truncated ones, by rule) weigh 0. "batch": one mean over all tokens (DAPO). "sequence": mean over
    each sequence, then over sequences (GRPO). "micro_batch": mean over the tokens of each run of `micro_batch_size`
    sequences, then over the runs (the released code's `masked_mean` per micro-batch).
    """
    counted = [length if keep else 0 for length, keep in zip(lengths, kept, strict=True)]
    size = {"batch": len(counted), "sequence": 1, "micro_batch": micro_batch_size}[average]
    runs = [counted[start : start + size] for start in range(0, len(counted), size)]
    totals = [sum(run) for run in runs]
    filled = sum(total > 0 for total in totals)
    return [
        1.0 / (filled * total) if length else 0.0 for run, total in zip(runs, totals, strict=True) for length in run
    ]


@dataclass(frozen=True)
class TokenLoss:
    """Per-token parts of the loss, all [tokens]: `loss` with gradient; `kl`, `low`, `high`: clipped there."""

    loss: torch.Tensor
    kl: torch.Tensor | None
    low: torch.Tensor
    high: torch.Tensor


def token_losses(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    reference_logprobs: torch.Tensor | None,
    advantages: torch.Tensor,
    clip_low: float,
    clip_high: float,
    kl_coefficient: float,
) -> TokenLoss:
    """The loss of each response token; all arguments float32 [tokens], `advantages` repeated over a sequence's tokens.

    -min(ρA, clip(ρ, 1-low, 1+high)A) + β·k3 with ρ = exp(logprob - old) (PPO eq. 7, DAPO eq. 8) and
    k3 = exp(d) - d - 1 with d = reference - logprob (GRPO eq. 4). Without a reference there is no KL term.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = -torch.minimum(ratio * advantages, clipped * advantages)
    kl = None
    if reference_logprobs is not None:
        difference = reference_logprobs - logprobs
        kl = torch.exp(difference) - difference - 1
        loss = loss + kl_coefficient * kl
    with torch.no_grad():
        low = (ratio < 1 - clip_low) & (advantages < 0)
        high = (ratio > 1 + clip_high) & (advantages > 0)
    return TokenLoss(loss, None if kl is None else kl.detach(), low, high)
