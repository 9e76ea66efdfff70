r"""The reader's rule: §6.1's steps, for every benchmark that has no procedure of its own.

The extracted answer is cleaned. A multiple-choice answer is a letter, else the text of a choice, else goes to the most
similar choice. An open answer is right if it is the same text, the same number, or math-verify finds it equal. An empty
extraction is wrong, and so is a letter that no choice has.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from mmr1.benchmarks.base import Decision, Response
from mmr1.benchmarks.rules.clean import MAX_CLEANED, STEPS, clean
from mmr1.benchmarks.rules.extract import extract
from mmr1.benchmarks.rules.letters import letter, letters, lone_letter, marks_several, rules_out
from mmr1.benchmarks.rules.numbers import PERCENT, counted, latex, number, readings, said, value
from mmr1.data.problems import Problem

SameNumber = Callable[[Problem, Fraction, Fraction], bool]

MAX_FOR_MATH = 400  # characters; math-verify is not asked about more, as no gold is that long
MAX_WORDS = 2  # words in an answer that is math; of a sentence math-verify would pick a number to its liking
_LETTER_GOLD = re.compile(r"\(?[A-Z]\)?(?:(?:\s*,\s*|\s+)\(?[A-Z]\)?)*")
_MATH = re.compile(r"[\d\\^_=+*/<>|∞πθ√]")
_NEGATION = re.compile(r"(?:\bnot|\bnever|\bexcept|n't)(?: (?:the|an?|option|choice))*\s*\(?$", re.IGNORECASE)
_DENIAL = re.compile(
    r"\)?(?: (?:is|are|would be))? (?:not|wrong|incorrect|false|impossible)\b|(?: is|)n't\b", re.IGNORECASE
)
_NONE = re.compile(r"none\b|neither\b|n/?a\b", re.IGNORECASE)
_UNKNOWN = re.compile(
    r"(?:\w+ ){0,3}(?:can ?not|can't|unable to|impossible to|un(?:known|certain|clear|determined)|insufficient)\b"
    r"|not (?:sure|enough|given|known|visible|provided|determin\w+)|i (?:do not|don't) know"
    r"|maybe\b|no (?:answer|information)\b|无法|不能|不确定",
    re.IGNORECASE,
)
_INEQUALITY = re.compile(r"[<>≤≥≠]|\\(?:neq?|l(?:eq?(?:slant)?|t)|g(?:eq?(?:slant)?|t))(?![a-zA-Z])")
_HEDGE = re.compile(r"\b(?:not|never|or|least|most|more|less|than|between|to)\b", re.IGNORECASE)
_LESS = "\\lt"
_SEPARATORS = (r"[,;/&]|\bor\b|\band\b", r"\bor\b")
_OPPOSITES = {"true": "yes", "yes": "true", "false": "no", "no": "false"}
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


def chosen(raw: str, choices: tuple[str, ...], without: frozenset[str] = frozenset()) -> tuple[int | None, str]:
    """The index of the choice that an answer stands for, and the rule that found it."""
    cleaned, cleaned_choices = clean(raw, without), [clean(choice, without) for choice in choices]
    answer, texts = normal(cleaned), [normal(choice) for choice in cleaned_choices]
    if alone := lone_letter(cleaned):
        if (index := _index(alone)) < len(choices):
            return index, "letter"
        return (texts.index(answer), "choice") if answer in texts else (None, "no such letter")
    if answer in texts:
        return texts.index(answer), "choice"
    if (named := letter(cleaned)) and _index(named) < len(choices):
        return _index(named), "letter"
    if marks_several(cleaned):
        return None, "several letters"
    if rules_out(cleaned):
        return None, "negated"
    if any(len(_parts(cleaned, separator) & set(texts)) > 1 for separator in _SEPARATORS):
        return None, "several choices"
    return (
        _last_side(cleaned, texts)
        or _by_number(raw, choices, without)
        or _mentioned(cleaned, cleaned_choices)
        or _containing(cleaned, cleaned_choices)
        or _most_similar(answer, cleaned, texts, cleaned_choices)
    )


def _parts(cleaned: str, separator: str) -> set[str]:
    """The parts of "40 or 60", "Yes, No"."""
    return {normal(clean(part)) for part in re.split(separator, cleaned)}


def _last_side(cleaned: str, texts: list[str]) -> tuple[int, str] | None:
    """`x = 180 - 60 = 120`: the choice that the last side is."""
    last = normal(clean(cleaned.rpartition("=")[2])) if "=" in cleaned else ""
    return (texts.index(last), "choice") if last in texts else None


def _by_number(raw: str, choices: tuple[str, ...], without: frozenset[str]) -> tuple[int, str] | None:
    """The choice of the same number (80% is 0.8, 3.2 million is 3200000), else the one of the closest."""
    answers = readings(raw, without)
    for index, choice in enumerate(choices):
        both = PERCENT.search(raw) and PERCENT.search(choice)  # 30% is not 0.30%
        count = 1 if both else None
        if set(answers[:count]) & set(readings(choice, without)[:count]):
            return index, "choice by number"
    if (answer := value(clean(raw, without))) is None:
        return None
    distances = [(abs(near - answer), index) for index, choice in enumerate(choices)
                 if (near := value(clean(choice, without))) is not None]  # fmt: skip
    if not distances:
        return None
    distance, index = min(distances)
    return index, "choice by number" if distance <= 1e-9 * abs(answer) else "nearest choice by number"


def _index(name: str) -> int:
    return ord(name) - ord("A")


def _mentioned(cleaned: str, choices: list[str]) -> tuple[int | None, str] | None:
    """The one choice whose letter in brackets, or whose text as whole words, stands in a longer answer."""
    marked = {mark[1] for mark in re.finditer(r"\(([A-H])\)", cleaned) if not _negated(cleaned, mark.span())}
    if len(marked) == 1 and (index := _index(marked.pop())) < len(choices):
        return index, "letter in text"
    spans = [(index, span) for index, choice in enumerate(choices) if choice for span in _spans(choice, cleaned)]
    # "set A" within "neither set A nor set B" is no mention of its own.
    spans = [(index, span) for index, span in spans if not any(_within(span, other) for _, other in spans)]
    mentioned = {index for index, span in spans if not _negated(cleaned, span)}
    if spans and not mentioned:
        return None, "negated"
    return (mentioned.pop(), "choice in text") if len(mentioned) == 1 else None


def _spans(words: str, text: str) -> list[tuple[int, int]]:
    """Where words stand in a text as whole words, and not as a term of "180 - 60"."""
    whole = rf"(?<![\w.])(?<!\d[-+*/^])(?<!\d [-+*/^] ){re.escape(words)}(?!\w|\.\d|\s*[-+*/^]\s*\d)"
    return [match.span() for match in re.finditer(whole, text, re.IGNORECASE)]


def _within(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _negated(text: str, span: tuple[int, int]) -> bool:
    """Whether "not" stands before a part of a text, or "is wrong" behind it."""
    return bool(_NEGATION.search(text[: span[0]]) or _DENIAL.match(text[span[1] :]))


def _containing(cleaned: str, choices: list[str]) -> tuple[int, str] | None:
    """The one choice in which the answer stands as whole words: "water flea" of "common water flea"."""
    if value(cleaned) is not None:  # 20 is no part of 20√2
        return None
    tight = _tight(cleaned)
    containing = [
        index for index, choice in enumerate(choices) if len(tight) < len(choice) and _spans(tight, _tight(choice))
    ]
    return (containing[0], "part of a choice") if len(containing) == 1 else None


def _tight(text: str) -> str:
    """Without spaces around signs: "(1, 0)" as "(1,0)"."""
    return re.sub(r"\s*([^\w\s])\s*", r"\1", text)


def _most_similar(answer: str, cleaned: str, texts: list[str], choices: list[str]) -> tuple[int | None, str]:
    """The most similar text; of an answer that refuses the choices, the one that does so too."""
    if normal(_OPPOSITES.get(answer, "")) in texts:
        return texts.index(_OPPOSITES[answer]), "choice"
    for refusal in (_NONE, _UNKNOWN):
        if refusal.match(cleaned):
            alike = [index for index, choice in enumerate(choices) if refusal.match(choice)]
            return (alike[0], "nearest choice") if len(alike) == 1 else (None, "no such choice")
    return _nearest(answer, texts)


def _nearest(answer: str, texts: list[str]) -> tuple[int | None, str]:
    """The most similar text. To choices that are letters only, and stand in the image, a text is not similar."""
    from rapidfuzz.distance import Levenshtein  # not where recipes are checked

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
    text = re.sub(r"\\([%#_$&])", r"\1", re.sub(r"\band\b", "&", text))
    text = re.sub(r"\\sqrt(?![a-zA-Z])", "√", re.sub(r"^the (?=\S+(?: \S+){0,3}$)", "", text, flags=re.IGNORECASE))
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
        index, how = chosen(extracted, problem.choices, without)
    gold = gold_choice(problem)
    right = index is not None and gold is not None and problem.choices[index] == problem.choices[gold]
    return Decision(right, how, extracted, cleaned)


def _open(problem: Problem, extracted: str, cleaned: str, same_number: SameNumber, without: frozenset[str]) -> Decision:
    gold = clean(problem.answer, without)
    if normal(gold) == normal(cleaned):
        return Decision(True, "text", extracted, cleaned)
    if (first := re.match(r"(yes|no|true|false)[,.;:] ", cleaned, re.IGNORECASE)) and normal(gold) in _OPPOSITES:
        hedged = normal(cleaned[first.end() :]) in _OPPOSITES
        return Decision(normal(first[1]) == normal(gold) and not hedged, "text", extracted, cleaned)
    gold_number, answers = said(gold), readings(extracted, without) or _things(cleaned)
    if gold_number is not None and answers:
        right = any(same_number(problem, gold_number, answer) for answer in answers)
        return Decision(right, "number", extracted, cleaned)
    if re.fullmatch(r"\[[^\[\]]*,[^\[\]]*\]", gold) and not re.search(r"\\cup|∪", gold):
        return Decision(_same_list(problem, gold, extracted, same_number), "list", extracted, cleaned, open=True)
    if not _MATH.search(gold) or len(cleaned) > MAX_FOR_MATH or _words(cleaned) > max(MAX_WORDS, _words(gold)):
        return Decision(False, "text", extracted, cleaned, open=True)
    gold, asked = latex(gold), latex(_interval(cleaned) if gold[:1] in "([" else cleaned)
    if _says_more(asked, gold):
        return Decision(False, "text", extracted, cleaned, open=True)
    return Decision(False, "math-verify", extracted, cleaned, ask=(gold, asked), open=True)


def _says_more(answer: str, gold: str) -> bool:
    """Whether an answer is hedged or an inequality and the gold is not: math-verify takes ">= 5" and "not 5" for 5."""
    return any(not pattern.search(gold) and pattern.search(answer) for pattern in (_INEQUALITY, _HEDGE))


def _interval(text: str) -> str:
    r"""`-2 < x \le 1` as `(-2,1]`, the point `C(2,3)` as `(2,3)`, and U between brackets as the union."""
    text = re.sub(r"(?<=[)\]])\s*U\s*(?=[(\[])", r" \\cup ", text)
    text = re.sub(r"^(?:point )?[A-Z]'?\s*=?\s*(?=\([^()]*,)", "", text)
    less = r"(<=?|≤|\\leq?(?:slant)?(?![a-z])|\\lt(?![a-z]))"
    match = re.fullmatch(rf"([^<>≤≥]+?)\s*{less}\s*[a-zA-Z]\s*{less}\s*([^<>≤≥]+)", text)
    if not match:
        return text
    low, first, second, high = match.groups()
    return f"{'(' if first in ('<', _LESS) else '['}{low},{high}{')' if second in ('<', _LESS) else ']'}"


def _things(cleaned: str) -> list[Fraction]:
    """The number of things that an answer counts, if it does. A gold is not read so: "two days" are not "two years"."""
    return [] if (count := counted(cleaned)) is None else [count]


def _words(text: str) -> int:
    return len(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}", text))


def _same_list(problem: Problem, gold: str, answer: str, same_number: SameNumber) -> bool:
    """Whether two lists have the same elements: numbers in order, names in any order."""
    if len(answer) > MAX_CLEANED:
        return False
    answer = re.sub(r"\\([{}&])", r"\1", STEPS["wrappers"](STEPS["delimiters"](answer))).strip()
    if answer.startswith("(") and problem.answer_type != "list":  # an interval, as [-2, 1] may be one
        return False
    golds, answers = _elements(gold), _elements(re.sub(r"^both ", "", answer, flags=re.IGNORECASE))
    if len(golds) != len(answers):
        return False
    pairs = [(number(one), number(other)) for one, other in zip(golds, answers, strict=True)]
    if all(one is not None and other is not None for one, other in pairs):
        return all(same_number(problem, one, other) for one, other in pairs)  # type: ignore[arg-type]
    return sorted(map(normal, golds)) == sorted(map(normal, answers))


def _elements(text: str) -> list[str]:
    inner = re.sub(r"^\s*[\[({]|[\])}]\s*$", "", text.strip())
    return [clean(part) for part in re.split(r",|;|&|\band\b", inner) if part.strip()]
