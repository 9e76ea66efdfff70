"""Rows and micro-batches: nothing lost, little padding, and a loss that does not depend on how they are cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grpo_fixtures import ALONE, PATIENT, PlainPolicy, learner, random_groups, settings
from mmr1 import plugins
from mmr1.data.problems import Problem
from mmr1.grpo.batching import Sample, deal, plan
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.losses import Tokens, grpo
from mmr1.grpo.minibatch import until_end
from mmr1.models.action_space import end_of_sequence

NO_KL = {"name": "grpo", "kl_coefficient": 0.0}


def sample(group: int, prompt_tokens: int, length: int) -> Sample:
    return Sample(group, prompt_tokens, torch.ones(length, dtype=torch.long))


@PATIENT
@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(64, 2000), st.booleans())
def test_every_sample_is_in_one_row_and_budgets_hold(lengths: list[int], budget: int, share: bool) -> None:
    prompts = [20, 50]
    samples = [sample(index % 2, prompts[index % 2], length) for index, length in enumerate(lengths)]
    batches = plan(samples, budget, share)
    rows = [row for batch in batches for row in batch]
    assert sorted(member for row in rows for member in row.members) == list(range(len(samples)))
    for batch in batches:
        assert batch[0].length * len(batch) <= budget or len(batch) == 1
        assert batch[0].length == max(row.length for row in batch)
    for row in rows:
        assert len({samples[member].group for member in row.members}) == 1
        assert row.length == prompts[row.group] + sum(len(samples[member].response) - 1 for member in row.members)
        assert share or len(row.members) == 1


@PATIENT
@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(64, 2000), st.booleans())
def test_packed_rows_fill_lines_and_a_group_stays_together_if_it_fits(
    lengths: list[int], budget: int, share: bool
) -> None:
    prompts = [20, 50, 35]
    samples = [sample(index % 3, prompts[index % 3], length) for index, length in enumerate(lengths)]
    batches = plan(samples, budget, share, packed=True)
    assert sorted(member for batch in batches for row in batch for member in row.members) == list(range(len(samples)))
    filled = [sum(row.length for row in batch) for batch in batches]
    assert all(tokens <= budget or len(batch) == 1 for tokens, batch in zip(filled, batches, strict=True))
    assert filled == sorted(filled, reverse=True)
    assert sum(tokens <= budget / 2 for tokens in filled) <= 1  # two such would be one
    for group in range(3):
        parts = [[row for row in batch if row.group == group] for batch in batches]
        whole = sum(row.length for part in parts for row in part)
        assert sum(map(bool, parts)) <= max(1, 2 * whole // budget + 1)


@PATIENT
@given(st.integers(1, 40), st.integers(1, 8))
def test_dealing_gives_each_micro_batch_to_one_rank_and_all_ranks_as_many(count: int, ranks: int) -> None:
    hands = [deal(count, rank, ranks) for rank in range(ranks)]
    assert len({len(hand) for hand in hands}) == 1
    assert sorted(index for hand in hands for index, counts in hand if counts) == list(range(count))


def test_padding_stays_under_a_tenth_on_long_tailed_lengths() -> None:
    """2,048 responses with a log-normal length (median 900, cut at 4,096) behind prompts of 100 to 1,500 tokens."""
    generator = np.random.default_rng(0)
    lengths = np.minimum(4096, generator.lognormal(np.log(900), 0.7, size=2048)).astype(int)
    prompts = generator.integers(100, 1500, size=256).tolist()
    samples = [sample(index // 8, prompts[index // 8], int(length)) for index, length in enumerate(lengths)]
    batches = plan(samples, 16_384, share_prompts=False)
    tokens = sum(row.length for batch in batches for row in batch)
    padded = sum(batch[0].length * len(batch) for batch in batches)
    assert 1 - tokens / padded < 0.1


def test_a_response_ends_at_its_first_end_of_sequence() -> None:
    assert until_end(np.array([5, 6, 2, 7, 2], dtype=np.int32), end_of_sequence=2).tolist() == [5, 6, 2]
    assert until_end(np.array([5, 6], dtype=np.int32), end_of_sequence=2).tolist() == [5, 6]


@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch_tokens": 4096},
        {"share_prompts": False},
        {"micro_batch_tokens": 130},
        {"pack_rows": True},
        {"pack_rows": True, "share_prompts": False, "micro_batch_tokens": 300},
    ],
)
def test_loss_and_gradients_do_not_depend_on_how_rollouts_are_cut(
    tiny_model_dir: Path, digit_problems: list[Problem], changes: dict
) -> None:
    results = []
    for chosen in (settings(loss=NO_KL), settings(loss=NO_KL, **changes)):
        policy = PlainPolicy(tiny_model_dir, chosen)
        end = end_of_sequence(policy.processor.tokenizer)
        groups = random_groups(digit_problems[:4], 4, 3, range(8, 100), end, longest=16)
        metrics = learner(policy, chosen).learn(0, groups)
        results.append((metrics, policy.gradients[0]))
    (first, gradients), (second, other_gradients) = results
    for name in ("loss", "entropy", "gradient_norm"):
        assert first[name] == pytest.approx(second[name], abs=2e-6, rel=2e-6)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, other_gradients[name], atol=1e-6, rtol=1e-4)


def test_truncated_rollouts_are_left_out_if_asked(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    chosen = settings(loss=NO_KL | {"truncated": "mask", "loss_average": "batch"})
    policy = PlainPolicy(tiny_model_dir, chosen)
    end = end_of_sequence(policy.processor.tokenizer)
    groups = random_groups(digit_problems[:2], 4, 3, range(8, 100), end, longest=16)
    rollouts = [one for group in groups for one in group.rollouts]
    assert {one.finish_reason for one in rollouts} == {"stop", "length"}
    learner(policy, chosen).learn(0, groups)
    with_mask = policy.gradients[0]["lm_head.weight"]
    # Changing a truncated response changes nothing.
    for one in rollouts:
        if one.finish_reason == "length":
            one.token_ids[:] = 50
    learner(policy, chosen).learn(0, groups)
    assert torch.equal(policy.gradients[1]["lm_head.weight"], with_mask)


class OneOfTwo(Ranks):
    """A rank that never hears of the other: what it sums and its gradient are its own share."""

    def gather(self, value: Any) -> list[Any]:
        return [value]


@pytest.mark.parametrize("loss", plugins.names("grpo/losses"))
def test_the_parts_of_two_ranks_add_up_to_the_loss_of_one(
    loss: str, tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    chosen = settings(loss={"name": loss, "kl_coefficient": 0.0}, micro_batch_tokens=130)
    results = []
    for ranks in (ALONE, OneOfTwo(0, 2, ALONE.device), OneOfTwo(1, 2, ALONE.device)):
        policy = PlainPolicy(tiny_model_dir, chosen)
        groups = random_groups(
            digit_problems[:3], 4, 3, range(8, 100), end_of_sequence(policy.processor.tokenizer), longest=16
        )
        metrics = learner(policy, chosen, ranks=ranks).learn(0, groups)
        results.append((metrics["loss"], policy.gradients[0]["lm_head.weight"]))
    alone, *shares = results
    assert all(gradient.abs().max() > 1e-3 for _, gradient in shares)
    assert sum(share for share, _ in shares) == pytest.approx(alone[0], abs=1e-6)
    torch.testing.assert_close(shares[0][1] + shares[1][1], alone[1], atol=1e-6, rtol=1e-4)


def test_what_a_loss_returns_by_name_is_logged_as_a_mean_over_tokens(
    tiny_model_dir: Path, digit_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else lists the name: also not where a step has no update, or a rank no tokens."""
    plain = grpo.loss

    def with_position(tokens: Tokens, chosen: grpo.Settings) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, values = plain(tokens, chosen)
        return loss, values | {"position": torch.cat([torch.arange(int(n)) for n in tokens.bounds.diff()])}

    monkeypatch.setattr(grpo, "loss", with_position)
    chosen = settings(loss=NO_KL, micro_batch_tokens=130)
    policy = PlainPolicy(tiny_model_dir, chosen)
    groups = random_groups(
        digit_problems[:2], 4, 3, range(8, 100), end_of_sequence(policy.processor.tokenizer), longest=16
    )
    lengths = np.array([len(one.token_ids) for group in groups for one in group.rollouts])
    metrics = learner(policy, chosen).learn(0, groups)
    assert metrics["position"] == pytest.approx((lengths * (lengths - 1) / 2).sum() / lengths.sum())
    assert learner(policy, chosen).learn(1, [])["position"] == 0.0


def test_the_engines_log_probabilities_are_corrected_for_up_to_the_cap(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    """Where the engine was right, weights are 1. Else a group's gradient is weighted, here by the cap."""
    plain, capped = settings(loss=NO_KL), settings(loss=NO_KL, importance_cap=0.5)
    policy = PlainPolicy(tiny_model_dir, plain)
    end = end_of_sequence(policy.processor.tokenizer)
    groups = random_groups(digit_problems[:2], 4, 3, range(8, 100), end, longest=16)
    for group in groups:
        for rollout in group.rollouts:
            rollout.logprobs[:] = -1000.0
    expected = learner(policy, plain).learn(0, groups)
    metrics = learner(policy, capped).learn(0, groups)
    assert (metrics["importance_weight"], metrics["importance_truncated"]) == (0.5, 1.0)
    assert "importance_weight" not in expected
    first, halved = (gradients["lm_head.weight"] for gradients in policy.gradients)
    torch.testing.assert_close(halved, first / 2, atol=1e-9, rtol=1e-5)


def test_a_step_whose_groups_all_agree_learns_nothing(tiny_model_dir: Path) -> None:
    """Under a gate a queue may end without one group that is admitted: no update, and metrics that say so."""
    chosen = settings()
    policy = PlainPolicy(tiny_model_dir, chosen)
    metrics = learner(policy, chosen).learn(0, [])
    assert policy.gradients == []
    assert metrics["updates"] == metrics["gradient_norm"] == metrics["loss"] == 0
