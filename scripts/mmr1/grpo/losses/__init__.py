"""Objectives of policy optimization, one file each. A recipe names one under `grpo.loss`.

A member says all that makes its objective:

    def advantages(rewards: torch.Tensor, settings: Settings) -> torch.Tensor

from the rewards of a step's groups, float64 [groups, n], the advantage of each rollout, of the same shape;

    def weights(sequences: Sequences, settings: Settings) -> list[float]

what each token of a sequence counts for, one number per sequence of a mini-batch. A sequence that weighs 0 is left out;

    def loss(tokens: Tokens, settings: Settings) -> tuple[torch.Tensor, dict[str, torch.Tensor]]

the part of the objective that these tokens make, a float32 scalar with gradient, and named values of each token, [N] of
any type and without gradient. A part is a sum: the parts of all micro-batches, on whichever ranks, add up to the loss
of the mini-batch. The mean of each named value over a step's tokens is logged in `metrics.jsonl` under its name.

If `Settings` has a `kl_coefficient` above 0, `tokens.reference` is there, and a reference model is loaded for it.
`_parts.py` has what several members share. Members use methods of the tensors that they get: the recipe is checked
where there is no torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sequences:
    """The responses that one optimizer update learns from, in the order of slot and rollout.

    `lengths` are the tokens of each, at least 1; `truncated` whether it was cut at `longest`, the bound on a response
    in tokens.
    """

    lengths: list[int]
    truncated: list[bool]
    longest: int


@dataclass(frozen=True)
class Tokens:
    """The response tokens of a micro-batch: N tokens of S whole sequences, one sequence after another.

    `logprobs` float32 [N]: log-probabilities (nats) under the weights that are trained, with gradient. `old` and
    `reference` float32 [N]: the same under the weights that sampled, and under the reference model (None where no KL
    term needs it). `advantages` and `weights` float32 [N]: a sequence's value at each of its tokens. `bounds` int64
    [S + 1], on the CPU: sequence s has the tokens from bounds[s] up to bounds[s + 1], at least one. `importance`
    float32 [N]: what the objective of a token, but not its KL term, is multiplied by, because the engine drew it under
    other probabilities than `old`; None for 1. All but `bounds` are on one device.
    """

    logprobs: "torch.Tensor"
    old: "torch.Tensor"
    reference: "torch.Tensor | None"
    advantages: "torch.Tensor"
    weights: "torch.Tensor"
    bounds: "torch.Tensor"
    importance: "torch.Tensor | None" = None

    def sequence_means(self, values: "torch.Tensor") -> "torch.Tensor":
        """The mean of `values` [N] over each sequence, at each of its tokens: [N], with gradient."""
        import torch

        lengths = self.bounds.diff()
        means = torch.stack([part.mean() for part in values.split(lengths.tolist())])
        return means.repeat_interleave(lengths.to(values.device))
