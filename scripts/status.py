"""Where a run stands: which stage of which run is done, runs, was lost or failed; steps, steps per hour, when it ends.

    .envs/driver/bin/python scripts/status.py results/digits

From records, start markers and work folders alone: no server, no lock, and nothing is written. Runs in the driver's
environment.
"""

import argparse
from collections import Counter
from pathlib import Path

from mmr1.plumbing.errors import UserError, run
from mmr1.provenance.status import DONE, FAILED, LOST, RUNNING, JobState, TrainingState, job_states, training_states

STATES = (DONE, RUNNING, LOST, FAILED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a recipe's folder, such as results/digits")
    results = parser.parse_args().results
    jobs = job_states(results)
    if not jobs:
        raise UserError(f"{results}: expected a recipe's results, found no record and no start marker")
    print_counts(jobs)
    for state in training_states(results, jobs):
        print(training_line(state))
    for job in jobs:
        if job.state in (FAILED, LOST):
            print(trouble(job, results))


def print_counts(jobs: list[JobState]) -> None:
    """A row per model, run and rule: how many of its jobs are where."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for job in jobs:
        place = "/".join(job.place.split("/")[:3]) if job.rule.startswith("train_grpo") else job.place.split("/")[0]
        counts.setdefault((job.rule, place), Counter())[job.state] += 1
    width = max(len(f"{rule} {place}") for rule, place in counts)
    print(f"{'':{width}}  " + "  ".join(f"{state:>7}" for state in STATES))
    for (rule, place), number in counts.items():
        cells = (f"{number[state] or '-':>7}" for state in STATES)
        print(f"{f'{rule} {place}':{width}}  {'  '.join(cells)}")


def training_line(state: TrainingState) -> str:
    """How far a run's training is."""
    text = f"{state.run}: step {state.steps} of {'an unknown number' if state.of is None else state.of}"
    if state.per_hour is not None:
        text += f", {state.per_hour:,.1f} steps per hour"
    if state.end is not None:
        text += f", training would end {state.end.astimezone():%Y-%m-%d %H:%M}"
    return text


def trouble(job: JobState, results: Path) -> str:
    """What is known of a job that came to nothing: what it said, and where its log is."""
    log = results / "logs" / job.rule / f"{job.place}.log"
    assert job.attempt is not None
    said = "was killed" if job.state == LOST else error_text(job.attempt.error or "")
    return f"{job.state}: {job.rule} {job.place} ({job.attempt.start.astimezone():%Y-%m-%d %H:%M}): {said}; {log}"


def error_text(error: str) -> str:
    """The first line of an error, without the class of a user's mistake."""
    return error.partition("\n")[0].removeprefix("mmr1.plumbing.errors.UserError: ")


if __name__ == "__main__":
    run(main)
