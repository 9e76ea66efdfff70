"""Where a results folder stands: what is done, runs, was lost or failed, by records, start markers, work folders."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mmr1.plumbing.makers import record_files
from mmr1.provenance.kept_recipe import KeptRecipe
from mmr1.provenance.ledger import Attempt, read_attempts

DONE, RUNNING, LOST, FAILED = "done", "running", "lost", "failed"
TRAINING = "train_grpo"


@dataclass(frozen=True)
class JobState:
    """A job that was started or is done: `state` is one of those above, `attempt` its last start, if one is known."""

    rule: str
    place: str
    state: str
    attempt: Attempt | None


@dataclass(frozen=True)
class TrainingState:
    """How far a run's training is: steps done of all; per hour and the end only while a round runs."""

    run: str  # model/run/seedS
    steps: int
    of: int | None
    per_hour: float | None
    end: datetime | None


def job_states(results: Path) -> list[JobState]:
    """Every job that has a record or a start marker. Raises UserError naming a broken marker."""
    root = results / "records"
    done = {path.relative_to(root).with_suffix("").as_posix() for path in record_files(root)}
    last = {f"{one.rule}/{one.wildcards}": one for one in read_attempts(results)}  # oldest first: the last start stays
    states = []
    for name in sorted(done | last.keys()):
        rule, _, place = name.partition("/")
        attempt = last.get(name)
        ended = attempt is None or attempt.state == "finished"
        state = DONE if name in done and ended else _state(attempt) if attempt is not None else DONE
        states.append(JobState(rule, place, state, attempt))
    return states


def training_states(results: Path, jobs: Sequence[JobState], now: datetime | None = None) -> list[TrainingState]:
    """How far each run's training is, from finished rounds and the steps of the one that runs."""
    totals = _steps_by_run(results)
    runs: dict[str, list[JobState]] = {}
    for job in jobs:
        if job.rule.startswith(TRAINING):
            runs.setdefault(job.place.rpartition("/")[0], []).append(job)
    return [_training(results, run, rounds, totals.get(run), now or datetime.now(UTC)) for run, rounds in runs.items()]


def _training(results: Path, run: str, rounds: list[JobState], of: int | None, now: datetime) -> TrainingState:
    done = sum(_lines(results / run / Path(job.place).name / "metrics.jsonl") for job in rounds if job.state == DONE)
    for job in rounds:
        if job.state == RUNNING and job.attempt is not None:
            folder = results / "work" / TRAINING / job.place / "steps"
            steps = [path for path in folder.glob("*") if path.name.isdigit()]
            since = [step for step in steps if step.stat().st_mtime >= job.attempt.start.timestamp()]
            hours = (now - job.attempt.start).total_seconds() / 3600
            rate = len(since) / hours if since and hours > 0 else None
            left = None if of is None or not rate else timedelta(hours=(of - done - len(steps)) / rate)
            return TrainingState(run, done + len(steps), of, rate, None if left is None else now + left)
    return TrainingState(run, done, of, None, None)


def _steps_by_run(results: Path) -> Mapping[str, int]:
    """The steps that each run shall have, by model/run/seedS, as the last call of the workflow wrote down."""
    kept = KeptRecipe(results)
    totals = {}
    for record, name in kept.trained.items():
        rule, *place, _ = record.partition("/records/")[2].removesuffix(".json").split("/")
        if rule.startswith(TRAINING) and "schedule.steps" in kept.recipes[name]:
            totals["/".join(place)] = int(kept.recipes[name]["schedule.steps"])
    return totals


def _state(attempt: Attempt) -> str:
    """What a start that is not finished is: it failed, runs, or was killed, which can be seen on its own machine."""
    if attempt.state == "failed":
        return FAILED
    here = attempt.host == socket.gethostname() and not attempt.slurm
    return LOST if here and not _alive(attempt.pid) else RUNNING


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.is_file() else 0
