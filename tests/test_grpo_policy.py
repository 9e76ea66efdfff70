"""What a forward and backward pass keeps, and how gradients of ranks are added."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from grpo_fixtures import PlainPolicy, learner, random_groups, settings
from mmr1.data.problems import Problem
from mmr1.grpo.policy import deepspeed_config, recompute_every
from mmr1.models.action_space import end_of_sequence

ZERO3 = {"zero_optimization": {"stage": 3}}


def trained(folder: Path, problems: list[Problem], every: int | None) -> tuple[dict[str, torch.Tensor], Counter[str]]:
    """Gradients of an update in which every n-th block is computed again, and how often each block was."""
    chosen = settings(loss={"name": "grpo", "kl_coefficient": 0.0}, micro_batch_tokens=4096)
    policy = PlainPolicy(folder, chosen)
    policy.hf.train()
    if every:
        recompute_every(policy.hf, every)
    computed: Counter[str] = Counter()
    for kind, blocks in (("text", policy.hf.model.language_model.layers), ("vision", policy.hf.model.visual.blocks)):
        for number, block in enumerate(blocks):
            block.mlp.register_forward_pre_hook(lambda *_, name=f"{kind} {number}": computed.update([name]))
    end = end_of_sequence(policy.processor.tokenizer)
    learner(policy, chosen).learn(0, random_groups(problems[:3], 4, 3, range(8, 100), end, longest=16))
    return policy.gradients[0], computed


@pytest.mark.parametrize(("every", "again"), [(1, 5), (2, 3), (3, 2)])
def test_every_nth_block_is_computed_again_and_no_bit_of_a_gradient_changes(
    tiny_model_dir: Path, digit_problems: list[Problem], every: int, again: int
) -> None:
    """The tiny model has three blocks of text and two of vision."""
    plain, once = trained(tiny_model_dir, digit_problems, None)
    gradients, computed = trained(tiny_model_dir, digit_problems, every)
    assert once.total() == 5
    assert (computed - once).total() == again
    assert {name for name, count in computed.items() if count == 2} >= {"text 0", "vision 0"}
    assert all(torch.equal(gradient, plain[name]) for name, gradient in gradients.items())


def test_gradients_of_ranks_are_added_in_float32_unless_a_configuration_says_otherwise() -> None:
    chosen = settings(precision="bf16")
    assert deepspeed_config(chosen, ZERO3)["communication_data_type"] == "fp32"
    assert deepspeed_config(chosen, ZERO3 | {"communication_data_type": "bf16"})["communication_data_type"] == "bf16"
