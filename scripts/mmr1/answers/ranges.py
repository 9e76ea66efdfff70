"""Intervals and inequalities: (-2,1], x > 3, -2 < x ≤ 1, (-∞,1) ∪ (2,∞), x < 1 or x > 2, x ≠ 3, ℝ, ∅."""

import math
import re
from collections.abc import Iterable
from functools import reduce
from itertools import chain, pairwise

from mmr1.answers.expressions import NoFormula, Number, formula, is_infinite, value
from mmr1.answers.quantities import quantity_of
from mmr1.answers.values import EMPTY, Interval, Range

_ENDPOINTS = re.compile(
    r"([(\[])([^()\[\],;]*(?:\([^()]*\)[^()\[\],;]*)*)[,;]([^()\[\],;]*(?:\([^()]*\)[^()\[\],;]*)*)([)\]])"
)
_BOUND = r"([^<>≤≥≠=]+?)"
_BETWEEN = re.compile(rf"{_BOUND}\s*([<≤])\s*[a-zA-Z]\w?(?:\([a-z]\))?\s*([<≤])\s*{_BOUND}")
_BETWEEN_DOWN = re.compile(rf"{_BOUND}\s*([>≥])\s*[a-zA-Z]\w?(?:\([a-z]\))?\s*([>≥])\s*{_BOUND}")
_ONE_SIDED = re.compile(rf"(?:([a-zA-Z]\w?(?:\([a-z]\))?)\s*)?([<>≤≥≠])\s*{_BOUND}|{_BOUND}\s*([<>≤≥])\s*([a-zA-Z])")
_BELONGS = re.compile(r"^[a-zA-Z](?:\([a-z]\))?\s*∈\s*|^(?:domain|range)\s*[:=]\s*", re.IGNORECASE)


# {x | x ≥ -1}, {x ∈ ℝ : x ≥ -1}
_SET_OF = re.compile(r"\{\s*([a-zA-Z])\s*(?:∈\s*ℝ\s*)?[|:](.*)\}")
_COMPARED = tuple(
    (re.compile(rf"(?:is |are )?(?:{words}) ", re.IGNORECASE), f"{sign} ")
    for sign, words in {
        "≠": "not equal to",
        "≥": "(?:greater|more|larger|higher) than or equal to|at least|no (?:less|fewer) than",
        "≤": "(?:less|fewer|smaller|lower) than or equal to|at most|no more than|up to",
        ">": "(?:greater|more|larger|higher) than",
        "<": "(?:less|fewer|smaller|lower) than",
    }.items()
)


_EMPTY = re.compile(
    r"(?:[a-zA-Z] ?∈ ?)?(?:∅|\{ ?\}|(?:the )?(?:empty|null) set)"
    r"|(?:there (?:is|are) |(?:the |this )?(?:equation|inequality|system)s? ha(?:s|ve) )?"
    r"no (?:real )?solutions?(?: exists?)?",
    re.IGNORECASE,
)


def range_of(text: str) -> Range | None:
    """The range that a text in the one form of notation is. `(2,3)` alone may be a point, and is none."""
    if _EMPTY.fullmatch(text):
        return EMPTY
    if set_of := _SET_OF.fullmatch(text):
        text = set_of[2].strip()
    if " " in text:
        for words, sign in _COMPARED:
            text = words.sub(sign, text)
    text, belongs = _BELONGS.subn("", text)
    if text == "ℝ" or re.fullmatch(r"(?:all )?real numbers", text, re.IGNORECASE):
        return Range(((-math.inf, False, math.inf, False),))
    parts = re.split(r"\s*(?:∪|(?<=[)\]])\s*U\s*(?=[(\[])|(?<=[)\]]) or (?=[(\[]))\s*", text)
    if len(parts) > 1 or belongs or ("∞" in text and len(parts) == 1 and _ENDPOINTS.fullmatch(text)):
        intervals = [_interval(part) for part in parts]
        return None if None in intervals else Range(_united(intervals))  # type: ignore[arg-type]
    if others := _excluded(text):
        return others
    return (_connected(text) or _inequality(text)) if re.search(r"[<>≤≥≠]", text) else None


def _united(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """What belongs to any of some intervals."""
    united: list[Interval] = []
    for low, low_in, high, high_in in sorted(intervals, key=lambda one: (one[0], not one[1])):
        if united and (low < united[-1][2] or (low == united[-1][2] and (low_in or united[-1][3]))):
            before = united.pop()
            low, low_in = before[:2]
            high, high_in = max(before[2:], (high, high_in))
        united.append((low, low_in, high, high_in))
    return tuple(united)


def _common(some: tuple[Interval, ...], others: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """What belongs to an interval of both."""
    common = []
    for one in some:
        for other in others:
            low, low_out = max((one[0], not one[1]), (other[0], not other[1]))
            high, high_in = min(one[2:], other[2:])
            if low < high or (low == high and high_in and not low_out):
                common.append((low, not low_out, high, high_in))
    return tuple(common)


_LETTER = re.compile(r"[a-zA-Z]\w*(?:\([a-z]\))?")


def _connected(text: str) -> Range | None:
    """`x < -1 or x > 2`, `x ≥ 3 and x < 7`: inequalities of one letter; a comma joins none."""
    words = set(re.findall(r"\b(?:or|and)\b", text))
    if len(words) != 1 or "≠" in text:
        return None
    parts = re.split(r"\s*\b(?:or|and)\b\s*", text)
    ranges = [_inequality(part) for part in parts]
    letters = [frozenset(_LETTER.findall(part)) for part in parts]
    if None in ranges or len(letters[0]) != 1 or len(frozenset().union(*letters)) != 1:
        return None
    intervals = [one.intervals for one in ranges if one]
    if words == {"or"}:
        return Range(_united(chain.from_iterable(intervals)))
    both = reduce(_common, intervals)
    return Range(_united(both))


_ALL_BUT = re.compile(
    r"([a-zA-Z])\s*≠|ℝ\s*∖\s*\{(?=[^{}]*\}$)|(?:all )?real numbers (?:except|other than) (?:for )?(?:[a-zA-Z]\s*=)?",
    re.IGNORECASE,
)


def _excluded(text: str) -> Range | None:
    r"""`x ≠ 1, 2`, `x ≠ 1 and x ≠ 2`, `ℝ ∖ {1, 2}`, all real numbers except 1 and 2: everything else."""
    match = _ALL_BUT.match(text)
    if not match:
        return None
    again = rf"(?:{match[1]}\s*≠)?" if match[1] else ""
    parts = re.split(rf"\s*(?:,|\band\b)\s*{again}", text[match.end() :].removesuffix("}"))
    numbers = sorted({number for part in parts if (number := constant(part)) is not None})
    if len(numbers) < len(parts) or any(is_infinite(number) for number in numbers):
        return None
    ends = [-math.inf, *numbers, math.inf]
    return Range(tuple((low, False, high, False) for low, high in pairwise(ends)))


def _interval(text: str) -> Interval | None:
    match = _ENDPOINTS.fullmatch(text.strip())
    ends = (constant(match[2]), constant(match[3])) if match else (None, None)
    if match is None or ends[0] is None or ends[1] is None:
        return None
    return ends[0], match[1] == "[", ends[1], match[4] == "]"


def constant(text: str) -> Number | None:
    """The value of a formula without variables, None of any other text."""
    tree = formula(text.strip().lstrip("+")) if text.strip() else None
    if tree is None or tree.names:
        return None
    try:
        return value(tree)
    except (NoFormula, OverflowError):
        return None


def _inequality(text: str) -> Range | None:
    """`-2 < x ≤ 1`, `x > 3`, `3 < x`, `≥ 5`, `x ≠ 3`."""
    if match := _BETWEEN.fullmatch(text):
        low, high = constant(match[1]), constant(match[4])
        below, above = match[2] == "≤", match[3] == "≤"
    elif match := _BETWEEN_DOWN.fullmatch(text):
        low, high = constant(match[4]), constant(match[1])
        below, above = match[3] == "≥", match[2] == "≥"
    else:
        return _one_sided(text)
    return None if low is None or high is None else Range(((low, below, high, above),))


def _one_sided(text: str) -> Range | None:
    match = _ONE_SIDED.fullmatch(text)
    if not match:
        return None
    sign, bound = match[2] or match[5], constant(match[3] or match[4])
    if bound is None:
        quantity = quantity_of((match[3] or match[4]).strip())
        bound = quantity.number if quantity and not quantity.counted else None
    if bound is None:
        return None
    if sign == "≠":
        return Range(((-math.inf, False, bound, False), (bound, False, math.inf, False)))
    if (sign in "<≤") == bool(match[2]):
        return Range(((-math.inf, False, bound, sign in "≤≥"),))
    return Range(((bound, sign in "≤≥", math.inf, False),))
