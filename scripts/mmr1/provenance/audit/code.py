"""Whether the code of a job is that of its record: what computes, what does not, and the text of both."""

from collections.abc import Iterator
from functools import cache

from mmr1.plumbing.code import SCRIPTS, code_files, computes, tree_digest
from mmr1.provenance.audit.archive import Archive, Job
from mmr1.provenance.audit.findings import Finding, differs, harmless
from mmr1.provenance.audit.git import restoring
from mmr1.provenance.audit.hashes import hash_of


def check_code(archive: Archive, job: Job) -> Iterator[Finding]:
    """Modules whose syntax tree is another: they differ where they compute, harmlessly elsewhere."""
    then = {**job.key["code"]["files"], **job.execution.get("plumbing", {})}
    now = _code_files(job.key["program"], tuple(then))
    changed = [file for file in sorted({*then, *now}) if then.get(file) != now.get(file)]
    for file in changed:
        problem = _problem(then.get(file), now.get(file))
        path = f"scripts/{file}"
        if computes(file):
            yield differs(path, problem, _remedy(archive, job, path), job.name)
        else:
            yield harmless(path, f"{problem}; it computes nothing", job=job.name)
    yield from _check_texts(archive, job, {f"scripts/{file}" for file in changed})


def _check_texts(archive: Archive, job: Job, changed: set[str]) -> Iterator[Finding]:
    """Files whose text is another and whose meaning is not: comments, docstrings, layout."""
    for file, expected in job.execution.get("texts", {}).items():
        if file in changed:
            continue
        found = hash_of(archive.checkout / file)
        if found is None and file.startswith("scripts/"):
            continue  # said of the code
        if found != expected:
            kind = "the text of the workflow is another" if file.endswith((".smk", "Snakefile")) else "other comments"
            yield harmless(file, f"{kind}, or another layout", job=job.name)


def _problem(then: str | None, now: str | None) -> str:
    if then is None:
        return "is imported now, and was not"
    if now is None:
        return "is not imported any more, or is gone"
    return "cannot be parsed" if now == UNPARSED else "the code is another"


def _remedy(archive: Archive, job: Job, path: str) -> str:
    """The command that gives the file back what the job ran, where git has that; else the job again."""
    text = job.execution.get("texts", {}).get(path)
    return (text and restoring(archive.checkout, path, text, job.execution["git"]["commit"])) or job.again


UNPARSED = "unparsed"


@cache
def _code_files(program: str, files: tuple[str, ...]) -> dict[str, str]:
    """What a program and these files import now: digests, or UNPARSED for a file with a mistake in it."""
    there = [file for file in files if (SCRIPTS / file).is_file()]
    try:
        return code_files(program, there)
    except (SyntaxError, ValueError, OSError):
        return {file: _digest_alone(file) for file in there}


def _digest_alone(file: str) -> str:
    try:
        return tree_digest(SCRIPTS / file)
    except (SyntaxError, ValueError):
        return UNPARSED
