"""What many tests share: a tiny Qwen2.5-VL folder and a few digit problems."""

from pathlib import Path

import hypothesis
import pytest

from mmr1 import digits
from mmr1.problems import Problem
from mmr1.tiny_model import TinyArchitecture, build

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model as `build` makes it: random weights, real architecture, tokenizer, processor. Read only."""
    folder = tmp_path_factory.mktemp("tiny_model") / "checkpoint"
    build(folder, TinyArchitecture(), seed=0)
    return folder


@pytest.fixture(scope="session")
def digit_problems() -> list[Problem]:
    """16 digit problems with one to four images each."""
    return digits.make_problems("test", 16, seed=0, digits=digits.load(held_out=False))
