"""The small grammar of answers: a text is read as a value (`values` has their kinds).

`x = 5`, "Area ≈ 5" and `2·3 - 1 = 5` are 5. `quantities` reads numbers and `ranges` inequalities; sequences, chains of
equal things and formulas are read here. What is nothing else is a text.
"""

import re
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from mmr1.answers.expressions import close, formula, is_function, quotient
from mmr1.answers.notation import normal
from mmr1.answers.quantities import DATE, LETTERS, is_time, quantity_of
from mmr1.answers.ranges import constant, range_of
from mmr1.answers.values import ROUNDING, Equation, Formula, Quantity, Sequence, Text, Value, amounts

LONGEST = 400  # characters of a value: what is longer is a text


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
    reading = (
        quantity_of(text) or range_of(text) or _chain(text) or _either_sign(text) or _sequence(text) or _formula(text)
    )
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
    terms = [constant(part) for part in text.split(":")]
    shares = [quotient(term, terms[0]) for term in terms]
    if not all(shares) or is_time(text):
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
    if tree is None or not tree.names or DATE.fullmatch(text):
        return None
    if not re.search(r"[\d+*/^=√π|]", text) and len(text) > 1 and not is_function(text):
        return None
    return Formula(tree)
