"""The held-out problems of a recipe's own files (`data: {files: {test: F}}`), judged as answers and choices are."""

from mmr1.benchmarks.base import Benchmark, Row, by, optional_texts, text
from mmr1.benchmarks.rules import reader
from mmr1.data.problems import Problem

TITLE = "Own problems"
EXAMPLE = """
data:
  files: {problems: mine/problems.jsonl, sft: mine/sft.jsonl, validation: mine/held_out.jsonl, test: mine/test.jsonl}
evaluation: {benchmarks: [own]}
"""


def to_problem(row: Row, number: int) -> Problem:
    """A row with id, question, answer and perhaps choices, without images."""
    return Problem(
        id=text(row, "id"),
        source="own",
        question=text(row, "question"),
        images=(),
        answer=text(row, "answer"),
        choices=optional_texts(row, "choices"),
        metadata={"source": row.get("source")},
    )


BENCHMARK = Benchmark(
    name="own",
    source=None,
    to_problem=to_problem,
    official=reader.rule,
    reader=reader.rule,
    breakdowns={"source": by("source")},
    official_prompt=lambda row: text(row, "question"),
)
