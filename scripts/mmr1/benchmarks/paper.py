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
from mmr1.benchmarks.letters import letter, letters, lone_letter, marks_several
from mmr1.benchmarks.numbers import number, readings
from mmr1.problems import Problem

SameNumber = Callable[[Problem, Fraction, Fraction], bool]

MAX_FOR_MATH = 400  # characters; math-verify is not asked about more, as no gold is that long
MAX_WORDS = 2  # words in an answer that is math; of a sentence math-verify would pick a number to its liking
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
    cleaned_choices = [clean(choice, without) for choice in choices]
    answer, texts = normal(cleaned), [normal(choice) for choice in cleaned_choices]
    if alone := lone_letter(cleaned):
        if (index := _index(alone)) < len(choices):
            return index, "letter"
        return (texts.index(answer), "choice") if answer in texts else (None, "no such letter")
    if answer in texts:
        return texts.index(answer), "choice"
    if (named := letter(cleaned)) and _index(named) < len(choices):
        return _index(named), "letter"
    if marks_several(cleaned) or re.fullmatch(r"[A-Z](?:(?:,| and| or) ?[A-Z])+", cleaned):
        return None, "several letters"
    if (value := number(cleaned)) is not None:
        numbers = [(abs(found - value), index) for index, text in enumerate(cleaned_choices)
                   if (found := number(text)) is not None]  # fmt: skip
        if numbers:
            distance, index = min(numbers)
            return index, "nearest choice by number" if distance else "choice by number"
    return _mentioned(cleaned, cleaned_choices) or _nearest(answer, texts)


def _index(name: str) -> int:
    return ord(name) - ord("A")


def _mentioned(cleaned: str, choices: list[str]) -> tuple[int, str] | None:
    """The one choice whose letter in brackets, or whose text as whole words, stands in a longer answer."""
    marked = set(re.findall(r"\(([A-H])\)", cleaned))
    if len(marked) == 1 and (index := _index(marked.pop())) < len(choices):
        return index, "letter in text"
    found = [index for index, choice in enumerate(choices) if choice and _stands_in(choice, cleaned)]
    return (found[0], "choice in text") if len(found) == 1 else None


def _stands_in(words: str, text: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(words)}(?!\w|\.\d)", text, re.IGNORECASE) is not None


def _nearest(answer: str, texts: list[str]) -> tuple[int | None, str]:
    """The most similar text. To choices that are letters only, and stand in the image, a text is not similar."""
    similarities = [Levenshtein.normalized_similarity(answer, text) for text in texts]
    if max(similarities) == 0 or all(lone_letter(text) for text in texts):
        return None, "no such choice"
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
    text = re.sub(r"\\sqrt(?![a-zA-Z])", "√", text)
    text = re.sub(r"([√^_])\s*\{\s*(\w)\s*\}", r"\1\2", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|\s+", "", text.lower())
    for british, american in _SPELLINGS.items():
        text = text.replace(british, american)
    return text


def _choice(problem: Problem, extracted: str, cleaned: str, without: frozenset[str]) -> Decision:
    assert problem.choices
    index: int | None
    if len(extracted.strip()) > 1 and extracted.strip() in problem.choices:  # choices may be "(c)", "(a)", "(b)"
        index, how = problem.choices.index(extracted.strip()), "choice"
    else:
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
    if not _MATH.search(gold) or len(cleaned) > MAX_FOR_MATH or _words(cleaned) > max(MAX_WORDS, _words(gold)):
        return Decision(False, "text", extracted, cleaned, open=True)
    return Decision(False, "math-verify", extracted, cleaned, ask=(gold, cleaned), open=True)


def _words(text: str) -> int:
    return len(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}", text))


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
