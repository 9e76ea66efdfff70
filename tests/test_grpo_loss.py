"""Advantages, the weights of tokens, and the clipped loss, against their formulas written out."""

import math
from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grpo_fixtures import PATIENT
from mmr1.grpo.losses import Sequences, Tokens, dapo, dr_grpo, grpo, gspo
from mmr1.grpo.losses._parts import group_advantages

LENGTHS = st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=40)


def test_advantages_are_standardised_within_a_group() -> None:
    rewards = torch.tensor([[2.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    std = math.sqrt(2 / 3)  # unbiased: divided by n - 1
    expected = [[1 / (std + 1e-6), 0.0, 0.0, -1 / (std + 1e-6)], [0.0, 0.0, 0.0, 0.0]]
    assert group_advantages(rewards, 1e-6).tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


@pytest.mark.parametrize("epsilon", [0.0, 1e-6])
def test_equal_rewards_have_no_advantage_whatever_the_rounding(epsilon: float) -> None:
    rewards = torch.tensor([[0.1] * 3, [0.1, 0.1, 0.3]], dtype=torch.float64)
    assert rewards[0].mean() != 0.1  # so that a plain quotient is not zero
    advantages = group_advantages(rewards, epsilon)
    assert advantages[0].tolist() == [0.0, 0.0, 0.0]
    assert advantages[1].abs().min() > 0.5


def grpo_weights(lengths: list[int], kept: list[bool], average: str, size: int) -> list[float]:
    """GRPO's weights where truncated sequences are left out and those not `kept` are truncated."""
    settings = grpo.Settings.model_validate({"loss_average": average, "micro_batch_size": size, "truncated": "mask"})
    return grpo.weights(Sequences(lengths, [not keep for keep in kept], longest=50), settings)


@PATIENT
@given(LENGTHS, st.sampled_from(["micro_batch", "sequence", "batch"]), st.integers(1, 9))
def test_weights_of_kept_tokens_sum_to_one(pairs: list[tuple[int, bool]], average: str, size: int) -> None:
    lengths, kept = [length for length, _ in pairs], [keep for _, keep in pairs]
    weights = grpo_weights(lengths, kept, average, size)
    total = sum(length * weight for length, weight in zip(lengths, weights, strict=True))
    assert total == pytest.approx(1.0 if any(kept) else 0.0)
    assert all((weight > 0) == keep for weight, keep in zip(weights, kept, strict=True))


def test_each_average_is_what_its_name_says() -> None:
    lengths, kept = [1, 3, 2, 4], [True] * 4
    assert grpo_weights(lengths, kept, "batch", 2) == [0.1] * 4
    assert grpo_weights(lengths, kept, "sequence", 2) == [1 / 4, 1 / 12, 1 / 8, 1 / 16]
    assert grpo_weights(lengths, kept, "micro_batch", 2) == [1 / 8, 1 / 8, 1 / 12, 1 / 12]
    assert grpo_weights(lengths, [True, True, False, False], "micro_batch", 2) == [1 / 4, 1 / 4, 0, 0]


def tokens_of(logprobs: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, lengths: list[int]) -> Tokens:
    """Sequences of these lengths, every token with a weight of 1, without a reference."""
    return Tokens(logprobs, old, None, advantages, torch.ones(len(old)), torch.tensor([0, *accumulate(lengths)]))


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "side"),
    [
        (1.1, 1.0, -1.1, ""),  # inside: the ratio counts
        (1.5, 1.0, -1.3, "high"),  # a good token has gone far enough: no gradient
        (0.5, 1.0, -0.5, ""),  # a good token that became rarer is still pulled up
        (0.5, -1.0, 0.8, "low"),  # a bad token has gone far enough
        (1.5, -1.0, 1.5, ""),  # a bad token that became likelier is still pushed down
    ],
)
def test_the_surrogate_is_clipped_on_the_right_side(ratio: float, advantage: float, expected: float, side: str) -> None:
    old = torch.tensor([-1.0])
    logprob = (old + math.log(ratio)).requires_grad_()
    settings = grpo.Settings(clip_low=0.2, clip_high=0.3)
    loss, values = grpo.loss(tokens_of(logprob, old, torch.tensor([advantage]), [1]), settings)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    shares = {name: bool(values[f"clip_fraction{name}"]) for name in ("_low", "_high", "")}
    assert shares == {"_low": side == "low", "_high": side == "high", "": side != ""}
    (gradient,) = torch.autograd.grad(loss, logprob)
    assert float(gradient) == pytest.approx(0.0 if side else -ratio * advantage, rel=1e-6)


def test_the_kl_term_is_k3_and_has_its_gradient() -> None:
    logprob = torch.tensor([-1.0, -2.0], requires_grad=True)
    reference = torch.tensor([-1.5, -1.0])
    tokens = replace(tokens_of(logprob, logprob.detach(), torch.zeros(2), [2]), reference=reference)
    loss, values = grpo.loss(tokens, grpo.Settings(kl_coefficient=0.1))
    difference = [-0.5, 1.0]
    expected = [math.exp(d) - d - 1 for d in difference]
    assert values["kl"].tolist() == pytest.approx(expected, rel=1e-6)
    assert float(loss.detach()) == pytest.approx(0.1 * sum(expected), rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, logprob)
    assert gradient.tolist() == pytest.approx([0.1 * (1 - math.exp(d)) for d in difference], rel=1e-6)


REWARDS = torch.tensor([[2.0, 1.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.1]], dtype=torch.float64)
THREE = Sequences(lengths=[2, 4, 10], truncated=[False, False, True], longest=10)


def test_dr_grpo_divides_neither_by_the_deviation_nor_by_the_length() -> None:
    settings = dr_grpo.Settings()
    assert dr_grpo.advantages(REWARDS, settings).tolist() == [[1.0, 0.0, 0.0, -1.0], [0.0] * 4]
    assert dr_grpo.weights(THREE, settings) == [1 / 30] * 3
    # The divisor is a constant: it stays where a truncated sequence is left out.
    assert dr_grpo.weights(THREE, dr_grpo.Settings(truncated="mask")) == [1 / 30, 1 / 30, 0.0]


def test_dapo_clips_higher_and_takes_one_mean_over_tokens_that_were_not_cut() -> None:
    settings = dapo.Settings()
    assert (settings.clip_low, settings.clip_high, settings.kl_coefficient) == (0.2, 0.28, 0.0)
    assert dapo.advantages(REWARDS, settings).tolist() == group_advantages(REWARDS, 1e-6).tolist()
    assert dapo.weights(THREE, settings) == [1 / 6, 1 / 6, 0.0]
    assert dapo.weights(THREE, dapo.Settings(truncated="keep")) == [1 / 16] * 3


def test_gspo_has_one_ratio_per_sequence_and_clips_it_whole() -> None:
    """Two sequences: in the first token ratios of 1.5 and 1/1.5 make 1; the second has 1.1 at each of its tokens."""
    settings = gspo.Settings(clip_low=0.05, clip_high=0.05)
    logprobs = torch.tensor([1.5, 1 / 1.5, 1.1, 1.1, 1.1]).log().requires_grad_()
    advantages = torch.tensor([1.0, 1.0, 2.0, 2.0, 2.0])
    weights = torch.tensor(gspo.weights(Sequences([2, 3], [False, False], 3), settings)).repeat_interleave(
        torch.tensor([2, 3])
    )
    tokens = replace(tokens_of(logprobs, torch.zeros(5), advantages, [2, 3]), weights=weights)
    loss, values = gspo.loss(tokens, settings)
    assert float(loss.detach()) == pytest.approx((-1.0 * 1.0 - 1.05 * 2.0) / 2, rel=1e-6)
    assert values["clip_fraction_high"].tolist() == [False, False, True, True, True]
    (gradient,) = torch.autograd.grad(loss, logprobs)
    # Of -s·A / sequences with s = exp(mean of log ratios): -s·A / length / sequences, and none where it is clipped.
    assert gradient.tolist() == pytest.approx([-0.25, -0.25, 0.0, 0.0, 0.0], rel=1e-6)
