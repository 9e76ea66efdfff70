"""LogicVista: multiple choice whose gold is one option letter or several."""

import re
from dataclasses import replace

from mmr1.benchmarks.base import (
    Benchmark,
    Decision,
    Response,
    Row,
    Source,
    blank,
    by,
    optional_text,
    text,
    value,
    with_image,
)
from mmr1.benchmarks.rules import reader
from mmr1.data.problems import Problem

TITLE = "LogicVista"
EXAMPLE = "evaluation: {benchmarks: [logicvista]}"

NO_ANSWER = ["zzzzz"]  # what the published extraction writes where an answer names no option

_OPTION = re.compile(r"\(([A-H])\)\s*")


def to_problem(row: Row, number: int) -> Problem:
    """A row with question, answer, skill and broad_capability; its id is its key, or the name of its image."""
    question, answer = optional_text(row, "question"), "" if blank(value(row, "answer")) else text(row, "answer")
    choices = _listed(question) if re.fullmatch("[A-H]", answer) else None
    return Problem(
        id=text(row, "imagename").rsplit(".", 1)[0] if blank(row.get("id")) else text(row, "id"),
        source="logicvista",
        question=with_image(question.strip()),
        images=(),
        answer=answer,  # v1_382 has none: it stays in the denominator, and is always wrong
        answer_type="letter",
        choices=choices,
        metadata={
            "skill": row.get("skill"),
            "capability": row.get("broad_capability", row.get("capability")),
            "choices_in_question": True,
        },
    )


def official(problem: Problem, response: Response) -> Decision:
    """The published comparison: the same letters. Its extraction is a language model's, ours stands in for it."""
    named, rule = _letters(problem, response)
    golds = sorted(problem.answer.lower().split(", "))
    right = bool(problem.answer) and sorted(named) == golds
    return Decision(right, rule, ", ".join(named), ", ".join(sorted(named)))


def _letters(problem: Problem, response: Response) -> tuple[list[str], str]:
    """The letters that a response chose, small; the published code asks a language model where no rule applies."""
    if response.given is not None:
        return re.findall(r"[a-z0-9]+", response.given.lower()) or [""], "given"
    answer = response.text.split("ASSISTANT:")[1 if "ASSISTANT:" in response.text else 0].strip()
    if not answer:
        return [""], "empty"
    if len(answer) == 1:
        letter = answer.lower()
        return ([letter], "one letter") if letter in "abcde" or letter.isnumeric() else (NO_ANSWER, "no option")
    named, how = reader.letters_of(problem, replace(response, text=re.sub(r"^\d+[.)]\s+(?=\S)", "", answer)))
    return ([name.lower() for name in named], how) if named else (NO_ANSWER, "no option")


def _listed(question: str) -> tuple[str, ...] | None:
    """The choices "(A) … (B) …" at the end of a question, or None if it lists none in order from A on."""
    _, *parts = _OPTION.split(question)
    names, texts = parts[::2], tuple(part.strip(" ,;\n") for part in parts[1::2])
    in_order = len(names) > 1 and names == list("ABCDEFGH"[: len(names)])
    return texts if in_order and all(texts) else None


BENCHMARK = Benchmark(
    name="logicvista",
    source=Source("lscpku/LogicVista", None, "test", 448),
    to_problem=to_problem,
    official=official,
    reader=reader.rule,
    breakdowns={"skill": by("skill"), "capability": by("capability")},
    official_prompt=lambda row: optional_text(row, "question"),
)
