"""Two programs on one work folder: the second says who holds it and leaves; one that was killed is in nobody's way."""

import errno
import os
import signal
import socket
from pathlib import Path

import pytest

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.work_folder import WorkFolder
from work_holder import held_elsewhere


def test_the_second_program_says_who_holds_the_folder_and_since_when(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with held_elsewhere(folder) as other:
        known = rf"{folder}: .* process {other.pid} on {socket.gethostname()} since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        with pytest.raises(UserError, match=known):
            WorkFolder(folder).hold()


def test_a_program_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with held_elsewhere(folder) as other:
        other.kill()
        other.wait()
        assert f"process {other.pid} " in (tmp_path / ".work.lock").read_text()
        WorkFolder(folder).hold()


def test_a_process_that_a_killed_program_has_forked_holds_nothing(tmp_path: Path) -> None:
    """As a worker that verifies may live on for a while."""
    folder = tmp_path / "work"
    fork = "import os, time; child = os.fork() or time.sleep(60); (Path(sys.argv[1] + '.child')).write_text(str(child))"
    with held_elsewhere(folder, fork) as other:
        child = int((tmp_path / "work.child").read_text())
        other.kill()
        other.wait()
        os.kill(child, 0)  # lives
        WorkFolder(folder).hold()
        os.kill(child, signal.SIGKILL)


def test_an_ended_job_leaves_neither_folder_nor_lock(tmp_path: Path) -> None:
    folder = tmp_path / "job" / "work"
    work = WorkFolder(folder)
    work.hold()
    folder.mkdir()
    (folder / "state").write_bytes(b"state")
    work.remove()
    assert not list((tmp_path / "job").iterdir())
    WorkFolder(folder).hold()


def test_a_removal_that_was_cut_off_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is half removed has no name under which a state would be looked for."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "state").write_bytes(b"state")
    with monkeypatch.context() as killed:
        killed.setattr("mmr1.plumbing.states._rmtree", lambda path: None)
        WorkFolder(folder).remove()
    (hidden,) = tmp_path.iterdir()
    assert hidden.name != "work"
    WorkFolder(folder).hold()
    assert f"{hidden}: left by a removal that was cut off; removed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".work.lock"]


def test_a_folder_that_cannot_be_removed_costs_no_finished_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "work").mkdir()
    work = WorkFolder(tmp_path / "work")
    work.hold()
    monkeypatch.setattr(Path, "rename", refuse)
    work.remove()
    line = f"warning: {tmp_path}/work: expected to be able to remove it: Permission denied"
    assert line in capsys.readouterr().err
    assert not work.lock.exists()


def test_a_lock_that_its_holder_removes_meanwhile_is_not_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened before the holder ends and locked after it: a third program would make a lock file of its own."""
    work = WorkFolder(tmp_path / "work")
    lock = WorkFolder._locked
    calls: list[int] = []

    def locked_late(self: WorkFolder, file: int) -> bool:
        calls.append(file)
        if len(calls) == 1:
            self.lock.unlink()
        return lock(self, file)

    monkeypatch.setattr(WorkFolder, "_locked", locked_late)
    work.hold()
    assert len(calls) == 2
    assert f"process {os.getpid()} " in work.lock.read_text()


def test_what_has_to_outlive_the_folder_may_not_lie_in_it(tmp_path: Path) -> None:
    out = tmp_path / "work" / "out"
    with pytest.raises(UserError, match=rf"--work {tmp_path}/work: .* found {out} in it"):
        WorkFolder(tmp_path / "work").hold([None, tmp_path / "other", [tmp_path, out]])
    WorkFolder(tmp_path / "work").hold([None, tmp_path / "workers" / "out"])
