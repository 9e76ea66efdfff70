"""What a killed program leaves under temporary names goes with the next start of its job, and nothing else does."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmr1.plumbing.files import atomic, remove_leftovers
from mmr1.plumbing.record import job

SCRIPTS = Path(__file__).parents[2] / "scripts"

WRITE = """
import sys
from pathlib import Path
from mmr1.plumbing.files import atomic
with atomic(Path(sys.argv[1])) as folder:
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(1000))
    print("half", flush=True)
    sys.stdin.read()
"""


@contextmanager
def half_written(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that is half-way through an output until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)], cwd=SCRIPTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def start(out: Path, **paths: Path) -> None:
    """A job that writes nothing."""
    with job(argparse.Namespace(**({"record": None, "attempt": None} | paths)), inputs={}, outputs={"out": out}):
        pass


def test_a_killed_program_s_half_output_goes_with_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "checkpoint"
    with half_written(out):
        pass
    (leftover,) = tmp_path.iterdir()
    start(out)
    assert f"warning: {leftover}: left by a start that was killed; removed\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_a_living_program_writes_stays(tmp_path: Path) -> None:
    out = tmp_path / "checkpoint"
    with half_written(out):
        (living,) = tmp_path.iterdir()
        start(out)
        assert (living / "checkpoint" / "weights").stat().st_size == 1000


def test_two_jobs_with_outputs_in_one_folder_are_not_in_each_other_s_way(tmp_path: Path) -> None:
    """One output's name begins with the other's, and both were killed."""
    for name in ("scores", "scores.parquet"):
        with half_written(tmp_path / name):
            pass
    other = next(path for path in tmp_path.iterdir() if ".parquet." in path.name)
    start(tmp_path / "scores")
    assert list(tmp_path.iterdir()) == [other]
    start(tmp_path / "scores.parquet")
    assert not list(tmp_path.iterdir())


def test_a_folder_from_before_there_were_locks_or_of_a_kill_before_the_lock_is_a_leftover(tmp_path: Path) -> None:
    old = tmp_path / ".out.k2_x9abc"
    (old / "out").mkdir(parents=True)
    assert remove_leftovers(tmp_path / "out") == [old]
    assert not old.exists()


@pytest.mark.parametrize("name", [".out.backup", ".out.notes2026", "out.k2_x9abc", ".out.k2_x9ab."])
def test_what_has_another_name_is_somebody_s(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert not remove_leftovers(tmp_path / "out")
    assert (tmp_path / name).exists()


def test_a_file_of_such_a_name_is_somebody_s(tmp_path: Path) -> None:
    (tmp_path / ".out.k2_x9abc").touch()
    assert not remove_leftovers(tmp_path / "out")


def test_the_record_the_marker_and_the_digest_file_are_outputs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    marker = tmp_path / "x.attempt.json"
    record = tmp_path / "records" / "rule" / "x.json"
    for path in (record, tmp_path / "out.sha256", marker, tmp_path / "x.attempt.kept.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f".{path.name}.abcdefgh").mkdir()
    (tmp_path / "out").mkdir()
    start(tmp_path / "out", record=record, attempt=marker)
    assert not list(tmp_path.rglob(".*.abcdefgh"))


def test_a_folder_that_is_taken_for_a_leftover_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another start of the same job, between two system calls."""
    from mmr1.plumbing import files

    lock = files.fcntl.lockf
    taken: list[Path] = []

    def lock_late(file: int, *words: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            files.shutil.rmtree(taken[0])
        lock(file, *words)

    monkeypatch.setattr(files.fcntl, "lockf", lock_late)
    with atomic(tmp_path / "out") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(taken) == 1
