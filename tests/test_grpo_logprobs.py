"""Chunked log-probabilities against a full log-softmax, values and gradients."""

import pytest
import torch
from torch import nn

from mmr1.grpo import logprobs
from mmr1.grpo.logprobs import LogprobHead

TOKENS, WIDTH, VOCABULARY = 37, 16, 50
SUPPRESSED = [0, 7, 49]


@pytest.mark.parametrize("chunk", [1, 5 * VOCABULARY, 10**9])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int, temperature: float) -> None:
    monkeypatch.setattr(logprobs, "CHUNK_ELEMENTS", chunk)
    torch.manual_seed(0)
    plain = nn.Linear(WIDTH, VOCABULARY, bias=False).double()
    hidden = torch.randn(TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(8, 49, (TOKENS,))
    weights = torch.randn(TOKENS)

    logits = plain(hidden) / temperature
    logits[:, SUPPRESSED] = -torch.inf
    full = torch.log_softmax(logits, dim=1)
    expected = full.gather(1, targets[:, None])[:, 0]
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [hidden, plain.weight])

    head = LogprobHead(plain, temperature, SUPPRESSED)
    found, entropy = head(hidden, targets)
    gradients = torch.autograd.grad((found * weights).sum(), [hidden, head.weight])

    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        entropy, torch.distributions.Categorical(logits=logits).entropy().float(), atol=1e-6, rtol=1e-5
    )
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-5)


def test_the_head_shares_the_weight_and_its_name() -> None:
    plain = nn.Linear(WIDTH, VOCABULARY, bias=False)
    head = LogprobHead(plain, 1.0, SUPPRESSED)
    assert head.weight is plain.weight
    assert list(head.state_dict()) == ["weight"]
