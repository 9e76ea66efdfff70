"""What a benchmark is: its source, how a row becomes a problem, which rules judge a response, what is reported.

A benchmark is a `Benchmark` made in a file of `suite/`; nothing else knows it by name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmr1.data.problems import IMAGE_MARK, Problem
from mmr1.data.rows import is_null
from mmr1.plugins import load
from mmr1.plumbing.errors import UserError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Response:
    """What a model answered.

    `given` is an extraction that someone else made (an LLM, say); rules then use it as it is. `without` names steps of
    `clean.STEPS` (of `mathvision_rules.STEPS` for MathVision) to leave out, to measure what each is worth.
    """

    text: str
    given: str | None = None
    finish_reason: str | None = None
    without: frozenset[str] = frozenset()
    rollout: int = 0


@dataclass(frozen=True)
class Decision:
    """A rule's verdict on a response.

    `ask` is set where math-verify has to compare (gold, answer); until it did, `correct` is False. `open` marks
    an answer that the rule found wrong without being able to say so for certain: what a judge may be asked about.
    """

    correct: bool
    rule: str
    extracted: str | None
    cleaned: str | None = None
    ask: tuple[str, str] | None = None
    open: bool = False


Rule = Callable[[Problem, Response], Decision]


@dataclass(frozen=True)
class Source:
    """A data set on the Hugging Face hub. `revision` is a commit hash or the first characters of one."""

    repository: str
    revision: str | None
    split: str
    rows: int
    config: str | None = None
    image: str = "image"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    `to_problem(row, number)` makes a problem without images from a row of the source. `official` is the benchmark's own
    procedure, `reader` §6.1's steps as a careful reader carries them out, `more` further scores to report beside them.
    `breakdowns` give each problem's group or groups. `cluster` names the problem of which several items are versions.
    `official_prompt` is the question as the benchmark itself asks it. `complete` may fill in what only all problems
    together say.
    """

    name: str
    source: Source | None
    to_problem: Callable[[Row, int], Problem]
    official: Rule
    reader: Rule
    breakdowns: Mapping[str, Callable[[Problem], Sequence[str]]]
    official_prompt: Callable[[Row], str]
    cluster: Callable[[Problem], str] | None = None
    complete: Callable[[list[Problem]], list[Problem]] = field(default=lambda problems: problems)
    more: Mapping[str, Rule] = field(default_factory=dict)


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises UserError if there is none."""
    return load("benchmarks/suite", name).BENCHMARK


def value(row: Row, name: str) -> Any:
    """A field of a row, or UserError that names it."""
    if name not in row:
        raise UserError(f"{name}: expected this field, found {', '.join(map(str, row)) or 'none'}")
    return row[name]


def blank(content: Any) -> bool:
    """Whether a cell is empty, in any of the ways in which benchmarks write that: null, NaN, "", "nan", []."""
    if isinstance(content, str):
        return content.strip().lower() in ("", "nan")
    return is_null(content) or (isinstance(content, list | tuple) and not content)


def text(row: Row, name: str) -> str:
    """A field of a row that must be a text (numbers are taken as their text)."""
    content = value(row, name)
    if isinstance(content, bool) or not isinstance(content, str | int | float) or is_null(content):
        raise UserError(f"{name}: expected a text, found {content!r}")
    return str(content)


def optional_text(row: Row, name: str) -> str:
    """A field that is a text; an empty one where it is missing or blank."""
    return "" if blank(row.get(name)) else text(row, name)


def optional_texts(row: Row, name: str) -> tuple[str, ...] | None:
    """A field that is a list of texts; None where it is missing, or blank."""
    texts = row.get(name)
    if blank(texts):
        return None
    if not isinstance(texts, list | tuple) or not all(isinstance(item, str) for item in texts):
        raise UserError(f"{name}: expected a list of texts, found {texts!r:.60}")
    return tuple(texts)


def with_image(question: str) -> str:
    """The question under its one image mark."""
    return f"{IMAGE_MARK}\n{question}" if question else IMAGE_MARK


def by(name: str) -> Callable[[Problem], Sequence[str]]:
    """A breakdown by a metadata field, which may hold one value or several."""

    def groups(problem: Problem) -> Sequence[str]:
        group = problem.metadata.get(name)
        if group is None:
            return []
        return [str(item) for item in group] if isinstance(group, list) else [str(group)]

    return groups
