"""MathVerse (testmini): each problem in five versions, from all in the text to all in the image.

Its published scoring is two language models, one to extract and one to judge. Without them the reader's rule stands in
for the official score.
"""

import re
from dataclasses import replace

from mmr1.answers.letters import gold_letters
from mmr1.benchmarks.base import (
    Benchmark,
    Row,
    Source,
    blank,
    by,
    optional_text,
    optional_texts,
    text,
    value,
    with_image,
)
from mmr1.benchmarks.rules import reader
from mmr1.data.problems import Problem

TITLE = "MathVerse"
EXAMPLE = "evaluation: {benchmarks: [mathverse]}"

_CHOICES = re.compile(r"\n\s*Choices?:\s*\n(.*)\Z", re.DOTALL)
_CHOICE = re.compile(r"^\s*([A-H])\s*[:.]\s*", re.MULTILINE)


def to_problem(row: Row, number: int) -> Problem:
    """A row with sample_index, problem_index, problem_version, question, answer, question_type and metadata."""
    question, answer = optional_text(row, "question"), text(row, "answer")
    details = {} if blank(row.get("metadata")) else dict(row["metadata"])
    listed = optional_texts(row, "choices")
    choices = _listed(question) if listed is None else tuple(_CHOICE.sub("", choice, count=1) for choice in listed)
    metadata = {
        "version": text(row, "problem_version"),
        "problem_index": text(row, "sample_index" if blank(row.get("problem_index")) else "problem_index"),
        "question_type": text(row, "question_type").replace("_", "-"),
        "subject": details.get("subject", details.get("subjects")),
        "subfield": details.get("subfield", details.get("subfields")),
        "source": details.get("source"),
        "choices_in_question": listed is None,
    }
    return Problem(
        id=text(row, "sample_index"),
        source="mathverse",
        question=with_image(question.strip()),
        images=(),
        answer=answer,
        answer_type=_answer_type(answer, choices),
        choices=choices,
        metadata=metadata,
    )


def with_siblings_choices(problems: list[Problem]) -> list[Problem]:
    """Vision Only has no text: its choices are those of the same problem's other versions (not shown, only scored)."""
    known = {problem.metadata["problem_index"]: problem.choices for problem in problems if problem.choices}
    completed = []
    for problem in problems:
        choices = problem.choices or known.get(problem.metadata["problem_index"])
        kind = _answer_type(problem.answer, choices)
        completed.append(replace(problem, choices=choices, answer_type=kind))
    return completed


def _answer_type(answer: str, choices: tuple[str, ...] | None) -> str:
    if not choices:
        return "open"
    return "letter" if gold_letters(answer) else "choice"


def _listed(question: str) -> tuple[str, ...] | None:
    """The choices under "Choices:", one per letter from A on; None if there are none."""
    section = _CHOICES.search(question)
    if not section:
        return None
    _, *parts = _CHOICE.split(section[1])
    names, texts = parts[::2], parts[1::2]
    return tuple(text.strip() for text in texts) if names == list("ABCDEFGH"[: len(names)]) and names else None


def _official_prompt(row: Row) -> str:
    return str(value(row, "query_cot"))


BENCHMARK = Benchmark(
    name="mathverse",
    source=Source("AI4Math/MathVerse", "268dfc5", "testmini", 3940, config="testmini"),
    to_problem=to_problem,
    official=reader.rule,
    reader=reader.rule,
    breakdowns={name: by(name) for name in ("version", "subject", "subfield", "question_type")},
    official_prompt=_official_prompt,
    cluster=lambda problem: problem.metadata["problem_index"],
    complete=with_siblings_choices,
)
