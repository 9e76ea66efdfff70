"""The rollouts of one optimizer update, with all that their loss needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mmr1.data.problems import Problem
from mmr1.grpo.batching import Row, Sample, plan
from mmr1.grpo.experience import Group
from mmr1.grpo.losses import Sequences
from mmr1.grpo.settings import GRPOSettings


@dataclass
class MiniBatch:
    """Samples and their micro-batches; `problems` are by group, each other list has one element a sample.

    `weights` are what a token counts for (`mmr1.grpo.losses`); `sampled` float32 [L] the engine's log-probabilities.
    `old` and `reference` float32 [L] are filled in by the rank that runs a sample, before or in its first pass;
    `compared` are those whose `old` was held against `sampled`.
    """

    problems: list[Problem]
    samples: list[Sample]
    advantages: list[float]
    weights: list[float]
    sampled: list[torch.Tensor]
    batches: list[list[Row]]
    packed: bool
    old: list[torch.Tensor | None] = field(init=False)
    reference: list[torch.Tensor | None] = field(init=False)
    compared: set[int] = field(default_factory=set)

    @property
    def problem_ids(self) -> list[str]:
        """The problem of each sample."""
        return [self.problems[sample.group].id for sample in self.samples]

    def __post_init__(self) -> None:
        self.old = [None] * len(self.samples)
        self.reference = [None] * len(self.samples)


def mini_batches(
    groups: Sequence[Group], prompt_tokens: Sequence[int], settings: GRPOSettings, end_of_sequence: int
) -> list[MiniBatch]:
    """The groups of a step as mini-batches, in the order of slots; the last may be smaller. None of no groups.

    `prompt_tokens` is the length of each group's prompt.
    """
    if not groups:
        return []
    rewards = torch.tensor([group.rewards(settings) for group in groups], dtype=torch.float64)
    advantages = settings.loss.module.advantages(rewards, settings.loss.settings)
    size = settings.mini_batch_size
    return [
        _mini_batch(groups[start : start + size], prompt_tokens[start:], advantages[start:], settings, end_of_sequence)
        for start in range(0, len(groups), size)
    ]


def until_end(token_ids: np.ndarray, end_of_sequence: int) -> torch.Tensor:
    """The tokens up to the first end-of-sequence token, which counts: int64 [L]."""
    ends = np.flatnonzero(token_ids == end_of_sequence)
    return torch.from_numpy(token_ids[: ends[0] + 1 if len(ends) else None].astype(np.int64))


def _mini_batch(
    groups: Sequence[Group],
    prompt_tokens: Sequence[int],
    advantages: torch.Tensor,
    settings: GRPOSettings,
    end_of_sequence: int,
) -> MiniBatch:
    rollouts = [
        (number, index, rollout) for number, group in enumerate(groups) for index, rollout in enumerate(group.rollouts)
    ]
    responses = [until_end(rollout.token_ids, end_of_sequence) for _, _, rollout in rollouts]
    sequences = Sequences(
        lengths=[len(response) for response in responses],
        truncated=[rollout.finish_reason == "length" for _, _, rollout in rollouts],
        longest=settings.max_response_tokens,
    )
    weights = settings.loss.module.weights(sequences, settings.loss.settings)
    used = [place for place, weight in enumerate(weights) if weight > 0]
    samples = [Sample(rollouts[place][0], prompt_tokens[rollouts[place][0]], responses[place]) for place in used]
    return MiniBatch(
        problems=[group.entry.problem for group in groups],
        samples=samples,
        advantages=[float(advantages[rollouts[place][:2]]) for place in used],
        weights=[weights[place] for place in used],
        sampled=[torch.from_numpy(rollouts[place][2].logprobs[: len(responses[place])].copy()) for place in used],
        batches=plan(samples, settings.micro_batch_tokens, settings.share_prompts, settings.pack_rows),
        packed=settings.pack_rows,
    )
