"""Numbers with what they count: 5, 43%, 27 cm^2, 1 h 30 min, 4:1, 53.03 million people, seven sectors."""

import math
import re
from dataclasses import replace
from fractions import Fraction

from mmr1.answers.expressions import Number, close, leading_number, quotient
from mmr1.answers.numerals import NUMBER_WORD, SCALE, SCALES, number_word
from mmr1.answers.texts import season
from mmr1.answers.units import MONEY, is_whatever, part_of, unit
from mmr1.answers.values import ROUNDING, Quantity, amounts

LETTERS = "mgshlLJNVWAKCFtT"  # that are units; 5x is none

_ABOUT = re.compile(
    r"^(?:(?:about|around|approximately|approx\.?|roughly|nearly|almost|exactly|only|equals?|~|≈|=)\s*)+"
    r"(?=[-+\d.(√π$€£¥₹]|[a-z]+\b)",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"^(?:[€£¥₹]|(?:US|USD|EUR|GBP|Rs\.?|RMB|CNY)(?= ?[\d.]))\s*(?=[-\d.])|^-\s*[€£¥₹]\s*(?=\d)")
_SIGN = re.compile(r"^(?:minus|negative)\s+(?=\S)", re.IGNORECASE)
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
_HUNDREDTHS = re.compile(r"\s*(?:%|¢|cents?\b)")
_CLOCK = re.compile(r"\d{1,2}:[0-5]\d(?::[0-5]\d)?(?:\s*[ap]\.?m\.?)?", re.IGNORECASE)
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d[\d.]*\s*[%°]?\s*-\s*\d[\d.]*[^=+*/^√]*")
_RATIO = re.compile(r"\s*[:]\s*(?=[-\d.√(])|\s+to\s+(?=1\b(?![.\d]))")


_A_SCALE = re.compile(r"^an? (?=(?:hundred|thousand|million|billion)\b)", re.IGNORECASE)
_RESTATED = re.compile(r"([^()]*\S)\s+\(([^()]*\d[^()]*)\)")


def quantity_of(text: str) -> Quantity | None:
    """The quantity that a text in the one form of notation is; None of a time, a date, a season and all else."""
    text = _A_SCALE.sub("1 ", _ABOUT.sub("", text).strip())
    if twice := _RESTATED.fullmatch(text):  # 7 (10 - 3), 0.549 (28/51)
        one, other = quantity_of(twice[1]), leading_number(twice[2])
        if one and other and any(close(number, other[0], ROUNDING) for number in amounts(one)):
            return one
    text = _CURRENCY.sub(lambda sign: "-" if sign[0][0] == "-" else "", text)
    if negative := _SIGN.match(text):
        inner = quantity_of(text[negative.end() :])
        return replace(inner, number=-inner.number) if inner else None
    if DATE.fullmatch(text) or is_time(text) or season(text):
        return None
    if leading := leading_number(text):
        return _counted(*leading, text) or _compound(text)
    if word := NUMBER_WORD.match(text):
        return _counted(number_word(word), word.end(), text)
    return None


def is_time(text: str) -> bool:
    """Whether `12:30` is a time of day and no ratio: a ratio is written in lowest terms, and without zeros in front."""
    if not _CLOCK.fullmatch(text):
        return False
    first, second = (int(part) for part in re.findall(r"\d+", text)[:2])
    ratio = re.fullmatch(r"\d+:[1-9]\d", text) and not text.startswith("0") and math.gcd(first, second) == 1
    return not ratio


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
    if match := SCALE.match(text, len(text) - len(rest)):
        scale = SCALES[(match[1] or match[2]).lower()]
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
