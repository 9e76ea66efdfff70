"""Numbers as people and models write them: 1,234.5, 3/4, 21%, 53.03 million, 4:1."""

import re
from fractions import Fraction

from mmr1.benchmarks.clean import clean

MAX_DIGITS = 400

_DECIMAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(
    rf"({_DECIMAL})(?:[eE]([+-]?\d{{1,3}})|\s*(?:\\times|×|\*|x)\s*10\s*\^\s*\{{?([+-]?\d{{1,3}})\}}?)?", re.ASCII
)
_RATIO = re.compile(rf"({_DECIMAL})\s*[/:]\s*({_DECIMAL})", re.ASCII)
_FRACTION = re.compile(rf"([+-]?)\s*\\frac\s*\{{\s*({_DECIMAL})\s*\}}\s*\{{\s*({_DECIMAL})\s*\}}", re.ASCII)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALE = re.compile(rf"\b({'|'.join(_SCALES)})s?\b", re.IGNORECASE)
_PERCENT = re.compile(r"%|\bpercent\b", re.IGNORECASE)


def number(text: str) -> Fraction | None:
    """The exact number that a cleaned text is, or None: decimals, powers of ten, a/b, a:b and `\\frac{a}{b}`."""
    text = text.strip().replace("−", "-").replace("–", "-")
    if len(text) > MAX_DIGITS:
        return None
    if match := _PLAIN.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2] or match[3] or 0)
    if match := _RATIO.fullmatch(text):
        return _quotient(match[1], match[2])
    if match := _FRACTION.fullmatch(text):
        return _quotient(match[1] + match[2], match[3]) if match[2][0] not in "+-" or not match[1] else None
    return None


def readings(raw: str, without: frozenset[str] = frozenset()) -> list[Fraction]:
    """The numbers that an answer may be meant as; empty if it is none.

    "4.9%" is 4.9 or 0.049, "53.03 million" is 53.03 or 53,030,000: charts print the first, text means the second.
    """
    plain = number(clean(raw, without))
    if plain is None:
        return []
    found = [plain]
    if _PERCENT.search(raw):
        found.append(plain / 100)
    if scale := _SCALE.search(raw):
        found.append(plain * _SCALES[scale[1].lower()])
    return found


def _quotient(above: str, below: str) -> Fraction | None:
    divisor = Fraction(below)
    return Fraction(above) / divisor if divisor else None
