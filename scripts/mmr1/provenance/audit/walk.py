"""The way from a result to its sources: the jobs that it comes from, each after those that it builds on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.makers import RECORDS
from mmr1.provenance.audit.archive import Archive, Job


@dataclass
class Step:
    """A job on the way, with the jobs that made its inputs and the inputs that no job made (path to sha256)."""

    job: Job
    parents: list[Job] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)  # inputs in the results folder that no good record tells of


def find_archive(target: Path, checkout: Path) -> Archive:
    """The records of the results folder that a file or folder lies in. Raises UserError where there is none."""
    for folder in (target, *target.parents):
        if (folder / RECORDS).is_dir():
            return Archive(folder, checkout)
    raise UserError(f"{target}: expected a file of a results folder, found no {RECORDS}/ beside it or above it")


def jobs_of(archive: Archive, target: Path) -> list[Job]:
    """The jobs that made a file or folder; all jobs for the results folder itself; that of a record for a record.

    Raises UserError for a file that no record tells of, naming a damaged record that should.
    """
    place = target.relative_to(archive.results).as_posix()
    if target in archive.damaged:
        raise UserError(f"{archive.damaged[target]}; make it again: {archive.again(target)}")
    if place == ".":
        return sorted(archive.jobs.values(), key=lambda job: job.end)
    if target in archive.jobs:
        return [archive.jobs[target]]
    if made := archive.makers_under(place):
        return made
    noted = archive.noted(place)
    if noted in archive.damaged:
        raise UserError(f"{archive.damaged[noted]}; make it again: {archive.again(noted)}")
    raise UserError(f"{archive.shown(target)}: expected a file that a record tells of, found none that does")


def walk(archive: Archive, jobs: Iterable[Job]) -> dict[Job, Step]:
    """Every job that these come from, themselves among them, in an order in which parents stand before children."""
    steps: dict[Job, Step] = {}
    stack = [(job, False) for job in reversed(list(jobs))]
    opened: set[Job] = set()
    while stack:
        job, closed = stack.pop()
        if closed:
            steps[job] = _step(archive, job)
        elif job not in opened:
            opened.add(job)
            stack.append((job, True))
            stack += [(parent, False) for parent in reversed(_step(archive, job).parents)]
    return steps


def _step(archive: Archive, job: Job) -> Step:
    step = Step(job)
    for file in job.inputs:
        if file.place is None:
            step.sources[file.path] = file.sha256
        elif file.place.startswith(f"{RECORDS}/"):
            continue  # MLflow shows records; what they tell of is no part of what is computed
        elif (maker := archive.maker(file.place)) is None:
            step.unknown.append(file.place)
        elif maker is not job and maker not in step.parents:
            step.parents.append(maker)
    return step
