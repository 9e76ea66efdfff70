"""Which runs there are and how they are nested.

A parent run is one model × run × seed, and one parent named "shared" holds what runs have in common (data, SFT,
evaluation of base and SFT, tables). A child run is one record, or one attempt that came to nothing.
"""

import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mmr1.plumbing.attempt import attempt_name
from mmr1.provenance.ledger import Attempt, Record

SHARED = "shared"
SILENT = timedelta(minutes=30)  # a job of another host that wrote nothing for so long is taken for killed
INITIAL_ROLLOUTS = "generate_initial"  # its `model/<settings>/seedS/…` is no run


@dataclass(frozen=True)
class Unfinished:
    """An attempt that came to nothing: a digest that names it, and the status of its run, FAILED or KILLED."""

    digest: str
    attempt: Attempt
    status: str

    @property
    def end(self) -> datetime:
        """When it ended; for a killed one only its start is known."""
        return self.attempt.end or self.attempt.start


@dataclass
class ParentRun:
    """A parent run with its children: at least one record or unfinished attempt, each in the order of time."""

    name: str
    records: list[Record] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)

    @property
    def start(self) -> datetime:
        """When its first child started."""
        return min(
            [record.execution.start for record in self.records] + [lost.attempt.start for lost in self.unfinished]
        )

    @property
    def end(self) -> datetime:
        """When its last child ended."""
        return max([record.execution.end for record in self.records] + [lost.end for lost in self.unfinished])

    @property
    def status(self) -> str:
        """FINISHED; or that of the last job that failed or was killed and has not been finished since."""
        done = {(record.rule, record.place): record.execution.end for record in self.records}
        lost = [
            one
            for one in self.unfinished
            if (job := (one.attempt.rule, one.attempt.place)) not in done or done[job] < one.attempt.start
        ]
        return lost[-1].status if lost else "FINISHED"


def parent_runs(records: list[Record], attempts: list[Attempt], logs: Path) -> list[ParentRun]:
    """The parent runs of these records and of those attempts that came to nothing; `logs` is where jobs write."""
    parents: dict[str, ParentRun] = {}

    def parent(job: Record | Attempt) -> ParentRun:
        name = parent_name(job)
        return parents.setdefault(name, ParentRun(name))

    for record in records:
        parent(record).records.append(record)
    for lost in _unfinished(attempts, logs):
        parent(lost.attempt).unfinished.append(lost)
    return list(parents.values())


def parent_name(job: Record | Attempt) -> str:
    """The parent run of a job: `model/run/seedS` for what belongs to one run, else "shared".

    Round-0 rollouts are shared by runs; an evaluation (`…/run-seedS/…`) belongs to its run.
    """
    parts = job.place.parts
    if job.rule == INITIAL_ROLLOUTS:
        return SHARED
    if len(parts) >= 3 and re.fullmatch(r"seed\d+", parts[2]):
        return "/".join(parts[:3])
    for part in parts[1:]:
        if match := re.fullmatch(r"(.+)-(seed\d+)", part):
            return "/".join((parts[0], *match.groups()))
    return SHARED


def child_name(job: Record | Attempt, parent: str) -> str:
    """A child run's name: the rule, and what of its place the parent's name does not say."""
    rest = job.place.as_posix().removeprefix(parent).strip("/.")
    return f"{job.rule} {rest}".strip()


def _unfinished(attempts: list[Attempt], logs: Path) -> Iterator[Unfinished]:
    for attempt in attempts:
        name = attempt_name(attempt.rule, attempt.wildcards, attempt.start, attempt.host, attempt.pid)
        if attempt.state == "failed":
            yield Unfinished(name, attempt, "FAILED")
        elif attempt.state == "running" and not _alive(attempt, logs):
            yield Unfinished(name, attempt, "KILLED")


def _alive(attempt: Attempt, logs: Path) -> bool:
    """Whether a job that never closed its marker still runs: SLURM knows of its jobs, this host of its own.

    Where nobody can be asked, of a job on another host or while SLURM does not answer, it runs while it writes its log.
    """
    log = logs / attempt.rule / f"{attempt.wildcards}.log"
    if "SLURM_JOB_ID" in attempt.slurm:
        try:
            command = ["squeue", "--noheader", "--jobs", attempt.slurm["SLURM_JOB_ID"]]
            listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return _wrote(log, attempt)
        if listed.returncode and "Invalid job id" not in listed.stderr:
            return _wrote(log, attempt)
        return bool(listed.stdout.strip())
    if attempt.host != socket.gethostname():
        return _wrote(log, attempt)
    try:
        command_line = Path(f"/proc/{attempt.pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "\0".join(attempt.argv) in command_line  # else the number belongs to another process by now


def _wrote(log: Path, attempt: Attempt) -> bool:
    """Whether a start's log was written to within `SILENT`."""
    try:
        last = datetime.fromtimestamp(log.stat().st_mtime, UTC)
    except OSError:
        return False
    return last >= attempt.start and datetime.now(UTC) - last < SILENT
