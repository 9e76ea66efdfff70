"""MathVision (test): competition problems whose gold is a letter, or a number where there are no options."""

from mmr1.answers.expressions import Number, rounded
from mmr1.benchmarks.base import (
    Benchmark,
    Decision,
    Response,
    Row,
    Source,
    by,
    optional_text,
    optional_texts,
    text,
    with_image,
)
from mmr1.benchmarks.rules import mathvision_rules, reader
from mmr1.data.problems import Problem

TITLE = "MathVision"
EXAMPLE = "evaluation: {benchmarks: [mathvision]}"

# The prompt of the published code, in front of the question.
PROMPT = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". '
    'If it is a multiple choice question, only one letter is allowed in the "\\boxed{}".'
)


def to_problem(row: Row, number: int) -> Problem:
    """A row with id, question, options, answer, level and subject. Its images come merged into one."""
    choices = optional_texts(row, "options")
    return Problem(
        id=text(row, "id"),
        source="mathvision",
        question=with_image(optional_text(row, "question")),
        images=(),
        answer=text(row, "answer"),
        answer_type="letter" if choices else "open",
        choices=choices,
        # Options that are only their letters stand in the image; the published prompt does not list them.
        metadata={"level": row["level"], "subject": row["subject"], "choices_in_question": choices == tuple("ABCDE")},
    )


def official(problem: Problem, response: Response) -> Decision:
    """The published procedure: the gold letter, or the text of its option, as text or as a number to two decimals."""
    answer = mathvision_rules.extract(response.text, response.without) if response.given is None else response.given
    if mathvision_rules.equal(problem.answer, answer):
        return Decision(True, "answer", answer, answer)
    option = _gold_option(problem)
    if option and mathvision_rules.equal(option, answer):
        return Decision(True, "option", answer, answer)
    return Decision(False, "different" if answer.strip() else "empty", answer or None, answer)


def to_two_decimals(problem: Problem, gold: Number, answer: Number) -> bool:
    """Whether two numbers are equal after rounding to two decimals, as the published procedure has it."""
    return rounded(gold, 2) == rounded(answer, 2)


def _gold_option(problem: Problem) -> str:
    index = ord(problem.answer) - ord("A") if problem.choices and len(problem.answer) == 1 else -1
    return problem.choices[index] if problem.choices and 0 <= index < len(problem.choices) else ""


def _official_prompt(row: Row) -> str:
    options = optional_texts(row, "options") or ()
    listed = (
        "" if options == tuple("ABCDE") else "".join(f"({'ABCDE'[i]}) {option}\n" for i, option in enumerate(options))
    )
    return f"{PROMPT}\n{optional_text(row, 'question')}\n{listed}"


BENCHMARK = Benchmark(
    name="mathvision",
    source=Source("MathLLMs/MathVision", "14b5e86", "test", 3040, image="decoded_image"),
    to_problem=to_problem,
    official=official,
    reader=lambda problem, response: reader.judged(problem, response, to_two_decimals),
    breakdowns={"subject": by("subject"), "level": by("level")},
    official_prompt=_official_prompt,
)
