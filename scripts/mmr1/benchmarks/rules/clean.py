r"""Cleaning an extracted answer, step by step, so that what each step is worth can be measured.

Golds and answers go through the same steps. A step only removes or rewrites notation; none looks at the gold.
"""

import re
from collections.abc import Callable, Collection
from functools import lru_cache

_WRAPPERS = (
    "text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathit|mathsf|mathtt|mathcal|operatorname|mbox|fbox|rm|bf"
    "|boldsymbol|emph|underline"
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WRAPPER = re.compile(rf"\\(?:{_WRAPPERS})\s*\{{")
_UNITS = (
    "(?-i:[mgshlLJVK])|mm|cm|dm|km|in|ft|yd|mi|inch|inches|foot|feet|yards?|miles?|millimet(?:er|re)s?|centimet(?:er|re)s?|met(?:er|re)s?"
    "|kilomet(?:er|re)s?|kg|mg|lbs?|oz|grams?|kilograms?|pounds?|tons?|tonnes?|lit(?:er|re)s?|ml|sec|seconds?|min"
    "|minutes?|hrs?|hours?|days?|weeks?|months?|years?|yrs?|hz|pa|units?|people|persons?|points?|times"
    "|thousands?|millions?|mn|billions?|bn|trillions?|pp|Ω|\\\\Omega|m/s|km/h|mph|rpm|[kmgt]?wh|[kmgt]w|watts?|volts?|joules?|cups?"
)
_SCALE_AND_UNIT = 2  # units at most: "5 million people"
_CURRENCIES = "usd|u\\.?s\\.? dollars?|dollars?|euros?|eur|pounds sterling|gbp|yuan|rmb|cny|yen|jpy|rupees?|inr|cents?"
_POWER = r"(?:\s*\^\s*\{?[23]\}?|[²³])?"
_ANSWER_IS = re.compile(r"^\s*(?:the )?(?:(?:correct|final|right) )?answer(?: is\b:?|\s*[:=])\s*(?=\S)", re.IGNORECASE)
_LABEL = re.compile(
    r"^\s*[A-Za-z]{2,}(?: [A-Za-z]{2,}){0,4}\s*:\s*(?=[-+]?[\d\\.])"
)  # "Total: 5", but "option A: 5" is a letter
_NAMED = re.compile(
    r"^\s*(?:(?:in )?(?:the )?(?:year )?(?=\d{4}\s*$)|(?:figure|option|choice|number) (?=\d+\s*$))", re.IGNORECASE
)
_SUCH_AS = re.compile(r"\s*(?:\bapprox(?:imately|\.)?|\(approx(?:imately|\.)?\))\s*$", re.IGNORECASE)
_FULL_WIDTH = {0xFF01 + sign: 0x21 + sign for sign in range(94)} | {ord("、"): ", ", ord("。"): ".", ord("∶"): ":"}
_APPROXIMATELY = re.compile(
    r"^\s*(?:(?:about|around|approximately|approx\.?|roughly)\s|=|≈|\\approx(?![a-z]))\s*(?=[-+\d\\.])", re.IGNORECASE
)
_BEFORE_UNIT = r"(?:(?<=[\d)}\]%π])|(?<=\\pi))"  # a number, a closing bracket, or pi


def _delimiters(text: str) -> str:
    text = text.translate(_FULL_WIDTH)
    text = re.sub(r"(?<!\\)\$|\\[()\[\]]", " ", text)
    text = re.sub(r"\\(?:left|right|displaystyle|limits)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dt]frac(?![a-zA-Z])", r"\\frac", text)
    return re.sub(r"\\[,!;: ]|\\q?quad(?![a-zA-Z])|~|\u00a0|\u2009|\u202f", " ", text)


def _degrees(text: str) -> str:
    return re.sub(
        r"\s*(?:\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree(?![a-zA-Z])|[°º掳]|\bdegrees?\b)(?:\s*(?:[TCF]|True)\b)?",
        " ",
        text,
        flags=re.IGNORECASE,
    )


def _percent(text: str) -> str:
    return re.sub(r"\\*%|(?<=[\d )])\bpercent(?:age(?: points?)?)?\b", " ", text, flags=re.IGNORECASE)


def _currency(text: str) -> str:
    text = re.sub(r"(?<=\d)\s*U\.?S\.?\s*\\?\$\s*$|(?:\bU\.?S\.?\s*)?(?:\\\$|\$(?=\s*\d))", " ", text)
    text = re.sub(r"[€£¥₹](?=\s*\d)|(?<=\d)\s*[€£¥₹]", " ", text)
    return _trimmed(text, _currency_name)


def _currency_name(text: str) -> str:
    wrapped = rf"\\(?:{_WRAPPERS})\s*\{{\s*(?:{_CURRENCIES})\s*\}}"
    return re.sub(rf"(?<=[\d a-z])\s*(?:\b(?:{_CURRENCIES})|{wrapped})\s*$", "", text, flags=re.IGNORECASE)


def _trimmed(text: str, trim: Callable[[str], str]) -> str:
    r"""A text without what `trim` takes off its end, which may stand in a wrapper around all of it: `\text{5 km}`."""
    whole = _WRAPPER.match(text := text.strip())
    if whole and _closing(text, whole.end()) == len(text) - 1:
        inside = text[whole.end() : -1].strip()
        return text if (shorter := trim(inside)) == inside else shorter
    return trim(text)


def _units(text: str) -> str:
    """A unit at the end: behind a number, with or without a wrapper, with a power, "square" or "per" something.

    Behind words it is no unit ("two years" are not "two days"), nor is the name in "5 = s".
    """
    return _trimmed(text, _unit)


def _unit(text: str) -> str:
    unit = rf"(?:(?:square|sq\.?|cubic)\s+)?(?:{_UNITS})\.?"
    wrapped = rf"\\(?:{_WRAPPERS})\s*\{{[\s~]*(?:\\[,; ])?\s*\(?{unit}(?:\s*/\s*(?:{_UNITS}))?\s*{_POWER}\)?\s*\}}"
    bare = rf"{unit}(?:\s*(?:/|per)\s*(?:{_UNITS}))?|\(\s*{unit}\s*\)"
    at_the_end = rf"(?:{_BEFORE_UNIT}\s*|\s+)(?:{wrapped}|{bare}){_POWER}\s*\.?\s*$"
    for _ in range(_SCALE_AND_UNIT):
        value = re.sub(at_the_end, "", text, flags=re.IGNORECASE)
        if not re.search(r"[\d\\π√]|^\W*[a-zA-Z]\W*$", value) or re.search(r"[-+*/^=<>]\s*$", value):
            break
        text = value
    return text


def _wrappers(text: str) -> str:
    r"""`\text{…}` and its like without the command and its braces; one that never closes stays."""
    start = 0
    while match := _WRAPPER.search(text, start):
        if (end := _closing(text, match.end())) is None:
            start = match.end()
        else:
            text = f"{text[: match.start()]} {text[match.end() : end]} {text[end + 1 :]}"
            start = match.start()
    return re.sub(r"\*\*|__", "", text)


def _closing(text: str, start: int) -> int | None:
    """Where the brace closes that was opened before `start`."""
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return None


def _assignment(text: str) -> str:
    """`x = 5`, `f(x) = …`, `Area ≈ 5`, `5 = s`: the side that is not just a name; `about 5`, `Total: 5`: the number."""
    text = _SUCH_AS.sub("", _LABEL.sub("", _ANSWER_IS.sub("", text)))
    text = _NAMED.sub("", _APPROXIMATELY.sub("", text))
    sides = re.split(r"(?<![<>!])(?:=|\\approx(?![a-z])|≈|\\simeq(?![a-z]))", text)
    if len(sides) != 2:
        return text
    name = r"\s*(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\s*\(\w\))?(?:\s+[A-Za-z]+){0,4}|\\?angle\s*\w+)\s*"
    left, right = (re.fullmatch(name, side) for side in sides)
    if left and sides[1].strip():
        return sides[1]
    return sides[0] if right and sides[0].strip() else text


def _thousands(text: str) -> str:
    if re.search(r"[()\[\]{};]", text.replace("{,}", ",")):
        return text
    grouped = r"(?<![\d.,])(\d{1,3}(?:(?:,|\{,\}|\s)\d{3})+)(?![\d,])"
    return re.sub(grouped, lambda match: re.sub(r"[,{}\s]", "", match[1]), text)


def _punctuation(text: str) -> str:
    return re.sub(r"\s+", " ", text).rstrip(" .,;:?\"'`“”‘’").lstrip(" \"'`“”‘’")


STEPS: dict[str, Callable[[str], str]] = {
    "currency": _currency,
    "delimiters": _delimiters,
    "units": _units,
    "wrappers": _wrappers,
    "degrees": _degrees,
    "percent": _percent,
    "assignment": _assignment,
    "thousands": _thousands,
    "punctuation": _punctuation,
}

MAX_CLEANED = 2_000  # characters; a longer answer is no answer, and is not worth a regular expression


@lru_cache(20_000)
def clean(text: str, without: Collection[str] = frozenset()) -> str:
    """An answer without units, degrees, percent signs, wrappers, currency, thousands separators and the like.

    `without` names steps of `STEPS` to leave out. Anything longer than `MAX_CLEANED` is only stripped.
    """
    if len(text) > MAX_CLEANED:
        return text.strip()
    for name, step in STEPS.items():
        if name not in without:
            text = step(text)
    return text.strip()
