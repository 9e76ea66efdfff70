"""Which entries are sampled with which seeds, and the gates that say which groups are trained on."""

import random
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

from grpo_fixtures import ALONE, no_interruption, settings
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.experience import Entry, Group, read_schedule
from mmr1.grpo.metrics import group_metrics, timings
from mmr1.grpo.sampling import Collector
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.interruption import Preempted
from mmr1.plumbing.stopwatch import Stopwatch
from mmr1.rewards import accuracy
from mmr1.rewards.verifier.verify import Outcome, Verifier
from mmr1.rollout.requests import Request, Rollout, Sampling
from mmr1.seeds import derive


class ScriptedEngine:
    """Answers right for the first `right[problem id]` rollouts of a problem, wrong for the others."""

    def __init__(self, right: dict[str, int]) -> None:
        self.right = right
        self.calls: list[list[Request]] = []

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        self.calls.append(list(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Rollout:
        answer = request.problem.answer if request.rollout < self.right[request.problem.id] else "-1"
        text = f"<think>.</think><answer>\\boxed{{{answer}}}</answer>"
        tokens, logprobs = np.ones(3, np.int32), np.zeros(3, np.float32)
        return Rollout(request.problem.id, request.rollout, request.seed, tokens, text, "stop", logprobs)

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None: ...
    def sleep(self) -> None: ...
    def wake(self) -> None: ...
    def close(self) -> None: ...
    def notes(self) -> dict:
        return {}


def collector(engine: ScriptedEngine, model: Path, **changes: object) -> Collector:
    encoder = PromptEncoder(AutoProcessor.from_pretrained(model))
    return Collector(settings(**changes), engine, encoder, Verifier(1, 2.0), ALONE, 11, no_interruption())


def test_validation_is_the_mean_pass_rate_by_what_the_problems_say_of_themselves(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    """Four responses to each of eight problems, right for 0, 1, 2, 3, 4, 0, 1 and 2 of them; tasks alternate."""
    problems = digit_problems[:8]
    engine = ScriptedEngine({problem.id: place % 5 for place, problem in enumerate(problems)})
    row = collector(engine, tiny_model_dir, validation={"n": 4, "by": ["task"]}).validate(problems, Stopwatch())
    assert row == {"accuracy": 13 / 32, "n": 8, "by": {"task": {"max": 7 / 16, "sum": 6 / 16}}}
    (asked,) = engine.calls
    assert len({request.seed for request in asked}) == 32
    without = collector(engine, tiny_model_dir, validation={"n": 4}).validate(problems, Stopwatch())
    assert without == {"accuracy": 13 / 32, "n": 8}


def test_a_problem_drawn_twice_is_two_groups_with_seeds_of_their_own(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    problem = digit_problems[0]
    engine = ScriptedEngine({problem.id: 2})
    groups, _ = collector(engine, tiny_model_dir).collect(7, [Entry(0, problem), Entry(1, problem)], Stopwatch())
    seeds = [[rollout.seed for rollout in group.rollouts] for group in groups]
    assert seeds == [[derive(11, "train", 7, slot, problem.id, index) for index in range(4)] for slot in (0, 1)]
    assert [group.rewards(settings()) for group in groups] == [[2.0, 2.0, 1.0, 1.0]] * 2
    assert group_metrics(groups, settings())["reward_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("right", "drawn", "trained"),
    [
        ([1, 2, 3, 1, 2, 3], 2, [0, 1]),  # the first batch varies: the queue is left alone
        ([0, 2, 4, 1, 2, 3], 4, [1, 3]),  # one is all wrong, one all right: two more are drawn
        ([0, 0, 4, 4, 0, 3], 6, [5]),  # the queue ends: what there is is trained
        ([0, 4, 0, 4, 0, 4], 6, []),
    ],
)
def test_the_gate_dapo_takes_groups_with_variance_from_the_queue_in_order(
    tiny_model_dir: Path, digit_problems: list[Problem], right: list[int], drawn: int, trained: list[int]
) -> None:
    queue = [Entry(slot, problem) for slot, problem in enumerate(digit_problems[:6])]
    engine = ScriptedEngine({entry.problem.id: count for entry, count in zip(queue, right, strict=True)})
    asked = collector(engine, tiny_model_dir, gate={"name": "dapo", "batch_size": 2})
    groups, admitted = asked.collect(0, queue, Stopwatch())
    assert [group.entry.slot for group in groups] == list(range(drawn))
    assert [group.entry.slot for group in admitted] == trained


def test_the_gate_all_takes_every_group(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    queue = [Entry(slot, problem) for slot, problem in enumerate(digit_problems[:3])]
    engine = ScriptedEngine({entry.problem.id: count for entry, count in zip(queue, [0, 2, 4], strict=True)})
    groups, admitted = collector(engine, tiny_model_dir).collect(0, queue, Stopwatch())
    assert groups == admitted
    assert [group.entry.slot for group in groups] == [0, 1, 2]


@pytest.mark.parametrize(("gate", "batches"), [("all", 1), ({"name": "dapo", "batch_size": 2, "max_draws": 2.5}, 3)])
def test_a_gate_says_how_long_the_queue_of_a_step_is(gate: str | dict, batches: int) -> None:
    chosen = settings(gate=gate).gate
    assert chosen.module.batches(chosen.settings) == batches


def test_sigterm_before_generation_leaves_at_once(tiny_model_dir: Path, digit_problems: list[Problem]) -> None:
    engine = ScriptedEngine({})
    asked = collector(engine, tiny_model_dir)
    asked.interruption.reason = "SIGTERM"
    with pytest.raises(Preempted):
        asked.collect(0, [Entry(0, digit_problems[0])], Stopwatch())
    assert engine.calls == []


def test_ranks_that_share_an_engine_do_not_leave_it_one_by_one(
    tiny_model_dir: Path, digit_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of a generation: a rank that left would be waited for inside the engine."""
    engine = ScriptedEngine({digit_problems[0].id: 2})
    asked = collector(engine, tiny_model_dir)
    answer = engine._answer

    def told(request: Request) -> Rollout:
        asked.interruption._on_signal(signal.SIGTERM, None)
        return answer(request)

    monkeypatch.setattr(engine, "_answer", told)
    with pytest.raises(Preempted):
        asked.collect(0, [Entry(0, digit_problems[0])], Stopwatch())
    asked.ranks_per_engine = 2
    (group,), _ = asked.collect(0, [Entry(0, digit_problems[0])], Stopwatch())
    assert len(group.rollouts) == 4


def test_answers_are_read_and_compared_while_others_are_sampled(
    tiny_model_dir: Path, digit_problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine waits with its last group until the others are prepared. The step asks nothing again."""
    problems = [replace(one, answer=rf"\sum_{{k=0}}^{{{index}}} k^2") for index, one in enumerate(digit_problems[:4])]
    asked: list[list[tuple[str, str]]] = []
    prepared = threading.Semaphore(0)

    class Comparing(Verifier):
        def _ask(self, pairs: list[tuple[str, str]]) -> list[Outcome]:
            asked.append(pairs)
            return [Outcome.EQUAL for _ in pairs]  # not what anything else would find

    class Streaming(ScriptedEngine):
        def generate_blocks(
            self, blocks: Mapping[int, Sequence[Request]], sampling: Sampling
        ) -> Iterator[tuple[int, list[Rollout]]]:
            *early, last = random.Random(0).sample(sorted(blocks), len(blocks))
            for number in early:
                yield number, self._wrong(blocks[number])
            for _ in early:
                assert prepared.acquire(timeout=60)
            yield last, self._wrong(blocks[last])

        def _wrong(self, requests: Sequence[Request]) -> list[Rollout]:
            texts = [rf"<think>.</think><answer>\boxed{{{one.problem.answer} + 1}}</answer>" for one in requests]
            return [replace(self._answer(one), text=text) for one, text in zip(requests, texts, strict=True)]

    prepare = accuracy.prepare
    monkeypatch.setattr(accuracy, "prepare", lambda *given: (prepare(*given), prepared.release()))
    asking = collector(Streaming(dict.fromkeys((problem.id for problem in problems), 0)), tiny_model_dir)
    asking.verifier = Comparing(1, 2.0)
    groups, _ = asking.collect(0, [Entry(slot, problem) for slot, problem in enumerate(problems)], Stopwatch())
    assert [one.accuracy for group in groups for one in group.judged] == [1.0] * 16
    assert sorted(pair for pairs in asked for pair in pairs) == [(one.answer, f"{one.answer} + 1") for one in problems]
    assert len(asked) >= len(problems) - 1  # the last group may be left to the step


def test_speeds_by_phase(digit_problems: list[Problem]) -> None:
    """Two rollouts of three tokens behind a prompt of ten: 26 tokens, six of them generated."""
    engine = ScriptedEngine({digit_problems[0].id: 1})
    rollouts = engine.generate([Request(digit_problems[0], index, index) for index in range(2)], Sampling(1.0, 3))
    watch = Stopwatch({"generate": 2.0, "reward": 0.5, "train": 4.0})
    timing = timings([Group(Entry(0, digit_problems[0]), rollouts, [])], [10], watch, devices=2)
    assert timing["tokens_per_second_generate"] == 3.0
    assert timing["tokens_per_second_train"] == 6.5
    assert timing["tokens_per_second"] == 2 * timing["tokens_per_second_per_device"]


def test_a_schedule_that_does_not_fit_is_refused(tmp_path: Path, digit_problems: list[Problem]) -> None:
    def written(rows: list[tuple[int, int, str]]) -> Path:
        path = tmp_path / "schedule.parquet"
        columns = [dict(zip(("step", "slot", "problem_id"), row, strict=True)) for row in rows]
        none = {"origin": "uniform", "ovs": None, "weight": None}
        contracts.write(path, [row | none for row in columns], contracts.SCHEDULE)
        return path

    problems = {problem.id: problem for problem in digit_problems}
    known = digit_problems[0].id
    schedule = read_schedule(written([(5, 1, digit_problems[1].id), (5, 0, known), (6, 0, known)]), problems)
    assert {step: [entry.problem.id for entry in entries] for step, entries in schedule.items()} == {
        5: [known, digit_problems[1].id],
        6: [known],
    }
    with pytest.raises(UserError, match=r"row 1: problem_id: expected the id of a problem, found 'other'"):
        read_schedule(written([(0, 0, known), (0, 1, "other")]), problems)
    with pytest.raises(UserError, match=r"step 1: expected slots 0, 1, 2, …, found \[\]"):
        read_schedule(written([(0, 0, known), (2, 0, known)]), problems)
    with pytest.raises(UserError, match=r"step 0: expected slots 0, 1, 2, …, found \[0, 2\]"):
        read_schedule(written([(0, 0, known), (0, 2, known)]), problems)
