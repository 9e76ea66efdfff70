"""The small grammar of answers: what a text says as a value.

| kind | examples (in the one form of notation) |
| --- | --- |
| `Quantity` | 5, -1/2, 2√3, 1 1/4, 43%, 53.03 million people, 27 cm^2, 1 h 30 min, 4:1, seven sectors |
| `Range` | (-2,1], x > 3, -2 < x ≤ 1, (-∞,1) ∪ (2,∞), x < 1 or x > 2, x ≠ 3, ℝ, ∅ |
| `Sequence` | (2,3), [2014, 2016], {1,2}, 2 and 3, ±2, 1:2:3, Gambia and Niger |
| `Equation` | y-3 = 2/3(x-8) |
| `Formula` | 72x - 2x^3 |
| `Text` | whatever is left, `12:30`, 10-12, 2015/16 and dates among it: they are no arithmetic |

`read` gives the one value of a text, and `comparison` compares two. `x = 5`, "Area ≈ 5" and `2·3 - 1 = 5` are 5.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import chain, pairwise

from mmr1.answers.expressions import (
    NoFormula,
    Number,
    Tree,
    close,
    formula,
    is_function,
    is_infinite,
    leading_number,
    quotient,
    value,
)
from mmr1.answers.notation import normal
from mmr1.answers.texts import season
from mmr1.answers.units import MONEY, is_whatever, part_of, unit

LONGEST = 400  # characters of a value: what is longer is a text
YEARS = range(1500, 2100)
LETTERS = "mgshlLJNVWAKCFtT"  # that are units; 5x is none
ROUNDING = 5e-3  # relative: two writings of one number in a chain, as 10π ≈ 31.4


@dataclass(frozen=True)
class Quantity:
    """A number with what it counts. `scale` is the factor of a word (million), `percent` says that % or cents stand."""

    number: Number
    unit: str = ""
    scale: int = 1
    percent: bool = False
    counted: str = ""  # words that are no unit of measurement: people, Canadian dollars
    also: tuple[Number, ...] = ()  # the same number in other writings: 10π of "10π ≈ 31.4"


Interval = tuple[Number, bool, Number, bool]  # low, whether it belongs to it, high, whether it belongs to it


@dataclass(frozen=True)
class Range:
    """A union of intervals, in order; the empty set has none."""

    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Sequence:
    """Several values: `opening` is their bracket, "" if there is none; a point, an interval or a list, as they come.

    The two values of `1 ± √3` have "±" for their bracket, and `2:4:6` has ":" and the terms 1, 2, 3. `named` says that
    each value has a letter of its own.
    """

    opening: str
    items: tuple["Value", ...]
    closing: str
    named: bool = False


@dataclass(frozen=True)
class Equation:
    """Two formulas that are said to be equal."""

    sides: tuple[Tree, Tree]


@dataclass(frozen=True)
class Formula:
    """A formula with variables, and the letter that it is said to be: the y of y = 2x + 1."""

    tree: Tree
    name: str = ""


@dataclass(frozen=True)
class Text:
    """Words, or notation that is none of the others."""

    text: str


Value = Quantity | Range | Sequence | Equation | Formula | Text


# --- Reading


def read(text: str) -> Value:
    """The value that a text is. Never raises."""
    value = read_normal(_unlabelled(normal(text)))
    if isinstance(value, Quantity) and not value.unit and _in_dollars(text):
        return replace(value, unit="$")
    return value


def _in_dollars(text: str) -> bool:
    r"""Whether a dollar is named: `\$50`, `$50`, 50 dollars. Two signs stand around a formula."""
    return text.count("$") % 2 == 1 or re.search(r"\\\$|\bdollars?\b|\bUSD\b", text, re.IGNORECASE) is not None


@lru_cache(50_000)
def read_normal(text: str) -> Value:
    """The value of a text that is in the one form of notation already."""
    if not text or len(text) > LONGEST:
        return Text(text)
    reading = _quantity(text) or _range(text) or _chain(text) or _either_sign(text) or _sequence(text) or _formula(text)
    return reading or Text(text)


_LABELS = (
    re.compile(r"^(?:so|thus|hence|therefore),?\s+", re.IGNORECASE),
    re.compile(
        r"^(?:the |my )?(?:(?:correct|final|right|best|closest) )?(?:answer|result|value|solution)"
        r"(?: (?:is|would be|should be|must be)\b:?|\s*[:=])\s*(?=\S)",
        re.IGNORECASE,
    ),
    re.compile(r"^(?:答案|结果)\s*(?:是|为)?\s*[:：]?\s*(?=\S)"),
    re.compile(r"^[A-Za-z][A-Za-z' ]{1,40}:\s*(?=[-+]?(?:[\d.(√]|[$€£] ?\d))"),  # "Total: 5"
    re.compile(r"^(?:in |by )?(?:the )?year (?=\d{4}$)|^in (?:the years )?(?=\d{4}(?:$|,| and ))", re.IGNORECASE),
    re.compile(r"^(?:figure|choice|number|no\.) (?=\d+$)", re.IGNORECASE),
)  # fmt: skip


def _unlabelled(text: str) -> str:
    """Without "The answer is", "Total:", "in the year"."""
    for label in _LABELS:
        text = label.sub("", text, count=1)
    return text


_ABOUT = re.compile(
    r"^(?:(?:about|around|approximately|approx\.?|roughly|nearly|almost|exactly|only|equals?|~|≈|=)\s*)+"
    r"(?=[-+\d.(√π$€£¥₹]|[a-z]+\b)",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"^(?:[€£¥₹]|(?:US|USD|EUR|GBP|Rs\.?|RMB|CNY)(?= ?[\d.]))\s*(?=[-\d.])|^-\s*[€£¥₹]\s*(?=\d)")
_SIGN = re.compile(r"^(?:minus|negative)\s+(?=\S)", re.IGNORECASE)
_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "k": 10**3, "lakh": 10**5, "million": 10**6, "mn": 10**6, "mln": 10**6,
    "m": 10**6, "crore": 10**7, "billion": 10**9, "bn": 10**9, "b": 10**9, "trillion": 10**12, "tn": 10**12,
    "dozen": 12,
}  # fmt: skip
_SCALE = re.compile(
    r"\s*(?:(?i:(hundred|thousand|lakh|million|mn|mln|crore|billion|bn|trillion|tn|dozen)s?)|(?<=\d)([KkMB]))(?![a-zA-Z^])"
)
_NOTE = re.compile(
    r"(?:^|\s)\(((?:\d{4}(?:\s*:\s*[\d.]+)?%?|[\d.]+%|(?=[^()]*[a-zA-Z°]{2}|°|[mgshl]\))[^()+*^=√]*))\)\s*$"
)
# "64 per 100,000 inhabitants" are 64 of what is counted.
_RATE = re.compile(r"\s*\bper (?:[\d.]+|hundred|thousand|million)(?: [a-zA-Z -]+)?$")
_OPERATORS = re.compile(r"[-+*/=<>≤≥≠±√|∪]|\^(?!\(?-?[1-4])")
# Words that say something about the number in front of them, so that it alone is not what is meant.
_NO_NOUNS = frozenset(
    re.findall(
        r"\w+",
        "and but or not if is are was were be than more less fewer least most below above under over "
        "after before ago to per pi plus minus times point root squared factorial half halves third "
        "thirds quarter quarters out either neither for because which with between vs versus nor from "
        "then so as has have had",
    )
)
_NAMES = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_NUMBER_WORD = re.compile(
    rf"(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_NAMES[1:10])}))?|(?P<name>{'|'.join(_NAMES[::-1])}))"
    rf"(?:[- ](?P<part>(?:{'|'.join(_PARTS)}))s?|(?P<more> and (?:a |one[- ])(?:half|quarter)))?(?![\w-])"
    r"|(?P<half>half|a half|a dozen)(?![\w-])|(?P<times>twice|double|thrice|triple)(?![\w-])",
    re.IGNORECASE,
)
_HUNDREDTHS = re.compile(r"\s*(?:%|¢|cents?\b)")
_CLOCK = re.compile(r"\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\.?)?", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d[\d.]*\s*[%°]?\s*-\s*\d[\d.]*[^=+*/^√]*")
_RATIO = re.compile(r"\s*[:]\s*(?=[-\d.√(])|\s+to\s+(?=1\b(?![.\d]))")


_A_SCALE = re.compile(r"^an? (?=(?:hundred|thousand|million|billion)\b)", re.IGNORECASE)
_RESTATED = re.compile(r"([^()]*\S)\s+\(([^()]*\d[^()]*)\)")


def _quantity(text: str) -> Quantity | None:
    text = _A_SCALE.sub("1 ", _ABOUT.sub("", text).strip())
    if twice := _RESTATED.fullmatch(text):  # 7 (10 - 3), 0.549 (28/51)
        one, other = _quantity(twice[1]), leading_number(twice[2])
        if one and other and any(close(number, other[0], ROUNDING) for number in amounts(one)):
            return one
    text = _CURRENCY.sub(lambda sign: "-" if sign[0][0] == "-" else "", text)
    if negative := _SIGN.match(text):
        inner = _quantity(text[negative.end() :])
        return replace(inner, number=-inner.number) if inner else None
    if _DATE.fullmatch(text) or _is_time(text) or season(text):
        return None
    if leading := leading_number(text):
        return _counted(*leading, text) or _compound(text)
    if word := _NUMBER_WORD.match(text):
        return _counted(_number_word(word), word.end(), text)
    return None


def _is_time(text: str) -> bool:
    """Whether `12:30` is a time of day and no ratio: a ratio is written in lowest terms, and without zeros in front."""
    if not _CLOCK.fullmatch(text):
        return False
    first, second = (int(part) for part in re.findall(r"\d+", text)[:2])
    ratio = re.fullmatch(r"\d+:[1-9]\d", text) and not text.startswith("0") and math.gcd(first, second) == 1
    return not ratio


def _number_word(word: re.Match[str]) -> Fraction:
    if word["times"]:
        return Fraction(2 if word["times"].lower() in ("twice", "double") else 3)
    if word["half"]:
        return Fraction(12) if "dozen" in word["half"].lower() else Fraction(1, 2)
    if word["tens"]:
        ones = _NAMES.index(word["ones"].lower()) if word["ones"] else 0
        number = 20 + 10 * _TENS.index(word["tens"].lower()) + ones
    else:
        number = _NAMES.index(word["name"].lower())
    more = Fraction(1, 4 if word["more"].endswith("quarter") else 2) if word["more"] else 0
    return Fraction(number, _PARTS[word["part"].lower()] if word["part"] else 1) + more


def _counted(number: Number, end: int, text: str) -> Quantity | None:
    """The quantity of a number at the front of a text, if what follows it is a scale, a unit, a noun or a note."""
    rest = text[end:]
    if ratio := _RATIO.match(rest):
        below = leading_number(rest[ratio.end() :])
        share = quotient(number, below[0]) if below else None
        if below is None or share is None:
            return None
        number, rest = share, rest[ratio.end() + below[1] :]
    hundredths = _HUNDREDTHS.match(rest)
    percent, rest = hundredths is not None, rest[hundredths.end() :] if hundredths else rest
    scale = 1
    if match := _SCALE.match(text, len(text) - len(rest)):
        scale = _SCALES[(match[1] or match[2]).lower()]
        if scale < 1000:  # a dozen is never what an axis counts in
            number, scale = number * scale, 1
        rest = text[match.end() :]
    attached = bool(rest) and not rest[0].isspace()
    money = "¢" if hundredths and "%" not in hundredths[0] else ""
    return _with_unit(Quantity(number, money, scale, percent), rest.strip(), attached)


_COMPOUND = re.compile(r"(\d+) ?([a-zA-Z]+|°)\.?((?:(?:,? and |,? ?)\d+(?:\.\d+)? ?[a-zA-Z]+\.?){1,2})")
_OF_TIME = frozenset(("h", "hr", "hrs", "hour", "hours", "s", "sec", "secs", "second", "seconds"))


def _compound(text: str) -> Quantity | None:
    """`1 h 30 min`, `5 ft 6 in`, 1 dollar and 25 cents: in the first unit, with less than one of it in the smaller."""
    match = _COMPOUND.fullmatch(text)
    if not match:
        return None
    parts = [(match[1], match[2]), *re.findall(r"([\d.]+) ?([a-zA-Z]+)", match[3])]
    timed = any(name in _OF_TIME for _, name in parts)
    names = ["min" if timed and name == "m" else name for _, name in parts]
    number, whole = Fraction(match[1]), Fraction(1)
    for (count, _), name in zip(parts[1:], names[1:], strict=True):
        part = part_of(name, names[0])
        if not isinstance(part, Fraction) or not part < whole or not Fraction(count) * part < whole:
            return None
        number, whole = number + Fraction(count) * part, part
    return Quantity(number, "$" if names[0] in MONEY else names[0])


# What stands behind a number and is no unit of it: a function, a Greek letter, a Latin one that measures nothing.
_VARIABLE = re.compile(
    r"(?:sin|cos|tan|cot|sec|csc|ln|log|lg|exp|arc\w+) ?(?=[(\dα-ω^_]|[a-zA-Z](?![a-zA-Z]))|[α-ω](?![a-zA-Z])"
    rf"|(?!a [a-z]{{2}})(?![{LETTERS}])[a-zA-Z](?![a-zA-Z.'])"
)


def _with_unit(quantity: Quantity, rest: str, attached: bool) -> Quantity | None:
    number, scale, percent = quantity.number, quantity.scale, quantity.percent
    if note := _NOTE.search(rest):
        outside = rest[: note.start()].strip()
        is_unit = not outside and re.search(r"[a-zA-Z°]", note[1]) and unit(note[1]) is not None
        rest = note[1] if is_unit else outside
    rest = _RATE.sub("", rest).strip(" .,;")
    if not rest or rest in "€£¥₹":
        return quantity
    if _VARIABLE.match(rest):
        return None  # 2π r^2, 5 sin x
    if len(rest) <= 20 and (is_whatever(rest) or _is_short(rest) or unit(rest) is not None):
        if re.fullmatch(r"[a-zA-Z]", rest) and rest not in LETTERS:
            return None  # 5x
        return Quantity(number, rest, scale, percent)
    if attached or re.search(r"\d", re.sub(r"\^\(?-?\d\)?", "", rest)) or _OPERATORS.search(_hyphenless(rest)):
        return None
    nouns = re.findall(r"[^\W\d_]+", rest.lower())
    if not nouns or len(nouns) > 10 or _NO_NOUNS.intersection(nouns) - {"per"}:
        return None
    if any(re.fullmatch(r"[a-zA-Z]{1,2}", part) for part in rest.split()[:1]):
        return None
    return Quantity(number, quantity.unit, scale, percent, " ".join(nouns))


def _is_short(rest: str) -> bool:
    """A degree sign, perhaps with the T of a true bearing."""
    return re.fullmatch(r"°\s*[TCF]?(?:rue)?", rest) is not None


def _hyphenless(text: str) -> str:
    return re.sub(r"(?<=[a-zA-Z])[-/](?=[a-zA-Z])", " ", text)


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


EMPTY = Range(())
_EMPTY = re.compile(
    r"(?:[a-zA-Z] ?∈ ?)?(?:∅|\{ ?\}|(?:the )?(?:empty|null) set)"
    r"|(?:there (?:is|are) |(?:the |this )?(?:equation|inequality|system)s? ha(?:s|ve) )?"
    r"no (?:real )?solutions?(?: exists?)?",
    re.IGNORECASE,
)


def _range(text: str) -> Range | None:
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
    numbers = sorted({number for part in parts if (number := _constant(part)) is not None})
    if len(numbers) < len(parts) or any(is_infinite(number) for number in numbers):
        return None
    ends = [-math.inf, *numbers, math.inf]
    return Range(tuple((low, False, high, False) for low, high in pairwise(ends)))


def _interval(text: str) -> Interval | None:
    match = _ENDPOINTS.fullmatch(text.strip())
    ends = (_constant(match[2]), _constant(match[3])) if match else (None, None)
    if match is None or ends[0] is None or ends[1] is None:
        return None
    return ends[0], match[1] == "[", ends[1], match[4] == "]"


def _constant(text: str) -> Number | None:
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
        low, high = _constant(match[1]), _constant(match[4])
        below, above = match[2] == "≤", match[3] == "≤"
    elif match := _BETWEEN_DOWN.fullmatch(text):
        low, high = _constant(match[4]), _constant(match[1])
        below, above = match[3] == "≥", match[2] == "≥"
    else:
        return _one_sided(text)
    return None if low is None or high is None else Range(((low, below, high, above),))


def _one_sided(text: str) -> Range | None:
    match = _ONE_SIDED.fullmatch(text)
    if not match:
        return None
    sign, bound = match[2] or match[5], _constant(match[3] or match[4])
    if bound is None:
        quantity = _quantity((match[3] or match[4]).strip())
        bound = quantity.number if quantity and not quantity.counted else None
    if bound is None:
        return None
    if sign == "≠":
        return Range(((-math.inf, False, bound, False), (bound, False, math.inf, False)))
    if (sign in "<≤") == bool(match[2]):
        return Range(((-math.inf, False, bound, sign in "≤≥"),))
    return Range(((bound, sign in "≤≥", math.inf, False),))


_NAME = re.compile(
    r"\s*(?:[A-Za-zα-ω∠△][\w']*(?:\s*\([a-zA-Z]\))?(?:\s+[A-Za-z(][\w')]*){0,5}|m?\s*(?:∠|△)\s*\w+|\|?[A-Z]{2,3}\|?)\s*"
)
_SIDES = re.compile(r"\s*(?:=|≈|→)\s*")


def _chain(text: str) -> Value | None:
    """`x = 5`, `Area ≈ 5 cm^2`, `5 = s`, `2·3 - 1 = 5`, `C = 10π ≈ 31.4`: what is said to be equal."""
    sides = _SIDES.split(text)
    if len(sides) < 2 or not all(side.strip() for side in sides):
        return None
    if len(sides) > 2 and _is_name(sides[0]) and _closed(sides[-1]):  # M = ((2+6)/2, (0+2)/2) = (4, 1)
        return read_normal(sides[-1])
    if re.search(r",|;| or | and ", text) and len(sides) > 2:
        return _assignments(text)
    if len(sides) == 2 and _is_name(sides[0]):
        inner = read_normal(sides[1])
        if isinstance(inner, Formula) and re.fullmatch("[a-zA-Z]", sides[0].strip()):
            return replace(inner, name=sides[0].strip())
        return inner if not isinstance(inner, Equation) else None
    if len(sides) == 2 and _is_name(sides[1]) and not isinstance(read_normal(sides[0]), Text):
        return read_normal(sides[0])
    values = [read_normal(side) for side in sides]
    # Working (8 - 3) is taken at its word; several numbers must be one.
    numbers = [one for one, side in zip(values, sides, strict=True) if isinstance(one, Quantity)]
    if len(sides) == 2 and isinstance(values[1], Quantity) and _is_working(sides[0]):
        return values[1]
    if numbers and isinstance(values[-1], Quantity):
        last = values[-1]
        alike = all(_alike(one, last) for one in numbers)
        if alike and (len(numbers) > 1 or len(sides) > 2):
            return replace(last, also=tuple(one.number for one in numbers[:-1] if one.number != last.number))
    return _equation(sides)


def _is_working(text: str) -> bool:
    """Whether a text is arithmetic on numbers, perhaps with their units: `8 - 3`, `6 ft + 3 ft`, `41% - 2%`."""
    bare = re.sub(rf"(?<=\d) ?(?:[a-zA-Z]{{2,}}|[{LETTERS}])(?:\^[23])?(?![a-zA-Z])", "", text)
    return re.fullmatch(r"[-+*/\d.()√^%°€£ ]+", bare) is not None and re.search(r"\d.*[-+*/].*\d", bare) is not None


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and (formula(text) is None or len(re.findall(r"[a-zA-Z]", text)) <= 3)


def _alike(one: Quantity, other: Quantity) -> bool:
    """Whether two numbers of a chain can be one, written in two ways and perhaps rounded."""
    return any(
        close(a, b, ROUNDING) for a in amounts(one) for b in amounts(other)
    )  # fmt: skip


def _equation(sides: list[str]) -> Value | None:
    trees = [formula(side) for side in sides]
    if any(tree is None for tree in trees) or not any(tree.names for tree in trees if tree):
        return None
    if len(sides) == 2:
        return Equation((trees[0], trees[1]))  # type: ignore[arg-type]
    return Formula(trees[-1]) if trees[-1] else None


def _assignments(text: str) -> Sequence | None:
    """`x = 2, y = 3`, `x = 2 or x = -2`: their values."""
    parts = [part for part in re.split(r"\s*(?:[,;]| or | and )\s*", text) if part]
    values = [read_normal(part) for part in parts]
    if len(parts) < 2 or any(isinstance(one, Text | Sequence) for one in values):
        return None
    names = [part.partition("=")[0].strip() if "=" in part else "" for part in parts]
    if len({re.sub(r"_?\d*$", "", name) for name in names if name}) == 1:
        return Sequence("{", tuple(values), "}")  # solutions for one letter: a set
    if all(names):
        values = [one for _, one in sorted(zip(names, values, strict=True), key=lambda pair: pair[0])]
    return Sequence("", tuple(values), "", named=all(names))


_PLUS_MINUS = re.compile(r"[^±∓,;:=<>≤≥≠≈]*±[^±∓,;:=<>≤≥≠≈]*")


def _either_sign(text: str) -> Sequence | None:
    """`±2`, `(1 ± √5)/2`: both values. Of several signs nobody says which go together."""
    if "±" not in text or not _PLUS_MINUS.fullmatch(text):
        return None
    values = tuple(read_normal(text.replace("±", sign)) for sign in ("+", "+-"))  # 5 - 2 alone is a range
    alike = all(isinstance(one, Quantity) for one in values) or all(isinstance(one, Formula) for one in values)
    return Sequence("±", values, "±") if alike else None


def _ratio(text: str) -> Sequence | None:
    """`2:4:6`, in terms of its first number; a ratio of two is a quantity."""
    if text.count(":") < 2:
        return None
    terms = [_constant(part) for part in text.split(":")]
    shares = [quotient(term, terms[0]) for term in terms]
    if not all(shares) or _is_time(text):
        return None
    return Sequence(":", tuple(Quantity(share) for share in shares if share is not None), ":")


_OPENINGS = {"(": ")", "[": ")]", "{": "}"}
_POINT = re.compile(r"^(?:(?:the )?points? )?(?:[A-Z]'?|\([a-zA-Z]\w*,\s*[a-zA-Z]\w*\))?\s*=?\s*(?=\()")


def _sequence(text: str) -> Sequence | None:
    """A point, a pair of ends, a set or a list. Numbers may stand in a list without brackets."""
    if ratio := _ratio(text):
        return ratio
    if "," in text and (match := _POINT.match(text)) and match.end() and _closed(text[match.end() :]):
        text = text[match.end() :]
    if _closed(text):
        parts = split(text[1:-1], r"[,;]")
        if len(parts) < 2 and text[0] == "[":
            parts = split(text[1:-1], r"[,;&]|\band\b")
        if len(parts) > 1 or text[0] == "{":
            values = [read_normal(part) for part in parts]
            return Sequence(text[0], _both_signs(values) if text[0] == "{" else tuple(values), text[-1])
        return None
    parts = split(text, r"[,;&]|\band\b")
    if len(parts) < 2:
        return None
    values = [read_normal(part) for part in parts]
    items = _both_signs(values)
    if all(isinstance(one, Quantity | Formula) for one in items):
        bracket = "±" if len(items) > len(values) else ""
        return Sequence(bracket, items, bracket)
    return None


def _both_signs(values: list[Value]) -> tuple[Value, ...]:
    """`0, ±2` as 0, 2, -2."""
    spread = [one.items if isinstance(one, Sequence) and one.opening == "±" else (one,) for one in values]
    return tuple(chain.from_iterable(spread))


def _closed(text: str) -> bool:
    """Whether the bracket at the front closes at the end."""
    if len(text) < 2 or text[0] not in _OPENINGS or text[-1] not in ")]}":
        return False
    if text[0] + text[-1] not in ("()", "[]", "(]", "[)", "{}"):
        return False
    depth = 0
    for position, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return position == len(text) - 1
    return False


def split(text: str, separators: str) -> list[str]:
    """The parts between separators that stand in no bracket."""
    parts, start, depth = [], 0, 0
    for match in re.finditer(rf"[(\[{{]|[)\]}}]|{separators}", text):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
        elif depth == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts = [part.strip() for part in (*parts, text[start:])]
    return [part for part in parts if part]


_TRAILING_UNIT = re.compile(r"(?<=[\w)])\s+((?:square |cubic |sq\.? )?units?(?:\^[23])?)$", re.IGNORECASE)


def _formula(text: str) -> Formula | None:
    tree = formula(_TRAILING_UNIT.sub("", text))
    if tree is None or not tree.names or _DATE.fullmatch(text):
        return None
    if not re.search(r"[\d+*/^=√π|]", text) and len(text) > 1 and not is_function(text):
        return None
    return Formula(tree)


def amounts(quantity: Quantity) -> list[Number]:
    """The numbers that a quantity may be meant as: "4.9%" is 4.9 or 0.049, "53.03 million" 53.03 or 53,030,000."""
    numbers = [quantity.number, *quantity.also]
    if quantity.scale != 1:
        numbers.append(quantity.number * quantity.scale)
    if quantity.percent:
        numbers += [number / 100 for number in numbers]
    return numbers
