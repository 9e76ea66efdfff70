"""An audit, from a result to its sources: who is asked what, in which order."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mmr1.plumbing.errors import UserError
from mmr1.provenance.audit.archive import Archive, Job
from mmr1.provenance.audit.code import check_code
from mmr1.provenance.audit.execution import check_execution, check_marker
from mmr1.provenance.audit.files import check_inputs, check_outputs, check_parents, check_unknown_files
from mmr1.provenance.audit.findings import Finding, differs
from mmr1.provenance.audit.hashes import Hashes
from mmr1.provenance.audit.installed import check_installed, environments
from mmr1.provenance.audit.kept import check_frozen, check_recipe
from mmr1.provenance.audit.report import Audit
from mmr1.provenance.audit.walk import Step, find_archive, jobs_of, walk

# What a full audit asks besides: the workflow, and MLflow. Given by the program, for this library knows neither.
Question = Callable[[Archive, list[Job]], Iterable[Finding]]


def audit(
    target: Path, checkout: Path, full: bool = False, listed: Path | None = None, questions: Iterable[Question] = ()
) -> Audit:
    """Compare a file or folder of a results folder, and all that it comes from, with records.

    `checkout` is the folder that jobs ran in. A quick audit trusts a file whose size, time and inode are those of the
    audit before; a full one reads every byte, compares the environments' files, and asks the `questions`. Raises
    UserError for a target that no record tells of.
    """
    start = time.perf_counter()
    archive = find_archive(target, checkout)
    jobs = jobs_of(archive, target)
    steps = walk(archive, jobs)
    hashes = Hashes(archive.results, full)
    files = [archive.results / place for job in steps for place in job.made]
    files += [checkout / source for step in steps.values() for source in step.sources]
    hashes.read(files)
    whole = target == archive.results
    findings = [*_damaged(archive, steps, whole)]
    for step in steps.values():
        findings += _of_step(archive, step, hashes)
    if whole:
        findings += check_unknown_files(archive)
    findings += [*check_recipe(archive), *check_frozen(archive, hashes, listed)]
    if full:
        for prefix in environments(checkout):
            findings += check_installed(prefix, archive.shown(prefix))
        for question in questions:
            findings += question(archive, list(steps))
    hashes.remember()
    seconds = time.perf_counter() - start
    return Audit(
        archive.shown(target),
        archive,
        jobs,
        steps,
        list(dict.fromkeys(findings)),
        len(files),
        hashes.bytes,
        seconds,
        full,
    )


def target_of(text: str) -> Path:
    """What a person named. Raises UserError where there is nothing of that name."""
    path = Path(text).absolute()
    if not path.exists():
        raise UserError(f"{text}: no such file or folder")
    return path


def _damaged(archive: Archive, steps: dict[Job, Step], whole: bool) -> Iterator[Finding]:
    """Records that cannot be believed: all of them, or those that should tell of something on the way."""
    needed = {archive.noted(place) for step in steps.values() for place in step.unknown}
    for path, problem in archive.damaged.items():
        if whole or path in needed:
            yield differs(archive.shown(path), problem.removeprefix(f"{path}: "), archive.again(path))


def _of_step(archive: Archive, step: Step, hashes: Hashes) -> Iterator[Finding]:
    yield from check_outputs(archive, step.job, hashes)
    yield from check_inputs(archive, step, hashes)
    yield from check_parents(archive, step)
    yield from check_code(archive, step.job)
    yield from check_execution(step.job)
    yield from check_marker(archive, step.job)
