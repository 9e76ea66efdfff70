"""An audit as people read it: a tree from the result to its sources, then what was found, with the remedies."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmr1.provenance.audit.archive import Archive, Job
from mmr1.provenance.audit.findings import Finding, Verdict, worst
from mmr1.provenance.audit.walk import Step

MARKS = {Verdict.AGREES: "✓", Verdict.HARMLESS: "~", Verdict.DIFFERS: "✗"}
SHOWN = 3  # jobs that a finding names


@dataclass(frozen=True)
class Audit:
    """What an audit looked at, and what it found."""

    target: str
    archive: Archive
    roots: Sequence[Job]
    steps: Mapping[Job, Step]
    findings: Sequence[Finding]
    files: int
    bytes: int
    seconds: float
    full: bool

    @property
    def verdict(self) -> Verdict:
        """The worst that was found."""
        return worst(self.findings)


def as_json(audit: Audit) -> dict[str, Any]:
    """The audit as a JSON value."""
    return {
        "target": audit.target,
        "verdict": audit.verdict,
        "full": audit.full,
        "findings": [asdict(finding) for finding in audit.findings],
        "jobs": [
            {
                "job": job.name,
                "record": audit.archive.shown(job.path),
                "name": job.record["name"],
                "sources": step.sources,
            }
            for job, step in audit.steps.items()
        ],
        "files": audit.files,
        "bytes": audit.bytes,
        "seconds": round(audit.seconds, 3),
    }


def lines(audit: Audit) -> Iterator[str]:
    """The audit as text: the tree, what differs, what differs harmlessly, the verdict."""
    yield from tree(audit)
    for verdict in (Verdict.DIFFERS, Verdict.HARMLESS):
        some = [finding for finding in audit.findings if finding.verdict is verdict]
        if some:
            yield ""
            yield f"{verdict}:"
            yield from grouped(some)
    yield ""
    how = "" if audit.full else " (quick: --full reads every byte, and asks the workflow, MLflow and the environments)"
    amount = f"{len(audit.steps)} jobs, {audit.files} files, {audit.bytes / 1e6:,.0f} MB read in {audit.seconds:.1f} s"
    yield f"{MARKS[audit.verdict]} {audit.target} {audit.verdict}: {amount}{how}"


def tree(audit: Audit) -> Iterator[str]:
    """A line for each job, below the job that used it; one that was shown before is only named."""
    by_job: dict[str, list[Finding]] = {}
    for finding in audit.findings:
        by_job.setdefault(finding.job, []).append(finding)
    shown: set[Job] = set()
    used = {parent for step in audit.steps.values() for parent in step.parents}
    for job in [job for job in audit.roots if job not in used] or audit.roots:
        yield from _branch(audit, job, by_job, shown, "", "")


def grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """Two lines for each thing that is wrong: what, for which jobs, and the remedy."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        alike.setdefault((finding.thing, finding.problem, finding.remedy), []).append(finding.job)
    for (thing, problem, remedy), jobs in alike.items():
        names = [job for job in jobs if job]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        of = f" [{', '.join(names[:SHOWN])}{more}]" if names else ""
        yield f"  {thing}: {problem}{of}"
        if remedy:
            yield f"      → {remedy}"


def _branch(
    audit: Audit, job: Job, findings: Mapping[str, list[Finding]], shown: set[Job], first: str, rest: str
) -> Iterator[str]:
    mark = MARKS[worst(findings.get(job.name, []))]
    if job in shown:
        yield f"{first}{mark} {job.name} (above)"
        return
    shown.add(job)
    yield f"{first}{mark} {describe(job)}"
    step = audit.steps[job]
    children: list[Job | str] = [*step.parents, *(f"{path}" for path in step.sources)]
    for number, child in enumerate(children):
        last = number == len(children) - 1
        start, below = (f"{rest}└─ ", f"{rest}   ") if last else (f"{rest}├─ ", f"{rest}│  ")
        if isinstance(child, Job):
            yield from _branch(audit, child, findings, shown, start, below)
        else:
            wrong = any(finding.thing == child for finding in findings.get(job.name, []))
            yield f"{start}{MARKS[Verdict.DIFFERS if wrong else Verdict.AGREES]} {child} (a source)"


def describe(job: Job) -> str:
    """A job in a line: what, when, where, by which code."""
    execution = job.execution
    commit = str(execution["git"]["commit"] or "no commit")[:10]
    made = Counter(Path(place).parts[0] if "/" not in place else place.rpartition("/")[0] for place in job.made)
    where = ", ".join(list(made)[:2])
    return (
        f"{job.name} → {where}  ({execution['end'][:16]}Z, {execution['host']}, {execution['seconds']:.0f} s, {commit})"
    )
