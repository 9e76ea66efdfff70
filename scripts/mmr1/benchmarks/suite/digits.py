"""The embedded benchmark (docs/design.md §6): held-out handwritten digits, their sum or their largest."""

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


BENCHMARK = Benchmark(
    name="digits",
    source=None,
    to_problem=to_problem,
    official=official,
    reader=reader.rule,
    breakdowns={"task": by("task"), "count": by("count")},
    official_prompt=lambda row: text(row, "question"),
)
