"""The embedded benchmark (docs/design.md §6): held-out handwritten digits, their largest, their sum, their number."""

from mmr1.answers.response import answer as answer_of
from mmr1.benchmarks.base import Benchmark, Decision, Response, Row, by, text
from mmr1.benchmarks.rules import reader
from mmr1.data.problems import Problem

TITLE = "Digits"
EXAMPLE = "evaluation: {benchmarks: [digits]}"


def to_problem(row: Row, number: int) -> Problem:
    """A row with id, question, answer, task and count, without images."""
    return Problem(
        id=text(row, "id"),
        source="digits",
        question=text(row, "question"),
        images=(),
        answer=text(row, "answer"),
        answer_type="integer",
        metadata={"task": text(row, "task"), "count": row.get("count")},
    )


def official(problem: Problem, response: Response) -> Decision:
    """The same text."""
    extracted, how = (response.given, "given") if response.given is not None else answer_of(response.text)
    answer = (extracted or "").strip()
    return Decision(answer == problem.answer, how, extracted, answer)


def _kind(problem: Problem) -> list[str]:
    """What is asked of how many digits, as in "read 3": the frontier is seen along the count."""
    return [" ".join(group for key in ("task", "count") for group in by(key)(problem))]


BENCHMARK = Benchmark(
    name="digits",
    source=None,
    to_problem=to_problem,
    official=official,
    reader=reader.rule,
    breakdowns={"task": by("task"), "count": by("count"), "task and count": _kind},
    official_prompt=lambda row: text(row, "question"),
)
