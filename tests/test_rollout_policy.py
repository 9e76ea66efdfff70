"""The sampled policy: suppressed tokens, temperature, top-p, and Gumbel-max draws that follow the softmax."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import AutoConfig, AutoProcessor

from grpo_fixtures import PATIENT
from mmr1.models.action_space import keep_top_p, policy_logits, suppressed_tokens
from mmr1.rollout.gumbel import draw, gumbel_noise, mix

LOGITS = torch.tensor([1.0, 0.0, -1.0, 2.0, 0.5, -torch.inf, 0.1, -2.0])


def splitmix64(state: int) -> int:
    """The published algorithm in Python's integers."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


@PATIENT
@given(st.integers(0, 2**64 - 1))
def test_mix_is_splitmix64(state: int) -> None:
    signed = torch.tensor(np.uint64(state).astype(np.int64))
    assert int(mix(signed)) % 2**64 == splitmix64(state)


def test_first_output_of_seed_zero() -> None:
    """The reference value of SplitMix64 with seed 0."""
    assert splitmix64(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@settings(PATIENT, max_examples=30)
@given(st.integers(0, 2**63 - 1), st.integers(0, 4096))
def test_noise_depends_on_seed_and_position_only(seed: int, position: int) -> None:
    others = torch.tensor([1, seed, 2**63 - 1])
    alone, among = gumbel_noise(torch.tensor([seed]), position, 50), gumbel_noise(others, position, 50)
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(alone, gumbel_noise(torch.tensor([seed]), position + 1, 50))
    assert not torch.equal(alone, gumbel_noise(torch.tensor([seed ^ 1]), position, 50))


@pytest.mark.parametrize("vary", ["seeds", "positions"])
def test_draws_follow_the_softmax(vary: str) -> None:
    """Chi-square over 40,000 draws, with neighbouring seeds at one position or neighbouring positions of one seed."""
    count = 40_000
    if vary == "seeds":
        drawn = draw(LOGITS.expand(count, -1), torch.arange(count), position=3)
    else:
        drawn = torch.cat([draw(LOGITS[None], torch.tensor([7]), position) for position in range(count // 10)])
    counts = torch.bincount(drawn, minlength=len(LOGITS)).numpy()
    expected = LOGITS.softmax(-1).double().numpy()
    assert counts[5] == 0
    possible = expected > 0
    expected = expected[possible] / expected[possible].sum() * counts.sum()
    assert chisquare(counts[possible], expected).pvalue > 0.001


def test_neighbouring_draws_are_independent() -> None:
    """Pairs of draws at positions t and t + 1 fill the product distribution."""
    count = 40_000
    logits, seeds = LOGITS.expand(count, -1), torch.arange(count)
    pairs = draw(logits, seeds, 0) * len(LOGITS) + draw(logits, seeds, 1)
    probabilities = LOGITS.softmax(-1).double()
    expected = torch.outer(probabilities, probabilities).flatten().numpy()
    counts = torch.bincount(pairs, minlength=len(expected)).numpy()
    often = expected * count >= 5
    rest = np.append(expected[often], expected[~often].sum()) * count
    assert chisquare(np.append(counts[often], counts[~often].sum()), rest * count / rest.sum()).pvalue > 0.001


def test_rows_are_drawn_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, seeds = torch.randn(7, 11, generator=torch.Generator().manual_seed(0)), torch.arange(7)
    whole = draw(logits, seeds, 0)
    monkeypatch.setattr("mmr1.rollout.gumbel.CHUNK_ELEMENTS", 30)
    assert torch.equal(draw(logits, seeds, 0), whole)


def test_policy_logits() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert policy_logits(logits, [1], 0.5).tolist() == [[2.0, -torch.inf, 6.0]]
    assert policy_logits(logits, [], 0.0).tolist() == [[1.0, 2.0, 3.0]]
    assert policy_logits(logits.bfloat16(), [0], 1.0).dtype == torch.float32
    assert logits.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1.0, {0, 1, 2, 3}), (0.95, {0, 1, 2, 3}), (0.9, {0, 1, 2}), (0.7, {0, 1}), (0.5, {0}), (0.01, {0})],
)
def test_top_p_keeps_the_smallest_sufficient_set(top_p: float, kept: set[int]) -> None:
    probabilities = torch.tensor([[0.55, 0.25, 0.125, 0.075]])
    filtered = keep_top_p(probabilities.log(), top_p)
    assert set(filtered.isfinite().nonzero()[:, 1].tolist()) == kept


@PATIENT
@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20), st.floats(0.01, 1))
def test_top_p_against_its_definition(logits: list[float], top_p: float) -> None:
    probabilities = torch.tensor(logits).softmax(-1).double()
    kept = keep_top_p(torch.tensor([logits]), top_p)[0].isfinite()
    assert probabilities[kept].sum() >= top_p - 1e-5
    if kept.sum() > 1:
        assert probabilities[kept].sum() - probabilities[kept].min() < top_p + 1e-5
    if not kept.all():
        assert probabilities[kept].min() >= probabilities[~kept].max()


def test_suppressed_tokens_of_the_tiny_model(tiny_model_dir: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(tiny_model_dir).tokenizer
    config = AutoConfig.from_pretrained(tiny_model_dir)
    names = tokenizer.convert_ids_to_tokens(suppressed_tokens(tokenizer, config))
    assert names == [
        "<|endoftext|>",
        "<|im_start|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    # A model whose vocabulary is padded, as Qwen2.5-VL's is, has ids that no token belongs to.
    config.text_config.vocab_size += 3
    assert suppressed_tokens(tokenizer, config)[-3:] == [len(tokenizer) + extra for extra in range(3)]
