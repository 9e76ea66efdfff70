"""Generate and reward: from entries of the schedule to groups of judged rollouts, each rank its share."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder, check_prompt_length
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import Entry, Group
from mmr1.grpo.judging import Judged, Preparation, judge
from mmr1.grpo.loader import processed_ahead
from mmr1.grpo.metrics import validation_metrics
from mmr1.grpo.policy import Policy
from mmr1.grpo.settings import GRPOSettings
from mmr1.plumbing.interruption import Interruption, Preempted
from mmr1.plumbing.stopwatch import Stopwatch
from mmr1.rewards import Response
from mmr1.rewards.verifier.verify import Verifier
from mmr1.rollout.make import ranks_of
from mmr1.rollout.requests import Engine, Request, Rollout, Sampling, Streaming, group_requests


@dataclass(frozen=True)
class Found:
    """What a rank tells the others of a group: not the problem, which each of them has, with its images."""

    slot: int
    prompt_tokens: int
    rollouts: list[Rollout]
    judged: list[Judged]


class Collector:
    """Draws rollouts from an engine and judges them. Their seeds come from (run seed, purpose, step, slot, index)."""

    def __init__(
        self,
        settings: GRPOSettings,
        engine: Engine,
        encoder: PromptEncoder,
        verifier: Verifier,
        ranks: Ranks,
        seed: int,
        interruption: Interruption,
    ) -> None:
        self.settings, self.engine, self.encoder, self.verifier = settings, engine, encoder, verifier
        self.ranks, self.seed, self.interruption = ranks, seed, interruption
        # The ranks of one tensor-parallel engine are asked for the same rollouts; the first of them hands them in.
        self.ranks_per_engine = count = ranks_of(settings.engine)
        self.share, self.shares, self.leads = ranks.rank // count, ranks.size // count, ranks.rank % count == 0

    def collect(self, step: int, queue: Sequence[Entry], watch: Stopwatch) -> tuple[list[Group], list[Group]]:
        """The groups of as many entries from the front of the queue as the gate takes, and those that it admits.

        Raises Preempted.
        """
        gate = self.settings.gate
        wanted = gate.module.wanted(len(queue), gate.settings)
        sampling = Sampling(self.settings.temperature, self.settings.max_response_tokens, self.settings.top_p)
        groups: list[Group] = []
        admitted: list[Group] = []
        while len(groups) < len(queue) and len(admitted) < wanted:
            entries = queue[len(groups) : len(groups) + wanted]
            with processed_ahead(self.encoder, self._own_first(entries)):
                sampled = self._sample(entries, self.settings.group_size, ("train", step), sampling, watch)
            groups += sampled
            admitted += [group for group in sampled if gate.module.admits(group, gate.settings)]
        return groups, admitted[:wanted]

    def validate(self, problems: Sequence[Problem], watch: Stopwatch) -> dict[str, Any]:
        """Accuracy on held-out problems (`validation_metrics`). Seeds are the same at every step. Raises Preempted."""
        validation = self.settings.validation
        sampling = Sampling(validation.temperature, self.settings.max_response_tokens, validation.top_p)
        entries = [Entry(slot, problem) for slot, problem in enumerate(problems)]
        groups = self._sample(entries, validation.n, ("validation",), sampling, watch)
        return validation_metrics(groups, validation.by)

    def update_weights(self, policy: Policy) -> None:
        """Give the engine the policy's weights as they are now."""
        self.engine.wake()
        self.engine.load_weights(policy.named_tensors())

    def _own_first(self, entries: Sequence[Entry]) -> list[Problem]:
        """The entries' problems, those that this rank samples before the others: its engine may need them, too."""
        own = entries[self.share :: self.shares]
        slots = {entry.slot for entry in own}
        return [entry.problem for entry in (*own, *(entry for entry in entries if entry.slot not in slots))]

    def _sample(
        self, entries: Sequence[Entry], n: int, purpose: tuple[str | int, ...], sampling: Sampling, watch: Stopwatch
    ) -> list[Group]:
        """One group an entry, on every rank. Raises Preempted on all ranks if any of them leaves."""
        mine: list[Found] | None = None
        # All ranks get the signal, or the others finish and hear of it below. Ranks that share an engine cannot leave
        # it one by one: the others would wait for them inside it.
        leaving = self.interruption.may_leave() if self.ranks_per_engine == 1 else nullcontext()
        try:
            with leaving:
                mine = self._share(entries[self.share :: self.shares], n, purpose, sampling, watch)
        except Preempted:
            pass
        parts = self.ranks.gather(mine if self.leads or mine is None else [])
        if any(part is None for part in parts):
            raise Preempted
        by_slot = {entry.slot: entry for entry in entries}
        groups = []
        for found in sorted((found for part in parts for found in part), key=lambda found: found.slot):
            entry = by_slot[found.slot]
            self.encoder.know_length(entry.problem, found.prompt_tokens)
            groups.append(Group(entry, found.rollouts, found.judged))
        return groups

    def _share(
        self, entries: Sequence[Entry], n: int, purpose: tuple[str | int, ...], sampling: Sampling, watch: Stopwatch
    ) -> list[Found]:
        asked: list[list[Request]] = []
        for entry in entries:
            check_prompt_length(entry.problem, self.encoder.length(entry.problem), self.settings.max_prompt_tokens)
            asked.append(group_requests(entry.problem, n, self.seed, str(purpose[0]), *purpose[1:], entry.slot))
        with watch.time("generate"), Preparation(self.settings.rewards, self.verifier) as preparation:
            sampled = self._generate(asked, sampling, preparation)
        with watch.time("reward"):
            responses = [one for group in zip(asked, sampled, strict=True) for one in _responses(*group)]
            judged = judge(self.settings.rewards, responses, self.verifier)
        return [
            Found(entry.slot, self.encoder.length(entry.problem), rollouts, judged[n * place : n * place + n])
            for place, (entry, rollouts) in enumerate(zip(entries, sampled, strict=True))
        ]

    def _generate(
        self, asked: Sequence[Sequence[Request]], sampling: Sampling, preparation: Preparation
    ) -> list[list[Rollout]]:
        """The rollouts of each group. Where the engine hands over groups as they are done, rewards prepare them."""
        if not isinstance(self.engine, Streaming):
            rollouts = iter(self.engine.generate([one for group in asked for one in group], sampling) if asked else [])
            return [list(islice(rollouts, len(group))) for group in asked]
        done: dict[int, list[Rollout]] = {}
        for number, group in self.engine.generate_blocks(dict(enumerate(asked)), sampling):
            done[number] = group
            preparation.add(_responses(asked[number], group))
        return [done[number] for number in range(len(asked))]


def _responses(requests: Sequence[Request], rollouts: Sequence[Rollout]) -> list[Response]:
    return [
        Response(request.problem, rollout.text, rollout.token_ids, rollout.finish_reason)
        for request, rollout in zip(requests, rollouts, strict=True)
    ]
