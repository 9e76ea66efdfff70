"""The timeline of a step: which phases it has, and whose clock they are read from."""

from pathlib import Path

import pytest
import torch

from grpo_fixtures import PlainPolicy, learner, random_groups, settings
from mmr1.data.problems import Problem
from mmr1.grpo.metrics import PHASES_OF_TRAIN
from mmr1.models.action_space import end_of_sequence
from mmr1.plumbing.stopwatch import Stopwatch, phase


def test_the_train_phase_is_measured_from_images_to_optimizer(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    """Two updates: the second needs log-probabilities of before the first."""
    chosen = settings(mini_batch_size=2, loss={"name": "grpo", "kl_coefficient": 0.01})
    policy = PlainPolicy(tiny_model_dir, chosen)
    learning = learner(policy, chosen, PlainPolicy(tiny_model_dir, chosen))
    end = end_of_sequence(policy.processor.tokenizer)
    watch = Stopwatch()
    with watch.time("train"), watch.running():
        learning.learn(0, random_groups(digit_problems[:4], 4, 3, range(8, 100), end, longest=16))
    assert set(watch.seconds) == {"train", *PHASES_OF_TRAIN}
    assert 0 < sum(watch.seconds[name] for name in PHASES_OF_TRAIN) <= watch.seconds["train"]


def test_a_phase_inside_another_is_a_part_of_it_and_outside_a_stopwatch_nothing() -> None:
    watch = Stopwatch()
    with watch.running():
        with phase("reference"), phase("vision"):
            pass
        with phase("text"):
            pass
    with phase("head"):
        pass
    assert list(watch.seconds) == ["reference", "text"]


def test_on_a_gpu_the_clock_is_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events are read once the step is over; only what waits for the processor is timed here."""
    happened: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            happened.append("record")

        def synchronize(self) -> None:
            happened.append("synchronize")

        def elapsed_time(self, end: "Event") -> float:
            return 1500.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    watch = Stopwatch(on_gpu=True)
    with watch.running():
        for _ in range(2):
            with phase("text"):
                pass
        with phase("encode", waiting=True):
            pass
        assert "synchronize" not in happened
    assert watch.seconds["text"] == 3.0
    assert watch.seconds["encode"] < 1.0
