r"""Formulas in the one form of notation (`notation`): read as trees, evaluated, compared.

A formula is compared by its values: two formulas that agree at some dozen points are the same, whatever they look like.
Constants are exact fractions as long as they can be. Nothing is ever run as code, and nothing can hang: numbers are
bounded, and so is the length of what is read.
"""

import cmath
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import Any

from mmr1.answers.notation import REPEATED

Number = Fraction | float

LONGEST = 400  # characters of a formula
DEEPEST = 40  # brackets inside brackets
MOST_BITS = 4_000  # of an exact power
MOST_BITS_OF_ALL = 12_000  # of a number: Python writes none of more than 4,300 digits
LARGEST_FACTORIAL = 170
CLOSE = 1e-6  # relative: between numbers of which one cannot be written as a decimal
SAME = 1e-9  # relative: between values of one formula, computed in two ways
POINTS = 12
LARGEST = 1e150  # of a formula's values that are compared: their products are finite

_NUMBER = rf"(?:\d+(?:\.\d*)?(?:{REPEATED}\d+{REPEATED})?|\.\d+(?:{REPEATED}\d+{REPEATED})?|\.{REPEATED}\d+{REPEATED})"
_TOKEN = re.compile(
    rf"\s*(?:(?P<mixed>\d+ +\d+ ?/ ?\d+(?![\d.]))"
    rf"|(?P<number>{_NUMBER}(?:[eE][+-]?\d{{1,4}}(?![\w.]))?)"
    r"|(?P<function>arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|lg|exp|root|binom)(?![a-zA-Z])"
    r"|(?P<sign>[-+*/^()√|!°π∞,])"
    r"|(?P<name>[a-zA-Zα-ωΩ∠△](?:_(?:\w+|\(\w+\)))?'*))",
    re.ASCII,
)


_FUNCTION_NAME = re.compile(r"arc(?:sin|cos|tan)|sinh?|cosh?|tanh?|cot|sec|csc|ln|log|lg|exp|root|binom")
_WORD = re.compile(r"[a-zA-Z]{4,}|\b(?:and|or|to|the|not|of|is|in|if|no|at|an|as|by)\b")


# A bracket that is no factor of the number before it: "(cm)", and, behind a space, "(2012)", "(34%)".
_NOTE = re.compile(r"\s*\((?!\s*[-+√\d.π])|\s+\(\s*[\d.]+\s*%?\s*\)")


class NoFormula(Exception):
    """A text is no formula, or has no value."""


@dataclass(frozen=True)
class Tree:
    """A formula: an operator (or "number", "name") and what it applies to."""

    operator: str
    parts: tuple[Any, ...]

    @property
    def names(self) -> frozenset[str]:
        """The variables in it."""
        if self.operator == "name":
            return frozenset(self.parts)
        return frozenset().union(*(part.names for part in self.parts if isinstance(part, Tree)))

    @property
    def operators(self) -> frozenset[str]:
        """The operators and functions in it."""
        return frozenset([self.operator]).union(*(part.operators for part in self.parts if isinstance(part, Tree)))


_FORMULA = re.compile(r"[\d+*/^=√π∞|]|\b(?:(?:arc)?(?:sin|cos|tan)|cot|sec|csc|ln|log|exp)\b|^-?[a-zA-Zα-ω]$")


@lru_cache(20_000)
def formula(text: str) -> Tree | None:
    """The formula that a text is, with letters as variables; None if it is none. A word of letters alone is none."""
    if len(text) > LONGEST or not _FORMULA.search(text):
        return None
    if _WORD.search(_FUNCTION_NAME.sub(" ", text)):
        return None
    parser = _Parser(text, names=True)
    try:
        tree = parser.sum()
        return tree if parser.at_end() else None
    except (NoFormula, ValueError, RecursionError):
        return None


def is_function(text: str) -> bool:
    """Whether a text of letters can be read as functions of variables, `csc x`, `-x sec x`, and is no words."""
    rest, functions = _FUNCTION_NAME.subn(" ", text)
    return functions > 0 and re.search(r"[a-zA-Z]{2}", rest) is None


@lru_cache(20_000)
def leading_number(text: str) -> tuple[Number, int] | None:
    """The value of the longest formula without letters at the front of a text, and where it ends; None if none is."""
    parser = _Parser(text[:LONGEST], names=False)
    try:
        tree = parser.sum()
        return value(tree), parser.end
    except (NoFormula, ValueError, ArithmeticError, RecursionError):
        return None


class _Parser:
    """Reads one formula from the front of a text; `end` is where what was read ends."""

    def __init__(self, text: str, names: bool) -> None:
        self._text, self._names = text, names
        self._depth = self._bars = 0
        self.end = 0
        self._token: tuple[str, str, int] | None = None

    def at_end(self) -> bool:
        return not self._text[self.end :].strip()

    def _peek(self) -> tuple[str, str]:
        if self._token is None:
            match = _TOKEN.match(self._text, self.end)
            if match is None or (match.lastgroup == "name" and not self._names):
                self._token = ("", "", self.end)
            else:
                self._token = (match.lastgroup or "", match[match.lastgroup or 0], match.end())
        return self._token[0], self._token[1]

    def _take(self) -> tuple[str, str]:
        kind, token = self._peek()
        if not kind:
            raise NoFormula
        assert self._token
        self.end, self._token = self._token[2], None
        return kind, token

    def sum(self) -> Tree:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NoFormula
        tree = self._product()
        while (sign := self._peek()[1]) in ("+", "-"):
            if (whole := self._operation(sign, tree, self._product)) is None:
                break
            tree = whole
        self._depth -= 1
        return tree

    def _operation(self, sign: str, first: Tree, second: Callable[[], Tree], take: bool = True) -> Tree | None:
        """The first side, the sign (that comes next: `take`) and the second side; None, before it, if there is none."""
        before, token = self.end, self._token
        if take:
            self._take()
        try:
            return Tree(sign, (first, second()))
        except NoFormula:
            self.end, self._token = before, token
            if self._names or self._depth > 1:
                raise
            return None

    def _product(self) -> Tree:
        tree = self._signed()
        while True:
            kind, token = self._peek()
            if token in ("*", "/"):
                if (whole := self._operation(token, tree, self._signed)) is None:
                    return tree
                tree = whole
            elif kind in ("name", "function") or token in ("(", "√", "π", "∞") or (token == "|" and not self._bars):
                if token == "(" and not self._names and _NOTE.match(self._text, self.end):
                    return tree
                if (whole := self._operation("*", tree, self._power, take=False)) is None:
                    return tree
                tree = whole
            elif kind == "number" and tree.operator != "number" and self._text[self.end - 1] in ")π":
                tree = Tree("*", (tree, self._power()))
            else:
                return tree

    def _signed(self) -> Tree:
        token = self._peek()[1]
        if token in ("+", "-"):
            self._take()
            inner = self._signed()
            return Tree("-", (_ZERO, inner)) if token == "-" else inner
        return self._power()

    def _power(self) -> Tree:
        tree = self._atom()
        while (token := self._peek()[1]) in ("^", "!"):
            self._take()
            tree = Tree("!", (tree,)) if token == "!" else Tree("^", (tree, self._exponent()))
        return tree

    def _exponent(self) -> Tree:
        if self._peek()[1] in ("+", "-"):
            sign = self._take()[1]
            return Tree("-", (_ZERO, self._power())) if sign == "-" else self._power()
        return self._power()

    def _atom(self) -> Tree:
        kind, token = self._take()
        if kind == "mixed":
            whole, above, below = (int(part) for part in re.findall(r"\d+", token))
            if not 0 < above < below:
                raise NoFormula
            return Tree("number", (whole + Fraction(above, below),))
        if kind == "number":
            return Tree("number", (_decimal(token),))
        if kind == "name":
            return Tree("name", (token,)) if token != "e" else Tree("number", (math.e,))
        if kind == "function":
            return self._function(token)
        if token == "(":
            bars, self._bars = self._bars, 0
            inner = self.sum()
            self._bars = bars
            self._closing(")")
            return Tree("()", (inner,))
        if token == "|":
            self._bars += 1
            inner = self.sum()
            self._bars -= 1
            self._closing("|")
            return Tree("|", (inner,))
        if token == "√":
            return Tree("√", (self._power() if self._peek()[1] in ("(", "√") else self._atom(),))
        if token in ("π", "∞"):
            return Tree("number", (math.pi if token == "π" else math.inf,))
        raise NoFormula

    def _closing(self, bracket: str) -> None:
        if self._peek()[1] != bracket:
            raise NoFormula
        self._take()

    def _function(self, name: str) -> Tree:
        if name in ("root", "binom"):
            self._closing("(")
            first = self.sum()
            self._closing(",")
            second = self.sum()
            self._closing(")")
            return Tree(name, (first, second))
        base = exponent = None
        if name == "log" and self._text[self.end : self.end + 1] == "_":
            self.end += 1
            self._token = None
            base = self._atom()
        if self._peek()[1] == "^":
            self._take()
            exponent = self._exponent()
        if name in ("sin", "cos", "tan") and exponent in (_MINUS_ONE, Tree("()", (_MINUS_ONE,))):
            name, exponent = f"arc{name}", None
        argument = self._argument()
        tree = Tree(name, (argument,) if base is None else (argument, base))
        return tree if exponent is None else Tree("^", (tree, exponent))

    def _argument(self) -> Tree:
        """sin 2x, sin(x), sin(x)cos(x): a bracket, or a product up to the next sign or function."""
        if self._peek()[1] == "(":
            self._take()
            bars, self._bars = self._bars, 0
            inner = self._in_degrees(self.sum())
            self._bars = bars
            self._closing(")")
            return self._in_degrees(Tree("()", (inner,)))
        tree = self._power()
        while self._peek()[0] == "name" or self._peek()[1] in ("π", "√"):
            tree = Tree("*", (tree, self._power()))
        return self._in_degrees(tree)

    def _in_degrees(self, tree: Tree) -> Tree:
        """What was read of a function's argument, in radians if ° comes next."""
        if self._peek()[1] != "°":
            return tree
        self._take()
        return Tree("*", (tree, Tree("number", (math.pi / 180,))))


_ZERO = Tree("number", (Fraction(0),))
_MINUS_ONE = Tree("-", (_ZERO, Tree("number", (Fraction(1),))))  # behind sin: its inverse, and no reciprocal


def _decimal(text: str) -> Fraction:
    """A decimal, with an exponent or with digits that repeat for ever."""
    if REPEATED in text:
        before, period, _ = text.split(REPEATED)
        places = len(before.partition(".")[2])
        return Fraction(before.rstrip(".") or 0) + Fraction(int(period), (10 ** len(period) - 1) * 10**places)
    digits, _, exponent = text.lower().partition("e")
    if abs(int(exponent or 0)) > MOST_BITS // 4:
        raise NoFormula
    return Fraction(digits.rstrip(".") or 0) * Fraction(10) ** int(exponent or 0)


def value(tree: Tree) -> Number:
    """The value of a formula without variables: exact where it is rational.

    Raises NoFormula where there is none: a variable, a division by zero, a root of a negative number. What is rational
    may be larger than any float is: `as_float` makes one of it.
    """
    result = _value(tree, {})
    if isinstance(result, complex):
        raise NoFormula
    if isinstance(result, float) and math.isnan(result):
        raise NoFormula
    if isinstance(result, Fraction) and max(map(int.bit_length, result.as_integer_ratio())) > MOST_BITS_OF_ALL:
        raise NoFormula
    return result


def as_float(number: Number) -> float:
    """A number as a float: infinite where it is larger than any float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def quotient(one: Number | None, other: Number | None) -> Number | None:
    """How many times a number is another; None where either is infinite or none, or no number holds the result."""
    if one is None or other is None or is_infinite(one) or is_infinite(other):
        return None
    try:
        return one / other
    except ArithmeticError:
        return None


def is_infinite(number: Number) -> bool:
    """Whether a number is ∞ or -∞, which a large one is not."""
    return isinstance(number, float) and math.isinf(number)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "arcsin": cmath.asin, "arccos": cmath.acos,
    "arctan": cmath.atan, "sinh": cmath.sinh, "cosh": cmath.cosh, "tanh": cmath.tanh, "ln": cmath.log,
    "log": cmath.log10, "lg": cmath.log10, "exp": cmath.exp,
    "cot": lambda x: 1 / cmath.tan(x), "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x),
}  # fmt: skip


def _value(tree: Tree, point: Mapping[str, float]) -> Any:
    try:
        return _apply(tree, point)
    except (ArithmeticError, ValueError, TypeError):
        raise NoFormula from None


def _apply(tree: Tree, point: Mapping[str, float]) -> Any:
    operator, parts = tree.operator, tree.parts
    if operator == "number":
        return parts[0]
    if operator == "name":
        if parts[0] not in point:
            raise NoFormula
        return point[parts[0]]
    numbers = [_apply(part, point) for part in parts]
    first = numbers[0]
    if operator == "()":
        return first
    if operator == "|":
        return abs(first)
    if operator == "√":
        return _root(first, 2)
    if operator == "root":
        return _power(numbers[1], 1 / Fraction(first))
    if operator == "!":
        return _factorial(first)
    if operator in _FUNCTIONS:
        return _function(operator, numbers)
    second = numbers[1]
    if operator == "+":
        return first + second
    if operator == "-":
        return first - second
    if operator == "*":
        return first * second
    if operator == "/":
        return first / second
    if operator == "binom":
        return Fraction(math.comb(_whole(first), _whole(second)))
    return _power(first, second)


def _function(name: str, numbers: list[Any]) -> Any:
    result = _FUNCTIONS[name](complex(numbers[0]))
    if len(numbers) > 1:
        result = cmath.log(complex(numbers[0])) / cmath.log(complex(numbers[1]))
    return result.real if abs(result.imag) < 1e-12 else result


def _whole(number: Any) -> int:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= LARGEST_FACTORIAL:
        raise NoFormula
    return int(number)


def _factorial(number: Any) -> Fraction:
    return Fraction(math.factorial(_whole(number)))


def _root(number: Any, index: int) -> Any:
    if isinstance(number, Fraction) and number >= 0:
        above, below = math.isqrt(number.numerator), math.isqrt(number.denominator)
        if above**2 == number.numerator and below**2 == number.denominator:
            return Fraction(above, below)
    return _power(number, Fraction(1, index))


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        power = int(exponent)
        if isinstance(base, Fraction):
            bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(power)
            if bits <= MOST_BITS:
                return base**power
            base = float(base)
        return base**power
    if isinstance(base, Fraction | float) and base < 0 and isinstance(exponent, Fraction) and exponent.denominator % 2:
        return (-1) ** exponent.numerator * float(-base) ** float(exponent)  # the cube root of -8 is -2
    result = complex(base) ** complex(exponent)
    return result.real if abs(result.imag) < 1e-12 * max(1.0, abs(result)) else result


def equal_numbers(gold: Number, answer: Number) -> bool:
    """Whether two numbers are the same: exactly, or, where one of them has no end as a decimal, to six digits."""
    if gold == answer:
        return True
    if is_infinite(gold) or is_infinite(answer) or (_ends(gold) and _ends(answer)):
        return False
    return close(gold, answer, CLOSE)


def close(one: Number, other: Number, relative: float, to_first: bool = False) -> bool:
    """Whether two numbers differ by at most a share of the larger one, or of the first."""
    try:
        a, b = float(one), float(other)
    except OverflowError:
        return one == other
    return abs(a - b) <= relative * (abs(a) if to_first else max(abs(a), abs(b)))


def _ends(number: Number) -> bool:
    """Whether a number is a decimal with an end."""
    if not isinstance(number, Fraction):
        return False
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def same_formula(gold: Tree, answer: Tree) -> bool:
    """Whether two formulas have the same value wherever both have one."""
    return all(abs(one - other) <= SAME * (1 + abs(one) + abs(other)) for one, other in _values(gold, answer, least=3))


def same_equation(gold: tuple[Tree, Tree], answer: tuple[Tree, Tree]) -> bool:
    """Whether two equations say the same: their differences of sides are multiples of each other."""
    differences = [Tree("-", sides) for sides in (gold, answer)]
    ratio: complex | None = None
    for one, other in _values(differences[0], differences[1], least=3):
        if abs(one) < SAME or abs(other) < SAME:
            if abs(one) < SAME and abs(other) < SAME:
                continue
            return False
        if ratio is None:
            ratio = other / one
        elif abs(other / one - ratio) > 1e-7 * abs(ratio):
            return False
    return ratio is not None


def _values(gold: Tree, answer: Tree, least: int) -> list[tuple[complex, complex]]:
    """The two formulas' values at points where both have one; a pair that differs if there are fewer than `least`."""
    names, draws, pairs = sorted(gold.names | answer.names), Random(0), []
    # Lengths, which stand under roots, are positive: √(ab) is √a√b.
    signed = not (gold.operators | answer.operators) & {"√", "root", "ln", "log", "lg"}
    for number in range(POINTS):
        low = -3.0 if signed and number % 2 else 0.2
        point = {name: draws.uniform(low, 3.0) for name in names}
        try:
            one, other = (complex(_value(tree, point)) for tree in (gold, answer))
        except (NoFormula, OverflowError):
            continue
        if all(abs(part) < LARGEST for part in (one.real, one.imag, other.real, other.imag)):
            pairs.append((one, other))
    return pairs if len(pairs) >= least else [(0.0, 1.0)]


def rounded(number: Number, places: int) -> Fraction:
    """A number rounded to some decimal places, halves to even."""
    return round(Fraction(0) if is_infinite(number) else Fraction(number), places)
