"""What the GRPO tests share: made-up rollouts, and a policy that is trained without DeepSpeed."""

import signal
from collections.abc import Sequence
from pathlib import Path

import hypothesis
import numpy as np
import torch
from transformers import AutoProcessor

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.batching import MicroBatch
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import Entry, Group
from mmr1.grpo.judging import Judged
from mmr1.grpo.learner import Learner
from mmr1.grpo.policy import LogprobModel
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.load import load_model
from mmr1.plumbing.interruption import Interruption
from mmr1.rollout.requests import Rollout

ALONE = Ranks(0, 1, torch.device("cpu"))

# For property tests: a busy machine is slow, and that is no mistake of what is tested.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

TINY = {
    "group_size": 4,
    "mini_batch_size": 4,
    "learning_rate": 3e-4,
    "temperature": 1.0,
    "max_prompt_tokens": 200,
    "max_response_tokens": 16,
    "micro_batch_tokens": 512,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "engine": {"name": "transformers"},
    "share_prompts": True,
    "min_pixels": None,
    "max_pixels": None,
    "machine": {"verify_workers": 1},
}


class PlainPolicy:
    """A policy on bare torch: keeps the gradients of each update and takes plain steps of size `rate`."""

    def __init__(self, folder: Path, settings: GRPOSettings, suppressed: Sequence[int] = (), rate: float = 0.0) -> None:
        self.hf = load_model(folder, torch.float32)
        self.processor = AutoProcessor.from_pretrained(folder)
        self.module = LogprobModel(self.hf, settings.temperature, list(suppressed))
        self.rate = rate
        self.gradients: list[dict[str, torch.Tensor]] = []

    def logprobs(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        return self.module(batch)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        loss.backward()

    def step(self) -> float:
        gradients = {name: value.grad for name, value in self.hf.named_parameters() if value.grad is not None}
        self.gradients.append(gradients)
        with torch.no_grad():
            for name, value in self.hf.named_parameters():
                if name in gradients:
                    value -= self.rate * gradients[name]
        self.hf.zero_grad(set_to_none=True)
        return float(torch.linalg.vector_norm(torch.stack([value.norm() for value in gradients.values()])))


def settings(**changes: object) -> GRPOSettings:
    return GRPOSettings.model_validate(TINY | changes)


def learner(
    policy: PlainPolicy, chosen: GRPOSettings, reference: PlainPolicy | None = None, ranks: Ranks = ALONE
) -> Learner:
    """A learner on plain policies; the reference's forward pass is the policy's."""

    class Frozen:
        def logprobs(self, batch: MicroBatch) -> torch.Tensor:
            assert reference is not None
            with torch.no_grad():
                return reference.logprobs(batch)[0]

    encoder = PromptEncoder(policy.processor)
    return Learner(chosen, policy, Frozen() if reference else None, encoder, ranks, Path("unused"))  # type: ignore[arg-type]


def random_groups(
    problems: Sequence[Problem], n: int, seed: int, vocabulary: range, end: int, longest: int
) -> list[Group]:
    """Groups of `n` random responses of 1 to `longest` tokens, with random verdicts; some are cut."""
    generator = np.random.default_rng(seed)
    groups = []
    for slot, problem in enumerate(problems):
        rollouts, judged = [], []
        for index in range(n):
            length = int(generator.integers(1, longest + 1))
            tokens = generator.integers(vocabulary.start, vocabulary.stop, size=length).astype(np.int32)
            reason = "length" if generator.random() < 0.3 else "stop"
            if reason == "stop":
                tokens[-1] = end
            logprobs = -generator.random(length).astype(np.float32)
            rollouts.append(Rollout(problem.id, index, index, tokens, "", reason, logprobs))
            rewards = {"accuracy": float(generator.random() < 0.5), "format": float(generator.random() < 0.5)}
            judged.append(Judged(rewards, {"extracted": None, "reason": "words"}))
        groups.append(Group(Entry(slot, problem), rollouts, judged))
    return groups


def no_interruption() -> Interruption:
    """One that does not take SIGTERM away from pytest."""
    before = signal.getsignal(signal.SIGTERM)
    interruption = Interruption()
    signal.signal(signal.SIGTERM, before)
    return interruption
