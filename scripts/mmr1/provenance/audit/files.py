"""Whether the files of a job, made and read, are those that its record tells of."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, read_json
from mmr1.plumbing.folders import digest_file, digests
from mmr1.plumbing.makers import RECORDS, adopting
from mmr1.provenance.audit.archive import Archive, Job
from mmr1.provenance.audit.findings import Finding, differs, harmless, short
from mmr1.provenance.audit.git import restoring
from mmr1.provenance.audit.hashes import Hashes
from mmr1.provenance.audit.walk import Step
from mmr1.provenance.tracking import EXPORTED

NO_RECORD = "expected a record of the job that made it, found none"


def check_outputs(archive: Archive, job: Job, hashes: Hashes) -> Iterator[Finding]:
    """What a job made is there with the bytes that it had, its folders hold nothing else, and the notes say so."""
    for place, expected in job.made.items():
        if archive.maker(place) is not job:
            continue  # made again since by another job, which answers for it
        path = archive.results / place
        found = hashes.of(path)
        if found is None and job.is_gone_for_good(place):
            continue
        if found != expected:
            yield differs(archive.shown(path), f"expected {short(expected)}, found {short(found)}", job.again, job.name)
    for folder in job.folders:
        yield from _check_folder(archive, job, folder)
    yield from _check_notes(archive, job)


def check_inputs(archive: Archive, step: Step, hashes: Hashes) -> Iterator[Finding]:
    """What a job read is what the job before it made; what no job made is as it was when it was read."""
    job = step.job
    for place in step.unknown:
        if archive.noted(place) not in archive.damaged:  # a damaged record is a finding of its own
            path = archive.results / place
            yield differs(archive.shown(path), NO_RECORD, archive.again(path), job.name)
    for file in job.inputs:
        maker = None if file.place is None else archive.maker(file.place)
        if maker is not None and maker.made[str(file.place)] != file.sha256:
            made = f"{maker.name} made {short(maker.made[str(file.place)])}"
            yield differs(file.path, f"{job.name} read {short(file.sha256)}, {made}", job.again, job.name)
        if file.place is not None and file.place.startswith(f"{RECORDS}/"):
            yield from _check_shown_record(archive, job, file.place, file.sha256, hashes)
    for source, expected in step.sources.items():
        found = hashes.of(archive.checkout / source)
        if found != expected:
            problem = f"expected {short(expected)}, found {short(found)}"
            yield differs(source, problem, restoring(archive.checkout, source, expected) or job.again, job.name)
    for one in job.record.get("changed_inputs", []):
        yield differs(one["path"], f"was used although it was changed: {one['problem']}", job.again, job.name)


def check_parents(archive: Archive, step: Step) -> Iterator[Finding]:
    """The records that a job names as its parents' are theirs still.

    Where bytes agree, a parent that was made again by another way is said, and harms nothing.
    """
    for parent in step.job.record["parents"]:
        other = archive.job_of(parent["record"])
        if other is None or other.record["name"] == parent["name"]:
            continue  # a record that is gone was found by the files that it told of
        problem = f"was made again, with the bytes that {step.job.name} read, by other code or settings"
        yield harmless(archive.shown(other.path), problem, job=step.job.name)


def check_unknown_files(archive: Archive) -> Iterator[Finding]:
    """Files that lie in a results folder and that no record tells of."""
    folders = [folder for job in archive.jobs.values() for folder in job.folders]
    for path in archive.unknown_files():
        place = path.relative_to(archive.results)
        if any(place.is_relative_to(folder) for folder in folders):
            continue  # said of the folder
        if archive.noted(place.as_posix()) in archive.damaged:
            continue
        if archive.noted(place.as_posix()) is not None:
            yield differs(archive.shown(path), NO_RECORD, archive.again(path))
        else:
            yield harmless(archive.shown(path), "no record tells of it, and no job reads it")


def _check_folder(archive: Archive, job: Job, folder: str) -> Iterator[Finding]:
    """A folder holds what the record lists and nothing else, and so says the digest file beside it."""
    root = archive.results / folder
    listed = {place: value for place, value in job.made.items() if Path(place).is_relative_to(folder)}
    if any(archive.maker(place) is not job for place in listed):
        return
    for path in files_under(root) if root.is_dir() else []:
        place = path.relative_to(archive.results).as_posix()
        if place not in listed:
            yield differs(
                archive.shown(path),
                f"a file that {job.name} did not make",
                f"rm {quote(archive.shown(path))}",
                job.name,
            )
    beside = digest_file(root)
    text = digests(root, {(archive.results / place).as_posix(): value for place, value in listed.items()})
    found = beside.read_bytes() if beside.is_file() else None
    if found != text.encode() and not (found is None and job.is_gone_for_good(folder)):
        there = "no such file" if found is None else "others"
        problem = f"expected the digests of the folder's files as the record has them, found {there}"
        yield differs(archive.shown(beside), problem, adopting(), job.name)


def _check_notes(archive: Archive, job: Job) -> Iterator[Finding]:
    """The notes of who made a file name this job's record."""
    expected = f"{job.path.relative_to(archive.results / RECORDS).as_posix()}\n"
    for place in {*job.folders, *job.made}:
        note = archive.note(place)
        if archive.maker(place) not in (None, job) or not note.is_file():
            continue
        found = note.read_bytes()
        if found != expected.encode():
            problem = f"expected {expected.strip()}, found {found.decode(errors='replace').strip()[:80]}"
            yield differs(archive.shown(note), problem, job.again, job.name)


def _check_shown_record(archive: Archive, job: Job, place: str, expected: str, hashes: Hashes) -> Iterator[Finding]:
    """A record that MLflow was given is the one that is there; one that was made again with the same bytes is said."""
    path = archive.results / place
    if path in archive.damaged or hashes.of(path) == expected:
        return
    other = archive.jobs.get(path)
    if other is not None and other.record["name"] in _shown_names(archive):
        problem = "was made again, with the same bytes, since MLflow was shown it"
        yield harmless(archive.shown(path), problem, job.again, job.name)
        return
    problem = f"{job.name} showed {short(expected)}, found {short(hashes.of(path))}"
    yield differs(archive.shown(path), problem, job.again, job.name)


def _shown_names(archive: Archive) -> set[str]:
    """The names of the records that MLflow shows, as its export wrote them down."""
    try:
        return set(read_json(archive.results / EXPORTED)["records"])
    except (UserError, KeyError, TypeError):
        return set()
