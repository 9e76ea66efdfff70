"""Two SLURM jobs that do the same: the later one stays, and a job of another kind is left alone. `squeue` and `scancel`
are scripts here; tests/slurm has the real ones.
"""

import json
from pathlib import Path

import pytest

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.orphan import end_orphan

# Each file in `jobs` is a job that SLURM knows; it holds the job's comment.
SQUEUE = '#!/bin/sh\ncat "$(dirname "$0")/jobs/$3" 2> /dev/null\n'
SCANCEL = '#!/bin/sh\nrm "$(dirname "$0")/jobs/$1"\n'


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of SLURM's jobs; this process is job 20, of the rule train."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name, text in {"squeue": SQUEUE, "scancel": SCANCEL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    (folder / "20").write_text("rule_train_wildcards_a\n")
    return folder


def marker(jobs: Path, number: str | None, state: str = "running") -> Path:
    path = jobs.parent / "marker.json"
    path.write_text(json.dumps({"state": state, "slurm": {} if number is None else {"SLURM_JOB_ID": number}}))
    return path


def test_an_earlier_job_that_does_the_same_is_cancelled(jobs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (jobs / "7").write_text("rule_train_wildcards_a\n")
    end_orphan(marker(jobs, "7"))
    assert not (jobs / "7").exists()
    assert "SLURM job 7 does the same" in capfd.readouterr().err


def test_a_job_left_in_the_queue_gives_way_to_the_one_that_was_submitted_after_it(jobs: Path) -> None:
    (jobs / "31").write_text("rule_train_wildcards_a\n")
    with pytest.raises(UserError, match=r"SLURM job 31, submitted after this one \(20\), does the same"):
        end_orphan(marker(jobs, "31"))
    assert (jobs / "31").exists()


@pytest.mark.parametrize("comment", ["rule_train_wildcards_b", "somebody's", "(null)"])
def test_another_job_of_the_same_number_is_left_alone(jobs: Path, comment: str) -> None:
    """The results were copied from another cluster, or SLURM has begun to count anew."""
    (jobs / "7").write_text(comment)
    end_orphan(marker(jobs, "7"))
    assert (jobs / "7").exists()


def test_jobs_without_a_comment_are_not_told_apart_and_left_alone(jobs: Path) -> None:
    """Two allocations in which somebody runs programs by hand."""
    for number in ("7", "20"):
        (jobs / number).write_text("(null)\n")
    end_orphan(marker(jobs, "7"))
    assert (jobs / "7").exists()


@pytest.mark.parametrize(("number", "state"), [("7", "finished"), ("7", "failed"), ("8", "running"), (None, "running")])
def test_what_has_ended_or_was_no_slurm_job_is_left_alone(jobs: Path, number: str | None, state: str) -> None:
    (jobs / "7").write_text("rule_train_wildcards_a\n")
    end_orphan(marker(jobs, number, state))
    assert (jobs / "7").exists()


def test_a_job_that_does_not_end_stops_the_one_that_waits_for_it(jobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (jobs / "7").write_text("rule_train_wildcards_a\n")
    (jobs.parent / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr("mmr1.plumbing.orphan.SECONDS", 0)
    with pytest.raises(UserError, match="SLURM job 7 does the same and does not end"):
        end_orphan(marker(jobs, "7"))
