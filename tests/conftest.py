"""What many tests share: a tiny Qwen2.5-VL folder and a few digit problems.

Nothing here imports torch before a test asks: the process that hands tests to the workers loads this file, too.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from forking import ForkingServer

if TYPE_CHECKING:
    from benchmark_fixtures import Call
    from mmr1.data.problems import Problem

SCRIPTS = Path(__file__).parents[1] / "scripts"

# How long an example takes says nothing on a machine that does other things too.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that two workers, each with a file at a time, end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def own_variables() -> Iterator[None]:
    """The variables that the project sets are as before after each test: one that stayed would change a later one.

    `monkeypatch.delenv(…, raising=False)` takes nothing back where there was nothing.
    """
    from mmr1.models.determinism import VARIABLES

    def own() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name in VARIABLES or name.startswith("MMR1_")}

    before = own()
    yield
    for name in own():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model as `build` makes it: random weights, real architecture, tokenizer, processor. Read only."""
    from mmr1.models.tiny import TinyArchitecture, build

    folder = tmp_path_factory.mktemp("tiny_model") / "checkpoint"
    build(folder, TinyArchitecture(), seed=0)
    return folder


@pytest.fixture(scope="session")
def digit_problems() -> list[Problem]:
    """16 digit problems with one to four images each."""
    from mmr1.data.sources import digits

    return digits.make_problems("test", 16, seed=0, digits=digits.load(held_out=False))


@pytest.fixture(scope="session")
def server() -> Iterator[ForkingServer]:
    """Starts programs without the seconds that torch takes to import."""
    server = ForkingServer()
    yield server
    server.close()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call a program's `main` with a command line, in this process."""

    def run(name: str, *arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPTS / f"{name}.py"), *map(str, arguments)])
        importlib.import_module(name).main()

    return run
