"""What else a record says of how its job ran: environment, machine, commit, start marker."""

from collections.abc import Iterator
from typing import Any

from mmr1.plumbing.attempt import kept_marker
from mmr1.plumbing.environment import LOCKS, describe
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import as_text, read_json_and_bytes
from mmr1.plumbing.machine import processor
from mmr1.plumbing.seal import sealed
from mmr1.provenance.audit.archive import LOGS, Archive, Job
from mmr1.provenance.audit.findings import Finding, differs, harmless, short
from mmr1.provenance.audit.hashes import hash_of

MARKER = ".attempt.json"


def check_execution(job: Job) -> Iterator[Finding]:
    """Another lock, other packages, another processor, a changed checkout: the last bits may depend on them."""
    lock = job.execution.get("lock")
    if lock is None:
        yield harmless("environment", "no lock of envs/ made the environment that the job ran in", job=job.name)
    else:
        file = f"envs/{lock['name']}.lock"
        found = hash_of(LOCKS.parent / file)
        if found != lock["sha256"]:
            problem = f"the job ran with {short(lock['sha256'])} of it, found {short(found)}"
            yield harmless(file, problem, job=job.name)
        if lock["differences"]:
            yield harmless(
                file, f"the job ran with other packages: {describe(lock['name'], lock['differences'])}", job=job.name
            )
    if job.execution["cpu"] != processor():
        yield harmless("processor", f"the job ran on {job.execution['cpu']}, this is {processor()}", job=job.name)
    if job.execution["git"].get("dirty"):
        commit = str(job.execution["git"]["commit"])[:12]
        yield harmless("commit", f"the checkout held changes that were in no commit (it was at {commit})", job=job.name)


def check_marker(archive: Archive, job: Job) -> Iterator[Finding]:
    """The start marker of a finished job says so, and is as it was written."""
    name = f"{job.key['rule']}/{job.key['wildcards']}{MARKER}"
    marker = archive.results / LOGS / name
    for path in (marker, kept_marker(marker)):
        if not path.exists():
            continue
        try:
            problem = marker_problem(job, *read_json_and_bytes(path))
        except UserError as error:
            problem = str(error)
        if problem:
            yield differs(archive.shown(path), problem, job.again, job.name)


def marker_problem(job: Job, said: Any, data: bytes) -> str:
    """What is wrong with a start marker; nothing for one that is as it was written, or of a time without seals."""
    if not isinstance(said, dict):
        return f"expected a start marker, found {type(said).__name__}"
    if "integrity" in said:
        whole = sealed(said)
        if whole["integrity"] != said["integrity"] or data.rstrip(b" ") != as_text(whole).encode():
            return "integrity: it was changed after it was written"
    if said.get("state") == "finished" and said.get("start") != job.execution["start"]:
        return f"expected the start {job.execution['start']}, found {said.get('start')}"
    return ""
