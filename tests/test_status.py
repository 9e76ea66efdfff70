"""Where a run stands is read off its files: records, start markers, the steps of a training that runs."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mmr1.provenance.status import job_states, training_states
from project import ROOT

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DEAD = 2**22 + 1  # no process has a number above the kernel's largest


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """SFT done; of a run of two rounds the first done, the second running with 3 of its 4 steps, two since it started
    an hour ago; a killed pass; a failed report."""
    root = tmp_path / "tiny"

    def mark(job: str, state: str, pid: int = os.getpid(), **more: Any) -> None:
        start = (NOW - timedelta(hours=1)).isoformat()
        marker = {"state": state, "start": start, "host": socket.gethostname(), "pid": pid, **more}
        write(root / f"logs/{job}.attempt.json", marker)

    for job in ("train_sft/tiny", "train_grpo/tiny/vas/seed0/round0"):
        mark(job, "finished")
        write(root / f"records/{job}.json", {})
    (root / "tiny/vas/seed0/round0").mkdir(parents=True)
    (root / "tiny/vas/seed0/round0/metrics.jsonl").write_text("{}\n" * 4)
    mark("train_grpo/tiny/vas/seed0/round1", "running")
    for step, age in ((4, 2), (5, 0.5), (6, 0)):
        folder = root / f"work/train_grpo/tiny/vas/seed0/round1/steps/{step:06d}"
        folder.mkdir(parents=True)
        when = (NOW - timedelta(hours=age)).timestamp()
        os.utime(folder, (when, when))
    mark("generate/tiny/vas/seed0/round1/0", "running", pid=DEAD)
    mark("make_report/report", "failed", error="mmr1.plumbing.errors.UserError: results: expected a table\nmore")
    record = f"{root}/records/train_grpo/tiny/vas/seed0/round1.json"
    write(root / "recipe.json", {"file": "r.yaml", "trained": {record: "a"}, "recipes": {"a": {"schedule.steps": 8}}})
    return root


def test_each_job_is_done_running_lost_or_failed(results: Path) -> None:
    assert {f"{job.rule} {job.place}": job.state for job in job_states(results)} == {
        "generate tiny/vas/seed0/round1/0": "lost",
        "make_report report": "failed",
        "train_grpo tiny/vas/seed0/round0": "done",
        "train_grpo tiny/vas/seed0/round1": "running",
        "train_sft tiny": "done",
    }


def test_a_training_has_steps_a_rate_and_an_end(results: Path) -> None:
    (state,) = training_states(results, job_states(results), now=NOW)
    assert (state.run, state.steps, state.of) == ("tiny/vas/seed0", 7, 8)
    assert state.per_hour == pytest.approx(2)
    assert state.end == NOW + timedelta(hours=0.5)


def test_the_program_says_what_failed_and_where_its_log_is(results: Path) -> None:
    program = [sys.executable, str(ROOT / "scripts/status.py")]
    said = subprocess.run([*program, str(results)], capture_output=True, text=True, check=True).stdout
    assert "tiny/vas/seed0: step 7 of 8" in said
    assert "results: expected a table; " + str(results / "logs/make_report/report.log") in said
    nothing = subprocess.run([*program, str(results / "no")], capture_output=True, text=True, check=False)
    assert (nothing.returncode, len(nothing.stderr.splitlines())) == (2, 1)
