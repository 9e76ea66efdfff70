"""Units of measurement, by pint: what a word measures, and how many of one unit make another.

`m`, `metres`, `sq cm`, `km h^(-1)`, `(km/h)`, `kilometers per hour` are units; "people" and "dollars" are not, and are
no contradiction to any. Pint is loaded with the first unit that has to be known (a second, once).
"""

import re
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from mmr1.answers.expressions import Number, as_float

# "12 units", "5 square units": whatever the figure measures.
_WHATEVER = re.compile(r"(?:(?:square|sq\.?|cubic|cu\.?) )?units?(?:\^[23])?", re.IGNORECASE)
_REWRITTEN = (
    (re.compile(r"°\s*([CF])\b"), r"deg\1"),
    (re.compile(r"°\s*(?:T(?:rue)?\b)?"), " degree "),
    (re.compile(r"\b(?:degrees? )?(celsius|fahrenheit)\b", re.IGNORECASE), lambda name: f"deg{name[1][0].upper()}"),
    (re.compile(r"\b(?:square|sq\.?) ([a-zA-Z]+)", re.IGNORECASE), r"\1^2"),
    (re.compile(r"\b(?:cubic|cu\.?) ([a-zA-Z]+)", re.IGNORECASE), r"\1^3"),
    (re.compile(r"([a-zA-Z]+) squared\b", re.IGNORECASE), r"\1^2"),
    (re.compile(r"([a-zA-Z]+) cubed\b", re.IGNORECASE), r"\1^3"),
    (re.compile(r"\b(?:per|an?) ", re.IGNORECASE), "/ "),
    (re.compile(r"\bsq ?(?=(?:[kmc]?m|ft|in|mi|yd)\b)", re.IGNORECASE), ""),
    (re.compile(r"\^\((-?\d)\)|\^(\d)"), lambda power: f"**{power[1] or power[2]}"),
    (re.compile(r"Ω"), " ohm "),
    (re.compile(r"\.(?=\s|$)"), ""),
    (re.compile(r"(?<=[a-zA-Z\d)]) +(?=[a-zA-Z(])"), " * "),
)  # fmt: skip
MONEY = {"$": 100, "dollar": 100, "dollars": 100, "¢": 1, "cent": 1, "cents": 1}  # in cents
_ANGLES = ("degree", "arcminute", "arcsecond", "radian", "percent")  # have no dimension, and are units
_UNIT = re.compile(r"[a-zA-Zμ°Ω()/*^.\d\s-]{1,60}")
_SMALL = re.compile(r"[a-z]+")


@cache
def _registry() -> Any:
    from pint import UnitRegistry

    return UnitRegistry()


@lru_cache(4_096)
def unit(text: str) -> Any | None:
    """The pint unit that a text names, in the one form of notation; None if it is none."""
    text = text.strip()
    if not _UNIT.fullmatch(text) or re.search(r"\d\d|(?<!\^)(?<!\^\()(?<!\^\(-)\d", text):
        return None
    for pattern, name in _REWRITTEN:
        text = pattern.sub(name, text)  # type: ignore[arg-type]
    parsed = _parsed(text)
    if parsed is None and text != text.lower():
        parsed = _parsed(text.lower())
    return parsed


def _parsed(text: str) -> Any | None:
    registry = _registry()
    try:
        parsed = registry.parse_units(text)
    except Exception:  # pint raises whatever Python's tokenizer, its own parser or a missing name raise
        return None
    return parsed if parsed.dimensionality or str(parsed) in _ANGLES else None


def is_whatever(text: str) -> bool:
    """Whether a text is "units", which any unit may be."""
    return _WHATEVER.fullmatch(text.strip()) is not None


def part_of(small: str, large: str) -> Number | None:
    """What part of a large unit a small one is, a minute 1/60 of an hour; None if they do not measure the same."""
    both_known = all(name in MONEY for name in (small, large)) or all(unit(name) for name in (small, large))
    return converted(Fraction(1), small, large) if both_known else None


def converted(number: Number, stated: str, asked: str) -> Number | None:
    """A number of units `stated` in units `asked`; None if they measure different things.

    Where one of them is no unit of measurement there is nothing to convert: "5 people" are 5.
    """
    if stated == asked or is_whatever(stated) or is_whatever(asked):
        return number
    if stated in MONEY and asked in MONEY:
        return number * Fraction(MONEY[stated], MONEY[asked])
    one, other = unit(stated), unit(asked)
    if one is None or other is None or one == other:
        return number
    if one.dimensionality != other.dimensionality:
        return None
    from pint import PintError

    try:
        if "degree_Celsius" in (str(one), str(other)) or "degree_Fahrenheit" in (str(one), str(other)):
            result = _registry().Quantity(as_float(number), one).to(other).magnitude
        else:
            result = as_float(number) * (1 * one).to(other).magnitude
    except PintError:  # °C times degrees of an angle has the dimension of °C
        return None
    near = Fraction(result).limit_denominator(10**6) if abs(result) < 1e300 else result
    return near if abs(near - result) <= 1e-12 * abs(result) else result
