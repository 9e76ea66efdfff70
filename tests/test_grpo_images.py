"""Images while training: processed and encoded once, by the rank that trains on them; never sent to another."""

import io
import pickle
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor

from grpo_fixtures import ALONE, PlainPolicy, learner, no_interruption, random_groups, settings
from mmr1.data.problems import Problem
from mmr1.data.prompts import EncodedPrompt, PromptEncoder
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import Entry
from mmr1.grpo.loader import AT_ONCE, processed_ahead
from mmr1.grpo.sampling import Collector
from mmr1.models.action_space import end_of_sequence
from mmr1.plumbing.stopwatch import Stopwatch
from mmr1.rewards.verifier.verify import Verifier
from mmr1.rollout.requests import Request, Rollout, Sampling

WITH_KL = {"name": "grpo", "kl_coefficient": 0.01}


class OneOfTwo(Ranks):
    """A rank that never hears of the other."""

    def gather(self, value: Any) -> list[Any]:
        return [value]


class CountingEncoder(PromptEncoder):
    """Notes which problems' images it processes, and says when it has `expected` many."""

    def __init__(self, *arguments: Any, expected: int = 0, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.processed: list[str] = []
        self.expected, self.complete = expected, threading.Event()

    def _encode(self, problems: Sequence[Problem]) -> list[EncodedPrompt]:
        prompts = super()._encode(problems)
        self.processed += (problem.id for problem in problems)
        if len(self.processed) == self.expected:
            self.complete.set()
        return prompts


def counted_images(policy: PlainPolicy) -> list[int]:
    """How many images each forward pass of the policy's vision tower is given, from now on."""
    counts: list[int] = []
    tower = policy.hf.model.visual
    tower.register_forward_pre_hook(
        lambda _, given, named: counts.append(len(named.get("grid_thw", given[-1]))), with_kwargs=True
    )
    return counts


def test_each_image_is_processed_and_encoded_once_by_the_rank_that_trains_on_it(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    """Eight problems of four rollouts on two ranks: in a row each, as many rows to a micro-batch as fit."""
    problems = digit_problems[:8]
    chosen = settings(mini_batch_size=8, loss=WITH_KL)
    processed, encoded, referred = [], [], []
    for rank in range(2):
        policy, reference = (PlainPolicy(tiny_model_dir, chosen) for _ in range(2))
        learning = learner(policy, chosen, reference, ranks=OneOfTwo(rank, 2, ALONE.device))
        learning.loader.encoder = encoder = CountingEncoder(policy.processor)
        counts = [counted_images(model) for model in (policy, reference)]
        end = end_of_sequence(policy.processor.tokenizer)
        learning.learn(0, random_groups(problems, 4, 3, range(8, 100), end, longest=16))
        processed += encoder.processed
        encoded += counts[0]
        referred += counts[1]
    assert sorted(processed) == sorted(problem.id for problem in problems)
    assert sum(encoded) == sum(referred) == sum(len(problem.images) for problem in problems)


def test_further_passes_over_a_step_process_no_image_again(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    """Log-probabilities before the first update, and a second epoch."""
    chosen = settings(mini_batch_size=4, epochs=2, loss=WITH_KL)
    policy = PlainPolicy(tiny_model_dir, chosen)
    learning = learner(policy, chosen, PlainPolicy(tiny_model_dir, chosen))
    learning.loader.encoder = encoder = CountingEncoder(policy.processor)
    end = end_of_sequence(policy.processor.tokenizer)
    learning.learn(0, random_groups(digit_problems[:8], 4, 3, range(8, 100), end, longest=16))
    assert sorted(encoder.processed) == sorted(problem.id for problem in digit_problems[:8])


class SilentEngine:
    """Answers every request with the same three tokens."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        tokens, logprobs = np.ones(3, np.int32), np.zeros(3, np.float32)
        return [
            Rollout(one.problem.id, one.rollout, one.seed, tokens, "no answer", "stop", logprobs) for one in requests
        ]


@dataclass
class SlowEngine(SilentEngine):
    """Generates for as long as an encoder is at work."""

    encoder: CountingEncoder

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        assert self.encoder.complete.wait(timeout=120)
        return super().generate(requests, sampling)


def test_images_are_processed_while_rollouts_are_generated_and_change_no_bit(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    problems = digit_problems[:20]
    chosen = settings(mini_batch_size=20, loss=WITH_KL, pack_rows=True)
    policies = [PlainPolicy(tiny_model_dir, chosen) for _ in range(3)]
    ahead = CountingEncoder(policies[0].processor, expected=len(problems))
    entries = [Entry(slot, problem) for slot, problem in enumerate(problems)]
    collector = Collector(chosen, SlowEngine(ahead), ahead, Verifier(1, 2.0), ALONE, 11, no_interruption())  # type: ignore[arg-type]
    collector.collect(0, entries, Stopwatch())
    assert sorted(ahead.processed) == sorted(problem.id for problem in problems)

    end = end_of_sequence(policies[0].processor.tokenizer)
    groups = random_groups(problems, 4, 3, range(8, 100), end, longest=16)
    metrics = []
    for policy, encoder in zip(policies, (ahead, CountingEncoder(policies[1].processor)), strict=False):
        learning = learner(policy, chosen, policies[2])
        learning.loader.encoder = encoder
        metrics.append(learning.learn(0, groups))
    assert len(ahead.processed) == len(problems)  # training has processed none
    assert metrics[0] == metrics[1]
    (first,), (second,) = (policy.gradients for policy in policies[:2])
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_images_are_processed_ahead_as_far_as_the_cache_holds_them(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    """Two calls' images fit, so that a third call is not begun."""
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    problems = [pictured(problem, 28 * (1 + number % 2)) for number, problem in enumerate(digit_problems[:40])]
    sizes = [PromptEncoder(processor).encode(problem).nbytes for problem in problems]
    bound = sum(sizes[: 2 * AT_ONCE]) + max(sizes)
    encoder = CountingEncoder(processor, cache_bytes=bound, expected=2 * AT_ONCE)
    with processed_ahead(encoder, problems):
        assert encoder.complete.wait(timeout=120)
        let_it_end()
    assert encoder.processed == [problem.id for problem in problems[: 2 * AT_ONCE]]
    assert encoder._held == sum(sizes[: 2 * AT_ONCE]) <= bound
    assert list(encoder._cache) == encoder.processed

    for cache_bytes, some in ((0, problems), (1 << 30, [replace(problems[0], images=(b"no image",))])):
        other = CountingEncoder(processor, cache_bytes=cache_bytes)
        with processed_ahead(other, some):
            let_it_end()
        assert other.processed == []


def let_it_end() -> None:
    """Wait until the thread that works ahead has ended by itself."""
    for thread in threading.enumerate():
        if thread.name == "ahead":
            thread.join(timeout=120)
            assert not thread.is_alive()


@dataclass(frozen=True)
class Overheard(Ranks):
    """A single rank whose messages are kept."""

    messages: list[bytes] = field(default_factory=list)

    def gather(self, value: Any) -> list[Any]:
        self.messages.append(pickle.dumps(value))
        return [pickle.loads(self.messages[-1])]


def pictured(problem: Problem, side: int) -> Problem:
    """The problem with its images replaced by noise of so many pixels a side."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, format="PNG")
    return replace(problem, images=(buffer.getvalue(),) * len(problem.images))


def test_ranks_exchange_slots_and_rollouts_and_no_images(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    sizes = []
    for side in (28, 280):
        problems = [pictured(problem, side) for problem in digit_problems[:4]]
        encoder = PromptEncoder(AutoProcessor.from_pretrained(tiny_model_dir), max_pixels=28 * 28)
        ranks = Overheard(0, 1, ALONE.device)
        asked = Collector(settings(), SilentEngine(), encoder, Verifier(1, 2.0), ranks, 11, no_interruption())  # type: ignore[arg-type]
        entries = [Entry(slot, problem) for slot, problem in enumerate(problems)]
        groups, _ = asked.collect(0, entries, Stopwatch())
        assert [group.entry.problem for group in groups] == problems
        assert all(group.entry.problem is problem for group, problem in zip(groups, problems, strict=True))
        sizes.append(sum(map(len, ranks.messages)))
    assert sizes[0] == sizes[1]
    rollouts = 4 * settings().group_size
    assert sizes[0] < rollouts * 500  # of three tokens each; one of these images has 200,000 bytes


def test_the_length_of_a_prompt_is_found_once(
    tiny_model_dir: Path, digit_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = PromptEncoder(AutoProcessor.from_pretrained(tiny_model_dir))
    first, second = digit_problems[:2]
    found = encoder.length(first)
    monkeypatch.setattr(encoder, "_length", lambda problem: pytest.fail("measured again"))
    assert encoder.length(first) == found
    encoder.know_length(second, 77)  # as another rank says
    assert encoder.length(second) == 77


def test_processed_images_are_kept_up_to_so_many_bytes(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    """The one that was asked for last is dropped last."""
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    first, second, third = digit_problems[:3]
    sizes = {problem.id: PromptEncoder(processor).encode(problem).nbytes for problem in digit_problems[:3]}
    assert all(
        size > 4 * 1176 * len(problem.images) for size, problem in zip(sizes.values(), digit_problems, strict=False)
    )
    encoder = CountingEncoder(processor, cache_bytes=sum(sizes.values()) - 1)
    for problem in (first, second, first, third, first, second):
        encoder.encode(problem)
    assert encoder.processed == [first.id, second.id, third.id, second.id]
    assert encoder._held == sum(prompt.nbytes for _, prompt in encoder._cache.values()) < sum(sizes.values())
