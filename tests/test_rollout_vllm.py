"""What vLLM is told, by a stand-in that writes it down: requests in a steady stream, and how it wakes on a GPU."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError
from mmr1.rollout.requests import Sampling, group_requests
from mmr1.rollout.vllm_engine import GPU_BIASES, VllmEngine, _check_biases

PLACES = 8  # responses that run at a time


class FakeVllm:
    """As much of `vllm.LLM` as the engine uses. Responses end after a few steps, later ones often before earlier."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.llm_engine = self
        self.unfinished: dict[str, int] = {}
        self.at_steps: list[int] = []

    def enqueue(self, prompts: list[Any], parameters: list[Any], use_tqdm: bool) -> list[str]:
        names = [str(self.calls.count("request") + index) for index in range(len(prompts))]
        self.calls += ["request"] * len(prompts)
        self.unfinished |= {name: 2 + int(name) * 7 % 5 for name in names}
        return [f"{name}-0a1b2c3d" for name in names]

    def step(self) -> Iterator[Any]:
        self.at_steps.append(len(self.unfinished))
        for name in [*self.unfinished][:PLACES]:
            self.unfinished[name] -= 1
            if self.unfinished[name] == 0:
                del self.unfinished[name]
                yield SimpleNamespace(finished=True, request_id=name, outputs=[name])
            else:
                yield SimpleNamespace(finished=False)

    def collective_rpc(self, name: str, kwargs: Mapping[str, Any]) -> None:
        self.calls += [name, *(tensor for tensor, _ in kwargs["weights_iterator"])]

    def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    def wake_up(self, tags: list[str]) -> None:
        self.calls.append(f"wake {tags[0]}")

    def reset_prefix_cache(self) -> None:
        self.calls.append("reset prefixes")

    def reset_encoder_cache(self) -> None:
        self.calls.append("reset images")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> VllmEngine:
    """The engine as on a GPU, around a stand-in."""
    made = object.__new__(VllmEngine)
    made._llm, made._max_num_seqs = FakeVllm(), PLACES
    made._has_worker_processes, made._sleeps, made._asleep = False, True, False
    monkeypatch.setattr(made, "_input", lambda problem: problem.id)
    monkeypatch.setattr(made, "_parameters", lambda request, sampling: request)
    monkeypatch.setattr(made, "_rollout", lambda request, completion: (request.problem.id, request.rollout))
    return made


def test_vllm_always_has_more_to_do_until_the_last_requests(engine: VllmEngine, digit_problems: list[Problem]) -> None:
    """Three blocks of four problems, three responses each, of which eight run at a time."""
    blocks = {
        number: [
            request
            for problem in digit_problems[4 * number : 4 * number + 4]
            for request in group_requests(problem, 3, 0, "test")
        ]
        for number in range(3)
    }
    for number, rollouts in engine.generate_blocks(blocks, Sampling(1.0, 8)):
        assert rollouts == [(request.problem.id, request.rollout) for request in blocks.pop(number)]
    assert not blocks
    waiting = engine._llm.at_steps
    assert max(waiting) < 2 * PLACES + 3
    all_asked = len(waiting) - next(index for index, count in enumerate(reversed(waiting)) if count >= PLACES)
    assert min(waiting[:all_asked]) >= PLACES


def test_weights_come_before_the_key_value_cache_takes_what_is_left(engine: VllmEngine) -> None:
    """What slept is dropped, not copied to host memory; where nothing slept, weights are only replaced."""
    new = {"model.norm.weight": torch.zeros(1)}
    engine.wake()
    engine.load_weights(new.items())
    loaded = ["reload_weights", *new]
    assert engine._llm.calls == [*loaded, "reset prefixes", "reset images"]
    engine._llm.calls.clear()
    engine.sleep()
    engine.sleep()
    engine.wake()
    engine.load_weights(new.items())
    woken = ["sleep 2", "wake weights", *loaded, "wake kv_cache"]
    assert engine._llm.calls == [*woken, "reset prefixes", "reset images"]


def test_more_suppressed_tokens_than_a_gpu_takes_are_told_before_anything_is_loaded() -> None:
    _check_biases("checkpoint", GPU_BIASES, on_gpu=True)
    _check_biases("checkpoint", GPU_BIASES + 1, on_gpu=False)
    with pytest.raises(UserError, match=r"checkpoint: expected at most 1024 tokens .* found 1025: choose `engine:"):
        _check_biases("checkpoint", GPU_BIASES + 1, on_gpu=True)
