"""Loss and gradients against TRL's GRPOTrainer, an independent implementation, on the same rollouts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from grpo_fixtures import PlainPolicy, learner, random_groups, settings
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.experience import Group
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.action_space import end_of_sequence

VOCABULARY = range(8, 100)


def trl_trainer(folder: Path, chosen: GRPOSettings, options: dict[str, str], tmp_path: Path):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arguments = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=chosen.group_size,
        num_generations=chosen.group_size,
        steps_per_generation=1,
        max_completion_length=chosen.max_response_tokens,
        **options,
        beta=chosen.loss.settings.kl_coefficient,
        use_bias_correction_kl=False,
        vllm_importance_sampling_correction=False,
        epsilon=chosen.loss.settings.clip_low,
        epsilon_high=chosen.loss.settings.clip_high,
        temperature=chosen.temperature,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to=[],
    )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": "unused"}] * chosen.group_size),
    )


def trl_inputs(groups: list[Group], chosen: GRPOSettings, encoder: PromptEncoder, config) -> dict:
    """The groups as TRL lays them out: prompts padded on the left, completions on the right."""
    rows = [(encoder.encode(group.entry.problem), one) for group in groups for one in group.rollouts]
    rewards = torch.tensor([group.rewards(chosen) for group in groups], dtype=torch.float64)
    prompts = [prompt.input_ids for prompt, _ in rows]
    completions = [torch.from_numpy(one.token_ids).long() for _, one in rows]
    masked = [chosen.loss.settings.truncated == "mask" and one.finish_reason == "length" for _, one in rows]

    def padded(parts: list[torch.Tensor], side: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_side=side)
        ones = [torch.ones_like(part) for part in parts]
        return ids, torch.nn.utils.rnn.pad_sequence(ones, batch_first=True, padding_side=side)

    prompt_ids, prompt_mask = padded(prompts, "left")
    completion_ids, completion_mask = padded(completions, "right")
    completion_mask[torch.tensor(masked)] = 0
    kinds = (torch.cat([prompt_ids, torch.zeros_like(completion_ids)], dim=1) == config.image_token_id).int()
    return {
        "prompt_ids": prompt_ids,
        "prompt_mask": prompt_mask,
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": chosen.loss.module.advantages(rewards, chosen.loss.settings).flatten().float(),
        "pixel_values": torch.cat([prompt.pixel_values for prompt, _ in rows]),
        "image_grid_thw": torch.cat([prompt.image_grid_thw for prompt, _ in rows]),
        "num_images": [len(prompt.image_grid_thw) for prompt, _ in rows],
        "mm_token_type_ids": kinds,
    }


def trl_logprobs(trainer, model, inputs: dict) -> torch.Tensor:
    images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")}
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    with torch.no_grad():
        width = inputs["completion_ids"].shape[1]
        return trainer._get_per_token_logps_and_entropies(model, ids, mask, width, **images)[0]


def correct_as_trl(trainer, halves: list[dict], groups: list[Group]) -> None:
    """The ratio of the old log-probabilities to the engine's, cut at `CAP`, as TRL computes it beside vLLM."""
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
    for inputs, half in zip(halves, (groups[:2], groups[2:]), strict=True):
        sampled = [torch.from_numpy(one.logprobs) for group in half for one in group.rollouts]
        padded = torch.nn.utils.rnn.pad_sequence(sampled, batch_first=True)
        difference = (inputs["old_per_token_logps"] - padded) * inputs["completion_mask"]
        ratio = difference.exp()
        cut = (ratio > CAP) & inputs["completion_mask"].bool()
        assert 0.1 < cut.sum() / inputs["completion_mask"].sum() < 0.9
        inputs["importance_sampling_ratio"] = ratio.clamp(max=CAP)


CAP = 0.02  # the made-up engine's log-probabilities are far from the model's
TIGHT = {"clip_low": 0.02, "clip_high": 0.05}  # so that some ratios clip after one update


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "options", "share_prompts"),
    [
        ({"name": "grpo", "loss_average": "batch", "kl_coefficient": 0.3}, {"loss_type": "bnpo"}, False),
        ({"name": "grpo", "loss_average": "sequence", "kl_coefficient": 0.3}, {"loss_type": "grpo"}, True),
        (
            {"name": "grpo", "loss_average": "micro_batch", "micro_batch_size": 4, "kl_coefficient": 0.3},
            {"loss_type": "bnpo"},
            True,
        ),
        ({"name": "dr_grpo"}, {"loss_type": "dr_grpo", "scale_rewards": "none"}, True),
        ({"name": "dr_grpo", "kl_coefficient": 0.3}, {"loss_type": "dr_grpo", "scale_rewards": "none"}, False),
        ({"name": "dapo"}, {"loss_type": "dapo"}, False),
        ({"name": "dapo", "truncated": "keep", "kl_coefficient": 0.3}, {"loss_type": "dapo"}, True),
        (
            {"name": "grpo", "loss_average": "batch", "kl_coefficient": 0.3},
            {"loss_type": "bnpo", "vllm_importance_sampling_mode": "token_truncate"},
            True,
        ),
        ({"name": "gspo"}, {"loss_type": "grpo", "importance_sampling_level": "sequence"}, True),
        (
            {"name": "gspo", "kl_coefficient": 0.3},
            {"loss_type": "grpo", "importance_sampling_level": "sequence"},
            False,
        ),
    ],
)
def test_loss_and_gradients_equal_trl(
    tiny_model_dir: Path,
    digit_problems: list[Problem],
    tmp_path: Path,
    loss: dict[str, Any],
    options: dict[str, str],
    share_prompts: bool,
) -> None:
    """Two updates on one batch of rollouts. At the second one the weights have moved: ratios differ from 1 and clip."""
    chosen = settings(
        share_prompts=share_prompts,
        group_size=4,
        mini_batch_size=2,
        micro_batch_tokens=300,
        temperature=0.7,
        loss=TIGHT | loss,
        importance_cap=CAP if "vllm_importance_sampling_mode" in options else None,
    )
    policy = PlainPolicy(tiny_model_dir, chosen, rate=0.3)
    reference = PlainPolicy(tiny_model_dir, chosen) if chosen.needs_reference else None
    if reference is not None:
        with torch.no_grad():  # a reference that differs from the policy
            reference.hf.lm_head.weight += 0.02 * torch.randn(reference.hf.lm_head.weight.shape)
    tokenizer = policy.processor.tokenizer
    groups = random_groups(digit_problems[:4], 4, 7, VOCABULARY, end_of_sequence(tokenizer), longest=12)

    trainer = trl_trainer(tiny_model_dir, chosen, options, tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    encoder = PromptEncoder(policy.processor)
    halves = [trl_inputs(half, chosen, encoder, policy.hf.config) for half in (groups[:2], groups[2:])]
    for inputs in halves:
        inputs["old_per_token_logps"] = trl_logprobs(trainer, trainer.model, inputs)
    if chosen.importance_cap is not None:
        correct_as_trl(trainer, halves, groups)
    if reference is not None:
        trl_reference = trl_trainer(tiny_model_dir, chosen, options, tmp_path)
        trl_reference.model.load_state_dict(reference.hf.state_dict())
        for inputs in halves:
            inputs["ref_per_token_logps"] = trl_logprobs(trl_reference, trl_reference.model, inputs)

    metrics = learner(policy, chosen, reference).learn(0, groups)

    losses, clipped = [], 0.0
    for half, gradients in zip(halves, policy.gradients, strict=True):
        trainer.model.zero_grad()
        losses.append(trl_step(trainer, half, chosen))
        assert gradients.keys() == {name for name, value in trainer.model.named_parameters() if value.grad is not None}
        for name, value in trainer.model.named_parameters():
            if name in gradients:
                # Of the whole tensor: the processor decides how an element that is a difference of large ones rounds.
                assert (gradients[name] - value.grad).norm() <= 1e-5 * value.grad.norm(), name
        with torch.no_grad():
            for name, value in trainer.model.named_parameters():
                if name in gradients:
                    value -= policy.rate * gradients[name]
        clipped = trainer._metrics["train"]["clip_ratio/region_mean"][-1]
    assert metrics["loss"] == pytest.approx(sum(losses) / 2, abs=1e-6, rel=5e-6)
    assert clipped > 0.1
    assert metrics["clip_fraction"] > 0


def trl_step(trainer, inputs: dict, chosen: GRPOSettings) -> float:
    """TRL's loss and gradients; token means of micro-batches are taken as TRL does, by calling it on each."""
    trainer.model.train()
    if getattr(chosen.loss.settings, "loss_average", None) != "micro_batch":
        loss = trainer._compute_loss(trainer.model, inputs | {"num_items_in_batch": inputs["completion_mask"].sum()})
        loss.backward()
        return float(loss.detach())
    size, total = chosen.loss.settings.micro_batch_size, 0.0
    count = len(inputs["advantages"]) // size
    patches = inputs["image_grid_thw"].prod(-1)
    for start in range(0, len(inputs["advantages"]), size):
        rows = slice(start, start + size)
        images = slice(sum(inputs["num_images"][:start]), sum(inputs["num_images"][: start + size]))
        pixels = slice(int(patches[: images.start].sum()), int(patches[: images.stop].sum()))
        part = {
            name: value[{"pixel_values": pixels, "image_grid_thw": images}.get(name, rows)]
            for name, value in inputs.items()
        }
        loss = trainer._compute_loss(trainer.model, part) / count
        loss.backward()
        total += float(loss.detach())
    return total
