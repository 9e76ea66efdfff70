"""What an audit finds: something that agrees with its record, that differs harmlessly, or that differs."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing compares with what its record says. Only DIFFERS makes an audit fail."""

    AGREES = "agrees"
    HARMLESS = "differs harmlessly"  # it cannot have changed the number: plumbing, a comment, another lock or machine
    DIFFERS = "differs"


@dataclass(frozen=True)
class Finding:
    """Something that is not as a record says.

    `thing` is a path from the checkout or a name, `problem` says in words what was expected and what was found,
    `remedy` is a command after which the audit is clean, and `job` the job that it concerns, `rule wildcards`.
    """

    verdict: Verdict
    thing: str
    problem: str
    remedy: str = ""
    job: str = ""


def differs(thing: object, problem: str, remedy: str, job: str = "") -> Finding:
    """A finding that makes the audit fail."""
    return Finding(Verdict.DIFFERS, str(thing), problem, remedy, job)


def harmless(thing: object, problem: str, remedy: str = "", job: str = "") -> Finding:
    """A finding that is only said."""
    return Finding(Verdict.HARMLESS, str(thing), problem, remedy, job)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The verdict over several findings: agrees where there are none."""
    order = list(Verdict)
    return max((one.verdict for one in findings), key=order.index, default=Verdict.AGREES)


def short(sha256: str | None) -> str:
    """A hash as messages show it."""
    return f"sha256 {sha256[:12]}…" if sha256 else "no such file"
