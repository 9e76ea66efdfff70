r"""The paper's rule (§6.1), for every benchmark that has no procedure of its own.

The extracted answer is cleaned. A multiple-choice answer is a letter, else the text of a choice, else goes to the most
similar choice. An open answer is right if it is the same text, the same number, or math-verify finds it equal. An empty
extraction is wrong, and so is a letter that no choice has.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from rapidfuzz.distance import Levenshtein

from mmr1.benchmarks.base import Decision, Response
from mmr1.benchmarks.clean import clean
from mmr1.benchmarks.extract import extract
from mmr1.benchmarks.letters import letter, letters, lone_letter
from mmr1.benchmarks.numbers import number, readings
from mmr1.problems import Problem

SameNumber = Callable[[Problem, Fraction, Fraction], bool]

MAX_FOR_MATH = 400  # characters; math-verify is not asked about more, as no gold is that long
_LETTER_GOLD = re.compile(r"\(?[A-Z]\)?(?:(?:\s*,\s*|\s+)\(?[A-Z]\)?)*")
_MATH = re.compile(r"[\d\\^_=+*/<>|∞πθ√]")
_SPELLINGS = {"grey": "gray", "metre": "meter", "litre": "liter", "centre": "center", "colour": "color"}


def exactly(problem: Problem, gold: Fraction, answer: Fraction) -> bool:
    """Whether two numbers are the same."""
    return gold == answer


def rule(problem: Problem, response: Response) -> Decision:
    """Judge a response by §6.1, numbers being equal if they are the same."""
    return judged(problem, response, exactly)


def judged(problem: Problem, response: Response, same_number: SameNumber) -> Decision:
    """Judge a response by §6.1; `same_number(problem, gold, answer)` says when two numbers are equal."""
    extracted, how = extract(response)
    if extracted is None:
        return Decision(False, how, None)
    cleaned = clean(extracted, response.without)
    if not cleaned:
        return Decision(False, "empty", extracted, cleaned)
    if problem.choices:
        return _choice(problem, extracted, cleaned, response.without)
    if _LETTER_GOLD.fullmatch(problem.answer.strip()):
        golds = sorted(set(re.findall("[A-Z]", problem.answer)))
        return Decision(letters(cleaned) == golds, "letters", extracted, cleaned)
    return _open(problem, extracted, cleaned, same_number, response.without)


def chosen(cleaned: str, choices: tuple[str, ...], without: frozenset[str] = frozenset()) -> tuple[int | None, str]:
    """The index of the choice that a cleaned answer stands for, and the rule that found it."""
    answer, texts = normal(cleaned), [normal(clean(choice, without)) for choice in choices]
    if alone := lone_letter(cleaned):
        index = ord(alone) - ord("A")
        if index < len(choices):
            return index, "letter"
        return (texts.index(answer), "choice") if answer in texts else (None, "no such letter")
    if answer in texts:
        return texts.index(answer), "choice"
    if (named := letter(cleaned)) and ord(named) - ord("A") < len(choices):
        return ord(named) - ord("A"), "letter"
    if len(letters(cleaned)) > 1:
        return None, "several letters"
    if (value := number(cleaned)) is not None:
        equal = [index for index, choice in enumerate(choices) if number(clean(choice, without)) == value]
        if equal:
            return equal[0], "choice by number"
    similarities = [Levenshtein.normalized_similarity(answer, text) for text in texts]
    return similarities.index(max(similarities)), "nearest choice"


def gold_choice(problem: Problem) -> int | None:
    """The index of the right choice: the gold is its letter where `answer_type` is "letter", else its text."""
    choices = problem.choices or ()
    if problem.answer_type == "letter":
        named = letter(clean(problem.answer))
        return ord(named) - ord("A") if named and ord(named) - ord("A") < len(choices) else None
    if problem.answer in choices:
        return choices.index(problem.answer)
    texts, gold = [normal(clean(choice)) for choice in choices], normal(clean(problem.answer))
    return texts.index(gold) if gold in texts else None


def normal(text: str) -> str:
    """A text for comparison: small letters, no spaces, one spelling, no dots but decimal points."""
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|\s+", "", text.lower())
    for british, american in _SPELLINGS.items():
        text = text.replace(british, american)
    return text


def _choice(problem: Problem, extracted: str, cleaned: str, without: frozenset[str]) -> Decision:
    assert problem.choices
    index, how = chosen(cleaned, problem.choices, without)
    gold = gold_choice(problem)
    right = index is not None and gold is not None and problem.choices[index] == problem.choices[gold]
    return Decision(right, how, extracted, cleaned)


def _open(problem: Problem, extracted: str, cleaned: str, same_number: SameNumber, without: frozenset[str]) -> Decision:
    gold = clean(problem.answer, without)
    if normal(gold) == normal(cleaned):
        return Decision(True, "text", extracted, cleaned)
    gold_number, answers = number(gold), readings(extracted, without)
    if gold_number is not None and answers:
        right = any(same_number(problem, gold_number, answer) for answer in answers)
        return Decision(right, "number", extracted, cleaned)
    if re.fullmatch(r"\[.*,.*\]", gold, re.DOTALL):
        return Decision(_same_list(problem, gold, extracted, same_number), "list", extracted, cleaned, open=True)
    if not _MATH.search(gold) or len(cleaned) > MAX_FOR_MATH:
        return Decision(False, "text", extracted, cleaned, open=True)
    return Decision(False, "math-verify", extracted, cleaned, ask=(gold, cleaned), open=True)


def _same_list(problem: Problem, gold: str, answer: str, same_number: SameNumber) -> bool:
    """Whether two lists have the same elements: numbers in order, names in any order."""
    golds, answers = _elements(gold), _elements(answer)
    if len(golds) != len(answers):
        return False
    pairs = [(number(one), number(other)) for one, other in zip(golds, answers, strict=True)]
    if all(one is not None and other is not None for one, other in pairs):
        return all(same_number(problem, one, other) for one, other in pairs)  # type: ignore[arg-type]
    return sorted(map(normal, golds)) == sorted(map(normal, answers))


def _elements(text: str) -> list[str]:
    inner = re.sub(r"^\s*[\[({]|[\])}]\s*$", "", text.strip())
    return [clean(part) for part in re.split(r",|;|&|\band\b", inner) if part.strip()]
