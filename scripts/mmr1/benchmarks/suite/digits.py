"""The embedded benchmark (docs/design.md §6): held-out handwritten digits, their sum or their largest."""

from mmr1.benchmarks.base import Benchmark, Decision, Response, Row, by, text
from mmr1.benchmarks.rules.clean import clean
from mmr1.benchmarks.rules.extract import extract
from mmr1.benchmarks.rules.numbers import number
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
    extracted, how = extract(response)
    answer = (extracted or "").strip()
    return Decision(answer == problem.answer, how, extracted, answer)


def reader(problem: Problem, response: Response) -> Decision:
    """The same number, after cleaning."""
    extracted, how = extract(response)
    if extracted is None:
        return Decision(False, how, None)
    cleaned = clean(extracted, response.without)
    answer = number(cleaned)
    return Decision(answer is not None and answer == number(problem.answer), how, extracted, cleaned)


BENCHMARK = Benchmark(
    name="digits",
    source=None,
    to_problem=to_problem,
    official=official,
    reader=reader,
    breakdowns={"task": by("task"), "count": by("count")},
    official_prompt=lambda row: text(row, "question"),
)
