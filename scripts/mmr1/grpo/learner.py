"""Advantages, accumulate, step: from the groups of a step to updated weights and the step's metrics."""

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch

from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.batching import MicroBatch, deal
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import Group
from mmr1.grpo.loader import Loader
from mmr1.grpo.losses import Tokens
from mmr1.grpo.metrics import Mismatch, TokenSums
from mmr1.grpo.minibatch import MiniBatch, mini_batches
from mmr1.grpo.policy import Policy, Reference
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.action_space import end_of_sequence
from mmr1.plumbing.errors import SharedError
from mmr1.plumbing.files import atomic
from mmr1.plumbing.stopwatch import phase

# Logged with `importance_cap`: the weight of a token, and whether it was truncated.
IMPORTANCE = ("importance_weight", "importance_truncated")


class NonFinite(SharedError):
    """A loss or gradient is not finite; the message names the step, the problems and where the batch is saved."""


class Learner:
    """Updates a policy. `failure` is the folder where a batch is saved if its loss or gradient is not finite."""

    def __init__(
        self,
        settings: GRPOSettings,
        policy: Policy,
        reference: Reference | None,
        encoder: PromptEncoder,
        ranks: Ranks,
        failure: Path,
    ) -> None:
        self.settings, self.policy, self.reference, self.encoder = settings, policy, reference, encoder
        self.ranks, self.failure = ranks, failure
        self.loader = Loader(encoder, policy.hf, ranks.device)
        self.end = end_of_sequence(encoder.processor.tokenizer)
        self.logged = logged_names(settings, reference is not None)

    def learn(self, step: int, groups: Sequence[Group]) -> dict[str, float]:
        """All optimizer updates of a step: `epochs` passes over its mini-batches. Raises NonFinite."""
        prompt_tokens = [self.encoder.length(group.entry.problem) for group in groups]
        step_batches = mini_batches(groups, prompt_tokens, self.settings, self.end)
        sums, mismatch, norms = self._no_tokens(), Mismatch(), []
        for mini_batch in step_batches[1:]:
            self._remember_old(mini_batch)
        for _ in range(self.settings.epochs):
            for mini_batch in step_batches:
                update = self._update(step, mini_batch, mismatch)
                if update is not None:
                    sums += update[0]
                    norms.append(update[1])
        return self._metrics(sums, mismatch.over(self.ranks), norms)

    def _update(self, step: int, mini_batch: MiniBatch, mismatch: Mismatch) -> tuple[TokenSums, float] | None:
        """One optimizer update: sums over its tokens and the gradient's norm; None if nothing is to be learned from."""
        if not mini_batch.samples:
            return None
        sums = self._no_tokens()
        turns = self._turns(mini_batch)
        micro_batches = self.loader.load(mini_batch, [index for index, _ in turns])
        for turn, ((_, real), micro_batch) in enumerate(zip(turns, micro_batches, strict=True), 1):
            logprobs, entropies = self.policy.logprobs(micro_batch)
            old = self._old(mini_batch, micro_batch, logprobs.detach(), mismatch if real else None)
            importance, corrections = self._importance(mini_batch, micro_batch, old)
            tokens = Tokens(
                logprobs=logprobs,
                old=old,
                reference=self._reference(mini_batch, micro_batch),
                advantages=_spread(mini_batch.advantages, micro_batch),
                weights=_spread(mini_batch.weights, micro_batch),
                bounds=torch.tensor([0, *accumulate(micro_batch.lengths)]),
                importance=importance,
            )
            loss, values = self.settings.loss.module.loss(tokens, self.settings.loss.settings)
            if real:
                sums.add(loss, {**values, "entropy": entropies, **corrections})
            with phase("backward"):
                self.policy.backward(loss * real, last=turn == len(turns))
        sums = sums.over(self.ranks)
        if not math.isfinite(sums.loss):
            self._fail(step, mini_batch, f"loss is {sums.loss}")
        with phase("optimizer"):
            norm = self.policy.step()
        if not math.isfinite(norm):
            self._fail(step, mini_batch, f"gradient norm is {norm}")
        return sums, norm

    @torch.no_grad()
    def _remember_old(self, mini_batch: MiniBatch) -> None:
        """The log-probabilities of a mini-batch that will only be trained on after others have moved the weights."""
        for micro_batch in self.loader.load(mini_batch, [index for index, _ in self._turns(mini_batch)]):
            with phase("old"):
                logprobs, _ = self.policy.logprobs(micro_batch)
            for member, values in _by_member(micro_batch, logprobs):
                mini_batch.old[member] = values

    def _old(
        self, mini_batch: MiniBatch, micro_batch: MicroBatch, current: torch.Tensor, mismatch: Mismatch | None
    ) -> torch.Tensor:
        """The log-probabilities under the weights that sampled: `current` where no update came between."""
        for member, values in _by_member(micro_batch, current):
            if mini_batch.old[member] is None:
                mini_batch.old[member] = values
            if mismatch is not None and member not in mini_batch.compared:
                mini_batch.compared.add(member)
                mismatch.add(mini_batch.old[member], mini_batch.sampled[member])
        return torch.cat([mini_batch.old[member] for member in micro_batch.members]).to(current.device)

    def _reference(self, mini_batch: MiniBatch, micro_batch: MicroBatch) -> torch.Tensor | None:
        if self.reference is None:
            return None
        if any(mini_batch.reference[member] is None for member in micro_batch.members):
            with phase("reference"):
                logprobs = self.reference.logprobs(micro_batch)
            for member, values in _by_member(micro_batch, logprobs):
                mini_batch.reference[member] = values
        return torch.cat([mini_batch.reference[member] for member in micro_batch.members]).to(
            micro_batch.targets.device
        )

    def _importance(
        self, mini_batch: MiniBatch, micro_batch: MicroBatch, old: torch.Tensor
    ) -> tuple[torch.Tensor | None, dict[str, torch.Tensor]]:
        """Truncated importance sampling: min(π_old / π_engine, cap) of each token, and what is logged of it.

        The engine draws with other kernels, and within top-p, where the trainer's probabilities are of all tokens
        (verl's `rollout_is: token`, TRL's `token_truncate`).
        """
        cap = self.settings.importance_cap
        if cap is None:
            return None, {}
        sampled = torch.cat([mini_batch.sampled[member] for member in micro_batch.members]).to(old.device)
        ratio = (old - sampled).exp()
        weights = ratio.clamp(max=cap)
        return weights, dict(zip(IMPORTANCE, (weights, ratio > cap), strict=True))

    def _no_tokens(self) -> TokenSums:
        return TokenSums(dict.fromkeys(self.logged, 0.0))

    def _turns(self, mini_batch: MiniBatch) -> list[tuple[int, bool]]:
        return deal(len(mini_batch.batches), self.ranks.rank, self.ranks.size)

    def _metrics(self, sums: TokenSums, mismatch: Mismatch, norms: list[float]) -> dict[str, float]:
        """Means over tokens and over updates; zero where nothing was learned from."""
        updates = max(1, len(norms))
        return {
            "loss": sums.loss / updates,
            "gradient_norm": sum(norms) / updates,
            **sums.means(),
            "learning_rate": self.settings.learning_rate,
            "updates": float(len(norms)),
            "logprob_difference_mean": mismatch.absolute / max(1.0, mismatch.tokens),
            "logprob_ratio_max": math.exp(min(mismatch.largest, 700.0)),
            "logprobs_differing": mismatch.differing,
        }

    def _fail(self, step: int, mini_batch: MiniBatch, what: str) -> None:
        """Save the weights as they were before this update and the mini-batch, and stop."""
        for name in ("old", "reference"):
            by_rank = self.ranks.gather(getattr(mini_batch, name))  # each rank has those of the samples that it ran
            by_sample = zip(*by_rank, strict=True)
            known = [next((values for values in sample if values is not None), None) for sample in by_sample]
            setattr(mini_batch, name, known)
        problems = list(dict.fromkeys(mini_batch.problem_ids))
        self.policy.save(self.failure / "checkpoint", self.ranks)
        if self.ranks.first:
            with atomic(self.failure / "batch.pt") as target:
                torch.save(
                    {
                        "step": step,
                        "problem_ids": mini_batch.problem_ids,
                        "responses": [sample.response for sample in mini_batch.samples],
                        "advantages": mini_batch.advantages,
                        "weights": mini_batch.weights,
                        "old": mini_batch.old,
                        "reference": mini_batch.reference,
                    },
                    target,
                )
        shown = ", ".join(problems[:8]) + (f" and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise NonFinite(f"step {step}: {what}; problems {shown}; the batch and the weights are in {self.failure}")


def logged_names(settings: GRPOSettings, reference: bool) -> list[str]:
    """The names of the values per token that are logged: those that the loss returns, here of a single token."""
    one = torch.zeros(1)
    tokens = Tokens(one, one, one if reference else None, one, one, torch.tensor([0, 1]))
    names = [*settings.loss.module.loss(tokens, settings.loss.settings)[1], "entropy"]
    return names if settings.importance_cap is None else [*names, *IMPORTANCE]


def _by_member(micro_batch: MicroBatch, values: torch.Tensor) -> list[tuple[int, torch.Tensor]]:
    """Values of a micro-batch's tokens, sample by sample, on the CPU."""
    return list(zip(micro_batch.members, values.cpu().split(micro_batch.lengths), strict=True))


def _spread(values: Sequence[float], micro_batch: MicroBatch) -> torch.Tensor:
    """One value a sample, repeated over its tokens: float32 [N]."""
    per_sequence = torch.tensor([values[member] for member in micro_batch.members], dtype=torch.float32)
    return per_sequence.repeat_interleave(torch.tensor(micro_batch.lengths)).to(micro_batch.targets.device)
