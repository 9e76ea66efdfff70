"""What may go of results, and what keeps it: a job that runs, a question nobody answered, a name nobody knows.

On a whole run: tests/test_commands.py.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmark_fixtures import Call
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import write_json


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's results of which nothing is made yet but a log and a saved state."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/tiny")
    for name in ("logs/train_grpo/round0.log", "tiny/vas/seed0/round0/trainer_state/state.pt", "work/x/step"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 2**20)
    return folder


def mark_running(results: Path) -> None:
    marker = {
        "state": "running",
        "start": datetime.now(UTC).isoformat(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    write_json(results / "logs/train_grpo/round0.attempt.json", marker)


def test_without_a_name_it_lists_and_removes_nothing(
    results: Path, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    call("clean", results)
    lines = capsys.readouterr().out.splitlines()
    sizes = {line.split()[0]: line.split()[1:3] for line in lines[:-1]}
    assert sizes["logs"] == sizes["states"] == sizes["work"] == ["1.0", "MiB"]
    assert sizes["results"] == ["3.0", "MiB"]
    assert lines[-1].startswith("nothing is removed")
    assert (results / "work/x/step").exists()


def test_only_what_is_named_goes(results: Path, call: Call) -> None:
    call("clean", results, "--what", "states", "logs", "--yes")
    left = {path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file()}
    assert left == {"work/x/step"}


def test_a_running_job_keeps_everything(results: Path, call: Call) -> None:
    mark_running(results)
    with pytest.raises(UserError, match=r"results/tiny: train_grpo round0 runs, by its start marker; nothing was"):
        call("clean", results, "--what", "logs", "--yes")
    assert (results / "logs/train_grpo/round0.log").exists()
    with pytest.raises(UserError, match=r"--what: expected some of caches, logs, work, .*, found everything"):
        call("clean", results, "--what", "everything", "--yes")


def test_what_cannot_be_moved_stays(results: Path, call: Call, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="results/tiny: expected a recipe's results, found no records in it"):
        call("move_results", results, tmp_path)
    (results / "records").mkdir()
    with pytest.raises(UserError, match="expected a folder, found none"):
        call("move_results", results, tmp_path / "nowhere")
    with pytest.raises(UserError, match="expected a name that is not taken, outside results/tiny"):
        call("move_results", results, results / "records")
    mark_running(results)
    with pytest.raises(UserError, match="train_grpo round0 runs"):
        call("move_results", results, tmp_path)
    assert (results / "work/x/step").exists()
