"""ChartQA (test): short answers read off charts, right within 5% where they are numbers."""

from fractions import Fraction

from mmr1.benchmarks.base import Benchmark, Decision, Response, Row, Source, blank, by, text, value, with_image
from mmr1.benchmarks.rules import reader
from mmr1.benchmarks.rules.extract import extract
from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError

TITLE = "ChartQA"
EXAMPLE = "evaluation: {benchmarks: [chartqa]}"

TOLERANCE = Fraction(5, 100)
KINDS = {0: "human", 1: "augmented"}


def to_problem(row: Row, number: int) -> Problem:
    """A row with query, label (a list of one) and human_or_machine (0 or 1); its id is the row's number without one."""
    labels, kind = value(row, "label"), value(row, "human_or_machine")
    if not isinstance(labels, list) or len(labels) != 1:
        raise UserError(f"label: expected a list of one answer, found {labels!r}")
    if kind not in KINDS:
        raise UserError(f"human_or_machine: expected 0 or 1, found {kind!r}")
    return Problem(
        id=str(number) if blank(row.get("id")) else text(row, "id"),
        source="chartqa",
        question=with_image(text(row, "query")),
        images=(),
        answer=text({"label": labels[0]}, "label"),
        answer_type="open",
        metadata={"kind": KINDS[kind]},
    )


def official(problem: Problem, response: Response) -> Decision:
    """Relaxed accuracy as published: a number within 5% of the gold ("4%" is 0.04), else the same text."""
    extracted, how = extract(response)
    if extracted is None:
        return Decision(False, how, None)
    answer = extracted.strip()
    gold_number, number = _float(problem.answer), _float(answer)
    if number is not None and gold_number:
        within = abs(number - gold_number) <= float(TOLERANCE) * abs(gold_number)
        return Decision(within, "relaxed", extracted, answer)
    return Decision(answer.lower() == problem.answer.lower(), "text", extracted, answer)


def within_tolerance(problem: Problem, gold: Fraction, answer: Fraction) -> bool:
    """Whether a number lies within 5% of the gold."""
    return abs(answer - gold) <= TOLERANCE * abs(gold)


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


BENCHMARK = Benchmark(
    name="chartqa",
    source=Source("HuggingFaceM4/ChartQA", "b605b6e", "test", 2500),
    to_problem=to_problem,
    official=official,
    reader=lambda problem, response: reader.judged(problem, response, within_tolerance),
    breakdowns={"kind": by("kind")},
    official_prompt=lambda row: text(row, "query"),
    more={"strict": reader.rule},  # 5% of a year is a century: the same without the tolerance
)
