"""Log-probabilities of chosen tokens without a full logits tensor: the vocabulary is met one chunk of tokens at a time.

At 152k words a float32 row of logits is 0.6 MB, so 4,096 tokens of eight responses would take 20 GB, several times
over in a backward pass. Here a chunk's logits are made, used and dropped, in the forward pass and in the backward pass.
"""

from typing import Any

import torch
from torch import nn

from mmr1.models.action_space import policy_logits
from mmr1.training.memory import CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS


class LogprobHead(nn.Linear):
    """A language-model head that returns log-probabilities and entropies in place of logits.

    It takes the place of a model's `lm_head` and shares its weight, so checkpoints and ZeRO hooks see nothing new.
    `suppressed` are the token ids that the sampler never draws: they have no probability here either.
    """

    def __init__(self, head: nn.Linear, temperature: float, suppressed: list[int]) -> None:
        super().__init__(head.in_features, head.out_features, bias=False, device="meta")
        self.weight = head.weight
        self.temperature = temperature
        self.register_buffer("suppressed", torch.tensor(suppressed, dtype=torch.long), persistent=False)

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """`hidden` [tokens, width], `targets` int64 [tokens]: two float32 [tokens], log-probability and entropy (nats).

        Both are of softmax(logits / temperature) over the tokens that are not suppressed. Only the first has gradient.
        """
        return _ChunkedLogprobs.apply(hidden, self.weight, targets, self.temperature, self.suppressed)


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        temperature: float,
        suppressed: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs, entropies = [], []
        for part, target in _chunks(hidden, targets, weight.shape[0]):
            scaled = _log_softmax(part, weight, temperature, suppressed)
            logprobs.append(scaled.gather(1, target[:, None])[:, 0])
            # A suppressed token has probability 0 and log-probability -inf; its share of the entropy is 0.
            entropies.append(-(scaled.exp() * scaled.clamp(min=torch.finfo(torch.float32).min)).sum(1))
        ctx.save_for_backward(hidden, weight, targets, suppressed)
        ctx.temperature = temperature
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logprobs), entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden, weight, targets, suppressed = ctx.saved_tensors
        gradient = gradients[0]
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32)  # a sum over chunks: not in bf16
        start = 0
        for part, target in _chunks(hidden, targets, weight.shape[0]):
            stop = start + len(part)
            logits_gradient = -_log_softmax(part, weight, ctx.temperature, suppressed).exp_()
            logits_gradient[torch.arange(len(part), device=part.device), target] += 1
            logits_gradient *= (gradient[start:stop] / ctx.temperature)[:, None]
            logits_gradient = logits_gradient.to(weight.dtype)
            hidden_gradient[start:stop] = logits_gradient @ weight
            if weight.dtype == torch.float32:
                weight_gradient.addmm_(logits_gradient.T, part)
            else:
                weight_gradient += logits_gradient.T @ part
            start = stop
        return hidden_gradient, weight_gradient.to(weight.dtype), None, None, None


def _chunks(hidden: torch.Tensor, targets: torch.Tensor, vocabulary: int) -> Any:
    size = max(1, (GPU_CHUNK_ELEMENTS if hidden.is_cuda else CHUNK_ELEMENTS) // vocabulary)
    return zip(hidden.split(size), targets.split(size), strict=True)


def _log_softmax(
    hidden: torch.Tensor, weight: torch.Tensor, temperature: float, suppressed: torch.Tensor
) -> torch.Tensor:
    return torch.log_softmax(policy_logits(hidden @ weight.T, suppressed, temperature), dim=1)
