"""Training whose sampler observes: the schedule that was used is an output, and a kill lands on the same one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.plumbing.files import sha256
from trainer_harness import Setup, small_setup

ROOT = Path(__file__).parents[1]
DRAW = {"batch_size": 3, "queue_factor": 2, "sampler": {"name": "mopps", "decay": 0.5}}
STEPS = 4

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, digit_problems: list[Problem]) -> Setup:
    return small_setup(tmp_path_factory.mktemp("observing"), digit_problems)


def arguments(setup: Setup, out: str, first: int, steps: int, **more: object) -> list[str]:
    """A round of a sampler that observes, with DAPO's gate, so that groups are passed over."""
    settings = setup.settings(
        "observing",
        group_size=2,
        mini_batch_size=3,
        draw=DRAW,
        gate={"name": "dapo", "batch_size": 3},
        machine={"save_every": 2, "verify_workers": 1},
    )
    place = {"schedule_out": setup.folder / out / "schedule.parquet"}
    return setup.arguments(out, settings, None, first_step=first, steps=steps, **place, **more)


@pytest.fixture(scope="module")
def straight(server: ForkingServer, setup: Setup) -> str:
    """A run of four steps without a stop."""
    assert server.wait(server.start(arguments(setup, "straight", 0, STEPS), setup.log("straight"))) == 0
    return "straight"


def test_a_killed_run_lands_on_the_same_schedule_and_weights(
    server: ForkingServer, setup: Setup, straight: str
) -> None:
    """Killed in step 3, whose results were not written, with states after 2 steps."""
    command = arguments(setup, "killed", 0, STEPS)
    kill = ("mmr1.grpo.state:Work.write_step", 4, 0.0)
    assert server.wait(server.start(command, setup.log("killed"), kill)) == -signal.SIGKILL
    assert server.wait(server.start(command, setup.log("killed"))) == 0
    assert "2 steps done" in setup.log("killed").read_text()
    assert setup.hashes("killed") == setup.hashes(straight)


def test_two_rounds_equal_one_of_twice_the_steps(server: ForkingServer, setup: Setup, straight: str) -> None:
    first, second = setup.folder / "first", setup.folder / "second"
    assert server.wait(server.start(arguments(setup, "first", 0, 2), setup.log("first"))) == 0
    more = {"model": first / "out", "state": first / "state-out"}
    command = arguments(setup, "second", 2, 2, earlier_rewards=[first / "rewards.parquet"], **more)
    assert server.wait(server.start(command, setup.log("second"))) == 0

    used = [contracts.read(folder / "schedule.parquet", contracts.SCHEDULE).to_pylist() for folder in (first, second)]
    whole = contracts.read(setup.folder / straight / "schedule.parquet", contracts.SCHEDULE).to_pylist()
    assert used[0] + used[1] == whole
    assert {row["origin"] for row in whole} == {"mopps"}
    at_once, in_two = setup.hashes(straight), setup.hashes("second")
    assert [in_two[name] for name in at_once if name.startswith("out/")] == [
        at_once[name] for name in at_once if name.startswith("out/")
    ]

    refused = arguments(setup, "refused", 2, 2, **more)
    assert server.wait(server.start(refused, setup.log("refused"))) == 2
    assert "--earlier-rewards: expected those of steps 0 to 1" in setup.log("refused").read_text()


def test_the_schedule_is_drawn_again_from_the_rewards_to_the_byte(setup: Setup, straight: str) -> None:
    folder = setup.folder / straight
    words = "--first-step 0 --steps 4 --seed 5 --batch-size 3 --queue-factor 2 --sampler mopps"
    files = {"--problems": setup.folder / "problems.parquet", "--rewards": folder / "rewards.parquet"}
    again = setup.folder / "again.parquet"
    command = [sys.executable, str(ROOT / "scripts/draw_schedule.py"), *words.split(), "--out", str(again)]
    subprocess.run([*command, *(str(word) for pair in files.items() for word in pair)], check=True)
    assert sha256(again) == sha256(folder / "schedule.parquet")


def test_a_schedule_and_a_sampler_that_observes_exclude_each_other(server: ForkingServer, setup: Setup) -> None:
    schedule = setup.schedule(range(2), size=3)
    for name, draw, given, message in [
        ("both", DRAW, schedule, "--schedule: expected a schedule, or settings with a section `draw`, and not both"),
        ("neither", None, None, "--schedule: expected a schedule, or settings with a section `draw`, and not both"),
        ("uniform", {**DRAW, "sampler": "uniform"}, None, "draw.sampler: expected one that observes"),
    ]:
        command = setup.arguments(name, setup.settings(name, draw=draw), given, first_step=0, steps=2)
        assert server.wait(server.start(command, setup.log(name))) == 2
        assert message in setup.log(name).read_text()
