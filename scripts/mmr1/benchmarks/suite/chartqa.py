"""ChartQA (test): short answers read off charts, right within 5% where they are numbers."""

from fractions import Fraction

from mmr1.answers.expressions import Number, close
from mmr1.answers.response import answer as answer_of
from mmr1.benchmarks.base import Benchmark, Decision, Response, Row, Source, blank, by, text, value, with_image
from mmr1.benchmarks.rules import reader
from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError

TITLE = "ChartQA"
EXAMPLE = "evaluation: {benchmarks: [chartqa]}"

AXES = (1, 10**3, 10**6, 10**9)  # what a chart's axis counts in: 10.38 (in millions) is 10,380,000
YEARS = range(1900, 2100)
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
    extracted, how = (response.given, "given") if response.given is not None else answer_of(response.text)
    if extracted is None:
        return Decision(False, how, None)
    answer = extracted.strip()
    gold_number, number = _float(problem.answer), _float(answer)
    if number is not None and gold_number:
        within = abs(number - gold_number) <= float(TOLERANCE) * abs(gold_number)
        return Decision(within, "relaxed", extracted, answer)
    return Decision(answer.lower() == problem.answer.lower(), "text", extracted, answer)


def within_tolerance(problem: Problem, gold: Number, answer: Number) -> bool:
    """Whether a number lies within 5% of the gold, or of the gold in thousands, millions or billions.

    A year must be that year: 5% of it are a century.
    """
    if gold in YEARS and answer in YEARS:
        return gold == answer
    units = AXES if _is_in_units_of_an_axis(gold) else AXES[:1]
    return any(close(gold, answer / unit, float(TOLERANCE), to_first=True) for unit in units)


def _is_in_units_of_an_axis(gold: Number) -> bool:
    """Whether a number may be of an axis in thousands or millions, as 10.38 is, and 5 things are not."""
    return 0 < gold < 10**9 and (gold >= 20 or gold != int(gold))


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
