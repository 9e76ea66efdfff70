"""What is logged of a step: sums over tokens that any split into micro-batches and ranks adds up to."""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import Group
from mmr1.grpo.settings import GRPOSettings
from mmr1.plumbing.stopwatch import Stopwatch

# Of a step, one after another, and of "train" on the first rank: what of it is spent on what.
PHASES = ("generate", "reward", "train", "sync")
PHASES_OF_TRAIN = ("encode", "copy", "old", "vision", "text", "head", "reference", "backward", "optimizer")


# Log-probabilities that are further apart, in nats, differ by more than float32's rounding of two equal models.
DIFFERS = 1e-4


@dataclass
class TokenSums:
    """Sums over the response tokens that went through the loss: its weighted sum, and each logged value by name."""

    values: dict[str, float]
    tokens: float = 0.0
    loss: float = 0.0

    def add(self, loss: torch.Tensor, values: Mapping[str, torch.Tensor]) -> None:
        """Add a micro-batch: `loss` is its weighted sum, `values` are per token and have the same names each time."""
        self.loss += float(loss.detach())
        self.tokens += len(next(iter(values.values())))
        for name in self.values:
            self.values[name] += float(values[name].double().sum())

    def over(self, ranks: Ranks) -> "TokenSums":
        """The sums over all ranks."""
        tokens, loss, *values = ranks.sum([self.tokens, self.loss, *self.values.values()])
        return TokenSums(dict(zip(self.values, values, strict=True)), tokens, loss)

    def means(self) -> dict[str, float]:
        """The mean of each value over tokens; zero where there was none."""
        return {name: value / max(1.0, self.tokens) for name, value in self.values.items()}

    def __iadd__(self, other: "TokenSums") -> "TokenSums":
        self.tokens += other.tokens
        self.loss += other.loss
        for name, value in other.values.items():
            self.values[name] += value
        return self


@dataclass
class Mismatch:
    """How far the trainer's log-probabilities are from the engine's for the same weights and tokens.

    `differing` counts the tokens on which they are more than `DIFFERS` apart, or one of them is no number.
    """

    tokens: float = 0.0
    absolute: float = 0.0
    largest: float = 0.0
    differing: float = 0.0

    def add(self, trained: torch.Tensor, sampled: torch.Tensor) -> None:
        """Add some tokens' log-probabilities under both: float32 [tokens] each."""
        difference = (trained.double() - sampled.double()).abs()
        self.tokens += len(difference)
        self.absolute += float(difference.sum())
        self.largest = max(self.largest, float(difference.max()))
        self.differing += float((~(difference <= DIFFERS)).sum())

    def over(self, ranks: Ranks) -> "Mismatch":
        """The same over all ranks."""
        parts = ranks.gather(self)
        return Mismatch(
            sum(part.tokens for part in parts),
            sum(part.absolute for part in parts),
            max(part.largest for part in parts),
            sum(part.differing for part in parts),
        )


def group_metrics(groups: Sequence[Group], settings: GRPOSettings) -> dict[str, float]:
    """Metrics of all groups sampled in a step, whether the gate admits them or not. Lengths are in tokens."""
    rewards = torch.tensor([group.rewards(settings) for group in groups], dtype=torch.float64)
    judged = [verdict for group in groups for verdict in group.judged]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    lengths = [len(rollout.token_ids) for rollout in rollouts]
    return {
        "reward_mean": float(rewards.mean()),
        **{
            f"reward_{name}": sum(verdict.rewards[name] for verdict in judged) / len(judged)
            for name in settings.rewards
        },
        "group_std": float(rewards.std(dim=1).mean()),
        "zero_variance_share": float((rewards == rewards[:, :1]).all(dim=1).double().mean()),
        "response_length_mean": sum(lengths) / len(lengths),
        "response_length_max": float(max(lengths)),
        "truncated_share": sum(rollout.finish_reason == "length" for rollout in rollouts) / len(rollouts),
        "verify_timeouts": float(sum(verdict.texts["reason"] == "timeout" for verdict in judged)),
    }


def validation_metrics(groups: Sequence[Group], by: Sequence[str]) -> dict[str, Any]:
    """The mean pass rate of `n` held-out problems, and under `by` that of each value of some keys of their metadata.

    A problem without a key counts under none of its values.
    """

    def rate(chosen: Sequence[Group]) -> float:
        accuracies = [verdict.accuracy for group in chosen for verdict in group.judged]
        return sum(accuracies) / len(accuracies)

    parts: dict[str, dict[str, float]] = {}
    for key in by:
        values: dict[str, list[Group]] = {}
        for group in groups:
            if group.entry.problem.metadata.get(key) is not None:
                values.setdefault(str(group.entry.problem.metadata[key]), []).append(group)
        parts[key] = {value: rate(values[value]) for value in sorted(values)}
    return {"accuracy": rate(groups), "n": len(groups)} | ({"by": parts} if by else {})


def timings(groups: Sequence[Group], prompt_tokens: Sequence[int], watch: Stopwatch, devices: int) -> dict[str, float]:
    """Seconds by phase and in all, this process's CPU seconds, and tokens per second as the speed anchors count them.

    That (EasyR1's `perf/throughput`) is prompt and response tokens of all rollouts over the time of the step, and by
    device. A phase's tokens per second are the same tokens over its own time; `generate` counts response tokens.
    """
    responses = sum(len(rollout.token_ids) for group in groups for rollout in group.rollouts)
    tokens = responses + sum(prompt * len(group.rollouts) for group, prompt in zip(groups, prompt_tokens, strict=True))
    speed = tokens / watch.total()
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    phases = {phase: watch.seconds.get(phase, 0.0) for phase in (*PHASES, *PHASES_OF_TRAIN)}
    tokens_by_phase = {phase: responses if phase == "generate" else tokens for phase in ("generate", "reward", "train")}
    return {
        **{f"seconds_{phase}": seconds for phase, seconds in phases.items()},
        **{f"tokens_per_second_{name}": count / max(phases[name], 1e-9) for name, count in tokens_by_phase.items()},
        "seconds": watch.total(),
        "cpu_seconds": time.process_time() - watch.started_cpu,
        "tokens_per_second": speed,
        "tokens_per_second_per_device": speed / devices,
        "peak_memory_mib": memory,
    }
