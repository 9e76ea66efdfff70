r"""The reader's rule: the steps of §6.1 (last box, cleaning, checker, nearest option) as a careful reader takes them.

The answer of a response is found (`answers.response`) and read as a value (`answers.reading`). A multiple-choice answer
is a letter, else the text or the value of a choice, else the choice that its sentence names, else goes to the most
similar choice. An open answer is right if it is, or states in a sentence, the gold's value or name; what the grammar of
values cannot read is left to math-verify. A refusal, several values and a letter that no choice has are wrong.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial

from mmr1.answers.comparison import same
from mmr1.answers.decision import decide, first_letter, letters_in
from mmr1.answers.expressions import Number, as_float, equal_numbers
from mmr1.answers.letters import gold_letters, letter, lone_letter, marks_several, rules_out
from mmr1.answers.notation import normal
from mmr1.answers.reading import read
from mmr1.answers.response import answer
from mmr1.answers.sentences import LONGEST, abstains, conclusion, final, main_clause, marked, only_lists, sentences
from mmr1.answers.statements import quantity_stated, word_stated
from mmr1.answers.texts import compact, same_text, words
from mmr1.answers.values import Quantity, Text, Value, amounts
from mmr1.benchmarks.base import Decision, Response
from mmr1.data.problems import Problem

SameNumber = Callable[[Problem, Number, Number], bool]

NEAREST_NUMBER = 0.02  # relative distance up to which a number is a choice's, rounded
NEAREST_TEXT = 0.6  # similarity from which a text is a choice's, misspelt or shortened


def exactly(problem: Problem, gold: Number, answer: Number) -> bool:
    """Whether two numbers are the same."""
    return equal_numbers(gold, answer)


def rule(problem: Problem, response: Response) -> Decision:
    """Judge a response, numbers being equal if they are the same."""
    return judged(problem, response, exactly)


def judged(problem: Problem, response: Response, same_number: SameNumber) -> Decision:
    """Judge a response; `same_number(problem, gold, answer)` says when two numbers are equal."""
    stated, how = answer_of(response)
    if stated is None:
        return Decision(False, how, None)
    cleaned = normal(stated)
    if not cleaned:
        return Decision(False, "empty", stated, cleaned)
    if problem.choices:
        return _choice(problem, stated, cleaned)
    if golds := gold_letters(problem.answer):
        named = letters_in(stated)
        return Decision(named == golds, "letters", stated, cleaned)
    return _open(problem, stated, cleaned, same_number)


def answer_of(response: Response) -> tuple[str | None, str]:
    """The answer as it stands in the response, and how it was found; (None, …) where there is none."""
    if response.given is not None:
        return response.given, "given"
    reason = response.finish_reason
    stated, how = answer(response.text, cut=None if reason is None else reason == "length")
    return (None if stated is None else stated[-LONGEST:].strip()), how


# --- In place of a language model's extraction, for published procedures


def extraction(problem: Problem, response: Response) -> str:
    """The answer as a language model would extract it: a number in digits, a choice where a sentence names one."""
    stated, _ = answer_of(response)
    if stated is None:
        return ""
    sentence = len(sentences(stated)) > 1 or marked(stated) is not None
    if problem.choices:
        same = [choice for choice in problem.choices if normal(choice) == normal(stated)]
        if same:
            return same[0]
        index, how = chosen(stated, problem.choices) if sentence else (None, "")
        return normal(stated) if index is None or how.startswith("nearest") else problem.choices[index]
    value = read(stated)
    if not isinstance(value, Quantity) and sentence and problem.answer_type in ("integer", "float"):
        value = quantity_stated(stated, problem.question) or value
    if isinstance(value, Quantity) and problem.answer_type in ("integer", "float"):
        whole = isinstance(value.number, Fraction) and value.number.denominator == 1
        decimals = ".0" if whole and re.search(r"\d\.0", normal(stated)) else ""
        return f"{value.number}{decimals}" if whole else f"{as_float(value.number):.12g}"
    return normal(stated)


def letters_of(problem: Problem, response: Response) -> tuple[list[str], str]:
    """The letters that a response names, or that of the choice whose text it says, and how the answer was found."""
    stated, how = answer_of(response)
    if stated is None:
        return [], how
    if named := letters_in(stated):
        return named, how
    index, rule = chosen(stated, problem.choices) if problem.choices else (None, "")
    exact = index is not None and not rule.startswith(("nearest", "part"))
    return (["ABCDEFGH"[index]], "choice") if exact and index is not None else ([], how)


# --- Multiple choice

_NEGATION = re.compile(r"(?:\bnot|\bnever|\bexcept|n't)(?: (?:the|an?|option|choice))*\s*\(?$", re.IGNORECASE)
_DENIAL = re.compile(
    r"\)?(?: (?:is|are|would be))? (?:not|wrong|incorrect|false|impossible)\b|(?: is|)n't\b", re.IGNORECASE
)
_SEPARATORS = (r"[,;/&]|\bor\b|\band\b", r"\bor\b")
_OPPOSITES = {"true": "yes", "yes": "true", "false": "no", "no": "false"}
_NONE = re.compile(r"(?:none|neither|n/?a)\b", re.IGNORECASE)

Chosen = tuple[int | None, str]


def _choice(problem: Problem, stated: str, cleaned: str) -> Decision:
    assert problem.choices
    golds = gold_choices(problem)
    if len(golds) > 1:
        named = [ord(name) - ord("A") for name in letters_in(stated)]
        return Decision(sorted(named) == golds, "letters", stated, cleaned)
    index, how = chosen(stated, problem.choices)
    right = index is not None and bool(golds) and problem.choices[index] == problem.choices[golds[0]]
    return Decision(right, how, stated, cleaned, open=how == "no such choice")


def gold_choices(problem: Problem) -> list[int]:
    """The indices of the right choices: the gold is their letters where `answer_type` is "letter", else a text."""
    choices = problem.choices or ()
    if problem.answer_type == "letter":
        named = [ord(name) - ord("A") for name in gold_letters(problem.answer) or []]
        return named if all(index < len(choices) for index in named) else []
    if problem.answer in choices:
        return [choices.index(problem.answer)]
    alike = [index for index, choice in enumerate(choices) if same_text(normal(choice), normal(problem.answer))]
    return alike[:1]


def chosen(stated: str, choices: tuple[str, ...]) -> Chosen:
    """The index of the choice that an answer stands for, and the rule that found it."""
    if len(stated.strip()) > 1 and stated.strip() in choices:  # choices may be "(c)", "(a)", "(b)"
        return choices.index(stated.strip()), "choice"
    if only_lists(stated):
        return None, "several choices"
    parts = [marked(stated), final(stated), *first_letter(stated)]
    parts = parts if len(sentences(stated)) > 1 else [stated, *parts[:1]]
    tried = dict.fromkeys(said for part in parts if part for said in (conclusion(part), part))
    found = next((named for said in tried if (named := _named(said, choices))), None)
    if found is None:
        found = _refused(stated, choices) or _by_word(stated, [normal(choice) for choice in choices])
        found = found or _in_sentence(main_clause(final(stated) or stated), choices)
        found = found or _by_stated_value(stated, choices) or _nearest(stated, choices)
    return found


def _named(stated: str, choices: tuple[str, ...]) -> Chosen | None:
    """The choice that an answer is: its letter, its text or its value."""
    text, texts = normal(stated), [normal(choice) for choice in choices]
    same_as = _index_of(text, texts)
    if alone := lone_letter(text):
        if _index(alone) < len(choices):
            return _index(alone), "letter"
        return (same_as, "choice") if same_as is not None else (None, "no such letter")
    if same_as is not None:
        return same_as, "choice"
    if (name := letter(text)) and _index(name) < len(choices):
        return _index(name), "letter"
    if marks_several(text):
        return None, "several letters"
    if rules_out(text):
        return None, "negated"
    several = [{_index_of(part.strip(), texts) for part in re.split(separator, text)} for separator in _SEPARATORS]
    if any(len(indices - {None}) > 1 for indices in several):
        return None, "several choices"
    return _by_value(stated, text, choices) or _by_word(stated, texts)


def _index(name: str) -> int:
    return ord(name) - ord("A")


def _index_of(text: str, texts: list[str]) -> int | None:
    compacts = [compact(one) for one in texts]
    if compact(text) in compacts:
        return compacts.index(compact(text))
    alike = [index for index, one in enumerate(texts) if same_text(one, text)]
    return alike[0] if len(alike) == 1 else None


def _by_value(stated: str, text: str, choices: tuple[str, ...]) -> Chosen | None:
    """The choice of the same value: 80% is 0.8, √12 is 2√3, the last side of `x = 180 - 60 = 120` is 120."""
    values = [read(choice) for choice in choices]
    tried = [read(stated)]
    if "=" in text:
        tried.append(read(text.rpartition("=")[2]))
    for value in tried:
        if isinstance(value, Text):
            continue
        alike = [index for index, one in enumerate(values) if same(one, value)]
        if alike and all(compact(choices[index]) == compact(choices[alike[0]]) for index in alike[1:]):
            return alike[0], "choice by value"
    return None


def _by_stated_value(stated: str, choices: tuple[str, ...]) -> Chosen | None:
    """The one choice of the value that a sentence states: 6/π of "which simplifies to about 6/π" is 6:π."""
    value = quantity_stated(stated) if not isinstance(read(stated), Quantity) else None
    alike = [index for index, choice in enumerate(choices) if value and same(read(choice), value)]
    return (alike[0], "choice by value") if len(alike) == 1 else None


def _by_word(stated: str, texts: list[str]) -> Chosen | None:
    """Yes, no, true or false at the front of a sentence; True for Yes where that is a choice."""
    said = word_stated(stated)
    compacts = [compact(one) for one in texts]
    for word in (said, _OPPOSITES.get(said or "")):
        if word and word in compacts:
            return compacts.index(word), "choice"
    return None


def _refused(stated: str, choices: tuple[str, ...]) -> Chosen | None:
    """Of an answer that refuses the choices, the one that does so too."""
    text = normal(stated)
    for refuses in (_NONE.match, abstains):
        if refuses(text):  # type: ignore[operator]
            alike = [index for index, choice in enumerate(choices) if refuses(normal(choice))]  # type: ignore[operator]
            return (alike[0], "nearest choice") if len(alike) == 1 else (None, "abstention")
    return None


_MARK = re.compile(
    r"(?:\(|\b(?:option|choice|only) |选项?[是为:]? ?|[是为](?=[A-H]$)"
    r"|(?:\b(?:get|choose|pick|select|is) |=\s*)(?=[A-H]$)"
    r"|\b(?=[A-H] (?:makes sense|is (?:the )?(?:correct|right|best|only))\b))([A-H])(?![a-zA-Z])"
)


def _in_sentence(stated: str, choices: tuple[str, ...]) -> Chosen | None:
    """The one choice whose letter in brackets, or whose text as whole words, stands in a longer answer."""
    text, texts = normal(stated), [normal(choice) for choice in choices]
    marks = {mark[1] for mark in _MARK.finditer(text) if not _negated(text, mark.span())}
    if len(marks) == 1 and (index := _index(marks.pop())) < len(choices):
        return index, "letter in text"
    spans = [(index, span) for index, choice in enumerate(texts) if choice for span in _spans(choice, text)]
    # "set A" within "neither set A nor set B" is no mention of its own.
    spans = [(index, span) for index, span in spans if not any(_within(span, other) for _, other in spans)]
    mentioned = {index for index, span in spans if not _negated(text, span)}
    if spans and not mentioned:
        return None, "negated"
    if len(mentioned) == 1:
        return mentioned.pop(), "choice in text"
    named = [(index, " ".join(words(one))) for index, one in enumerate(texts) if re.search("[a-z]{3}", one.lower())]
    said = [index for index, one in named if _spans(one, " ".join(words(text)))]
    if len(said) == 1 and not spans:  # in other dress: "PDE Refiner", "superior lobe"
        return said[0], "choice in text"
    tight = _tight(text)
    containing = [
        index for index, one in enumerate(texts) if len(tight) < len(_tight(one)) and _spans(tight, _tight(one))
    ]
    containing = containing or [index for index, one in enumerate(texts) if _shortens(text, one)]
    number = isinstance(read(stated), Quantity)  # 20 is no part of 20√2
    return (containing[0], "part of a choice") if len(containing) == 1 and not number else None


def _shortens(text: str, choice: str) -> bool:
    """Whether two words or more of a choice, in their order, are the answer: "owls decrease"."""
    left = iter(words(choice))
    some = words(text)
    return len(some) > 1 and all(word in left for word in some)


def _spans(part: str, text: str) -> list[tuple[int, int]]:
    """Where words stand in a text as whole words, and not as a term of "180 - 60"."""
    whole = rf"(?<![\w.-])(?<!\d[-+*/^])(?<!\d [-+*/^] ){re.escape(part)}(?!\w|\.\d|\s*[-+*/^]\s*\d)"
    return [match.span() for match in re.finditer(whole, text, re.IGNORECASE)]


def _within(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _negated(text: str, span: tuple[int, int]) -> bool:
    """Whether "not" stands before a part of a text, or "is wrong" behind it."""
    return bool(_NEGATION.search(text[: span[0]]) or _DENIAL.match(text[span[1] :]))


def _tight(text: str) -> str:
    """Without spaces around signs: "(1, 0)" as "(1,0)"."""
    return re.sub(r"\s*([^\w\s])\s*", r"\1", text)


def _nearest(stated: str, choices: tuple[str, ...]) -> Chosen:
    """The choice that an answer is a rounding or a misspelling of.

    To choices that are letters only, and stand in the image, no text is similar.
    """
    value = read(stated)
    if isinstance(value, Quantity):
        return _nearest_number(value, [read(choice) for choice in choices])
    from rapidfuzz.distance import Levenshtein  # not where recipes are checked

    text, texts = " ".join(words(normal(stated))), [" ".join(words(normal(choice))) for choice in choices]
    numbers = re.findall(r"\d+", text)
    similarities = [
        Levenshtein.normalized_similarity(text, one) if re.findall(r"\d+", one) == numbers else 0.0 for one in texts
    ]
    if max(similarities) < NEAREST_TEXT or all(lone_letter(one) for one in texts):
        return None, "no such choice"
    return similarities.index(max(similarities)), "nearest choice"


def _nearest_number(value: Quantity, choices: list[Value]) -> Chosen:
    number = as_float(amounts(value)[0])
    distances = [
        (abs(as_float(choice.number) - number), index)
        for index, choice in enumerate(choices)
        if isinstance(choice, Quantity)
    ]
    if math.isinf(number) or not distances or min(distances)[0] > NEAREST_NUMBER * abs(number):
        return None, "no such choice"
    return min(distances)[1], "nearest choice by number"


# --- Open answers


def _open(problem: Problem, stated: str, cleaned: str, same_number: SameNumber) -> Decision:
    reading = decide(problem.answer, stated, problem.question, partial(same_number, problem))
    return Decision(reading.right, reading.reason, stated, cleaned, ask=reading.ask, open=reading.open)
