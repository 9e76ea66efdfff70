"""MathVista (testmini): free-form numbers and lists, and multiple choice whose gold is the text of a choice."""

import re

from mmr1.answers.expressions import Number, equal_numbers, rounded
from mmr1.benchmarks.base import (
    Benchmark,
    Decision,
    Response,
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

TITLE = "MathVista"
EXAMPLE = "evaluation: {benchmarks: [mathvista]}"

BREAKDOWNS = ("question_type", "answer_type", "language", "source", "category", "task", "context", "grade", "skills")


def to_problem(row: Row, number: int) -> Problem:
    """A row with pid, question, choices, unit, precision, answer, question_type, answer_type and metadata."""
    question_type, answer_type = text(row, "question_type"), text(row, "answer_type")
    precision, unit = (None if blank(row.get(name)) else row[name] for name in ("precision", "unit"))
    metadata = {} if blank(row.get("metadata")) else dict(row["metadata"])
    metadata |= {
        "question_type": question_type,
        "answer_type": answer_type,
        "unit": unit,
        "precision": None if precision is None else int(precision),
    }
    return Problem(
        id=text(row, "id" if blank(row.get("pid")) else "pid"),
        source="mathvista",
        question=with_image(optional_text(row, "question")),
        images=(),
        answer=text(row, "answer"),
        answer_type="choice" if question_type == "multi_choice" else answer_type,
        choices=optional_texts(row, "choices"),
        metadata=metadata,
    )


def official(problem: Problem, response: Response) -> Decision:
    """The published procedure on the extracted answer. Its extraction is a language model's, ours stands in for it."""
    return scored(problem, _extraction(problem, response))


def official_int(problem: Problem, response: Response) -> Decision:
    """The published procedure as it first was, under which most published verdicts were made: see `scored`."""
    return scored(problem, _extraction(problem, response), truncate=False)


def scored(problem: Problem, extraction: str, *, truncate: bool = True) -> Decision:
    """The published comparison. An integer is `int(float(text))`, which makes 5.5 a 5.

    It first was `int(text)`, which takes neither "5.5" nor "5.0": that is `truncate=False`.
    """
    answer_type = problem.metadata["answer_type"]
    prediction: str | None
    try:
        if problem.choices:
            prediction, rule = _choice(extraction.strip(), problem.choices)
        elif answer_type == "integer":
            prediction, rule = str(int(float(extraction)) if truncate else int(extraction)), "integer"
        elif answer_type == "float":
            prediction, rule = str(round(float(extraction), problem.metadata["precision"])), "float"
        else:
            prediction, rule = extraction, "text"
    except (ValueError, OverflowError, TypeError):
        prediction, rule = None, f"no {answer_type}"
    return Decision(prediction == problem.answer, rule, extraction, prediction)


def same_number(problem: Problem, gold: Number, answer: Number) -> bool:
    """Equal after rounding to the decimals that the problem asks for, where it does."""
    precision = problem.metadata["precision"]
    return equal_numbers(gold, answer) if precision is None else gold == rounded(answer, precision)


def _choice(extraction: str, choices: tuple[str, ...]) -> tuple[str, str]:
    if letters := re.findall(r"\(([a-zA-Z])\)", extraction):
        extraction = letters[0].upper()
    index = ord(extraction) - ord("A") if len(extraction) == 1 else -1
    if 0 <= index < len(choices):
        return choices[index], "letter"
    from rapidfuzz.distance import Levenshtein  # not where recipes are checked

    distances = [Levenshtein.distance(extraction, choice) for choice in choices]
    return choices[distances.index(min(distances))], "choice" if 0 in distances else "nearest choice"


def _extraction(problem: Problem, response: Response) -> str:
    """What the published rules take without a language model, else our own extraction, cleaned as a model would."""
    if response.given is not None:
        return response.given
    if response.text in (problem.choices or ()):
        return response.text
    if quoted := re.search(r'The answer is "(.*)"\.', response.text):
        return quoted[1]
    return reader.extraction(problem, response)


def _official_prompt(row: Row) -> str:
    return str(value(row, "query"))


BENCHMARK = Benchmark(
    name="mathvista",
    source=Source("AI4Math/MathVista", "2b6ad69", "testmini", 1000, image="decoded_image"),
    to_problem=to_problem,
    official=official,
    reader=lambda problem, response: reader.judged(problem, response, same_number),
    breakdowns={name: by(name) for name in BREAKDOWNS},
    official_prompt=_official_prompt,
    more={"official_int": official_int},
)
