"""The number that a piece of LaTeX stands for, as MathVision's published scorer computes it.

That scorer hands the text to latex2sympy and evaluates what comes out with Python. This is its numeric part written
again as a small recursive-descent parser: it never evaluates text as code, it cannot hang, and it takes linear time.
What it keeps of the published behaviour:

- the longest prefix that parses counts, and what follows it is ignored: `18 \\choose 3` is 18, `5.` is 5;
- `:` divides, `58 \\frac{1}{2}` multiplies, `1,234` is one number, `50\\%` is 0.5, `x = 5` is 5;
- a text with a letter, a unit, a list, a bar or an unknown command is no number;
- whole numbers stay Python ints and everything that was divided is a float, which shows in `(4/2, 1)`.

Factorials and powers that would take seconds are no numbers here; the published scorer hangs on them.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction

Number = int | float

MAX_LENGTH = 10_000
MAX_DEPTH = 60  # nested brackets; the published parser runs out of stack near there
MAX_DIGITS = 4_000
MAX_POWER_BITS = 100_000
MAX_FACTORIAL = 2_000

_NUMBER = r"\d*(?:,\d{3})*\.\d+|\d+(?:,\d{3})*"
_BRACKETS = {
    "(": ")",
    "{": "}",
    "[": "]",
    r"\{": r"\}",
    r"\lbrace": r"\rbrace",
    r"\lbrack": r"\rbrack",
    r"\lgroup": r"\rgroup",
    r"\lfloor": r"\rfloor",
}
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    r"\sin": math.sin,
    r"\cos": math.cos,
    r"\tan": math.tan,
    r"\arcsin": math.asin,
    r"\arccos": math.acos,
    r"\arctan": math.atan,
    r"\sinh": math.sinh,
    r"\cosh": math.cosh,
    r"\tanh": math.tanh,
    r"\arsinh": math.asinh,
    r"\arcosh": math.acosh,
    r"\artanh": math.atanh,
    r"\arcsinh": math.asinh,
    r"\arccosh": math.acosh,
    r"\arctanh": math.atanh,
}
_INVERSES = {r"\sin": math.asin, r"\cos": math.acos, r"\tan": math.atan}
_TIMES = ("*", r"\times", r"\cdot")
_OVER = ("/", r"\over", r"\div", ":")
_COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "<": lambda a, b: a < b,
    r"\leq": lambda a, b: a <= b,
    r"\le": lambda a, b: a <= b,
    r"\leqslant": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    r"\geq": lambda a, b: a >= b,
    r"\ge": lambda a, b: a >= b,
    r"\geqslant": lambda a, b: a >= b,
}
# Commands after which nothing of a number can follow: the prefix before them counts.
_STOPS = (r"\choose", r"\to", r"\rightarrow", r"\longrightarrow", r"\in")
_COMMANDS = (
    *(name for name in _BRACKETS if name.startswith("\\")),
    *(name for name in _BRACKETS.values() if name.startswith("\\")),
    *_FUNCTIONS,
    *_COMPARISONS,
    *_STOPS,
    *(r"\pi", r"\frac", r"\sqrt", r"\binom", r"\tbinom", r"\dbinom", r"\times", r"\cdot", r"\over", r"\div"),
    *(r"\log", r"\exp", r"\neq", r"\ne", r"\equiv"),
)
_TOKEN = re.compile(
    rf"(?P<percent>(?:{_NUMBER})\\%)|(?P<number>{_NUMBER})"
    rf"|(?P<command>{'|'.join(sorted((re.escape(name) for name in _COMMANDS if name[0] == chr(92)), key=len)[::-1])})"
    r"|(?P<letter>[a-z])|(?P<sign>==|[-+*/()\[\]{}^:;,.!'_=<>&])",
    re.ASCII,
)
_SPACES = re.compile(r"(?:\\displaystyle|\\qquad|\\quad|\\,|[~$\s])+")
_LEFT_RIGHT = re.compile(r"\\m?(?:left|right)(?![a-z])")
_ASSIGNMENT = re.compile(r"\s*(?:[a-df-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|rho|sigma|omega))"
                         r"(?:_(?:[a-z0-9]|\{[a-z0-9,]+\}))?\s*=(?!=)")  # fmt: skip


class NotANumber(Exception):
    """The text does not stand for a number."""


def evaluate(text: str) -> Number | None:
    """The number that lowercase LaTeX stands for, or None if it stands for none. Never raises."""
    if len(text) > MAX_LENGTH:
        return None
    try:
        while match := _ASSIGNMENT.match(text):
            text = text[match.end() :]
        text = text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac").replace(r"\bigl(", "(")
        return _Parser(_LEFT_RIGHT.sub("", text.replace(r"\bigr)", ")"))).relation()
    except (NotANumber, ArithmeticError, ValueError, TypeError, RecursionError):
        return None


class _Parser:
    """Reads one expression from the front of a text; each method returns a value or raises NotANumber."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0
        self._next: tuple[str, str] | None = None

    def relation(self) -> Number:
        value = self._sum()
        kind, token = self._peek()
        if token in _COMPARISONS:
            self._take()
            compared = _COMPARISONS[token](value, self._sum())
            if self._peek()[1] in (*_COMPARISONS, "="):
                raise NotANumber
            return compared
        if token in (",", ";", "=", "==", r"\neq", r"\ne", r"\equiv", r"\in") or kind == "letter":
            raise NotANumber
        return value

    def _peek(self) -> tuple[str, str]:
        """The next token as (kind, text); ("end", "") after the last. An unknown character raises NotANumber."""
        if self._next is None:
            if spaces := _SPACES.match(self._text, self._position):
                self._position = spaces.end()
            if self._position == len(self._text):
                self._next = ("end", "")
            elif match := _TOKEN.match(self._text, self._position):
                self._position = match.end()
                self._next = (match.lastgroup or "", match.group())
            else:
                raise NotANumber
        return self._next

    def _take(self, expected: str | None = None) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end" or expected not in (None, token[1]):
            raise NotANumber
        self._next = None
        return token

    def _sum(self) -> Number:
        value = self._product()
        while self._peek()[1] in ("+", "-"):
            sign = self._take()[1]
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self, functions: bool = True) -> Number:
        value = self._signed(functions)
        while self._peek()[1] in (*_TIMES, *_OVER):
            operator = self._take()[1]
            factor = self._signed(functions)
            value = value * factor if operator in _TIMES else value / factor
        return value

    def _signed(self, functions: bool) -> Number:
        negative = False
        while self._peek()[1] in ("+", "-"):
            negative ^= self._take()[1] == "-"
        value = self._postfix()
        while self._starts_factor(functions):
            value = value * self._postfix()
        return -value if negative else value

    def _starts_factor(self, functions: bool) -> bool:
        kind, token = self._peek()
        if token in _FUNCTIONS or token in (r"\sqrt", r"\log", r"\exp") or token == "e":
            return functions
        return (
            kind in ("number", "percent", "letter")
            or token in _BRACKETS
            or token in (r"\frac", r"\pi")
            or "binom" in token
        )

    def _postfix(self) -> Number:
        value = self._atom()
        while self._peek()[1] == "^":
            self._take()
            value = _power(value, self._exponent())
        while self._peek()[1] in ("!", "'"):
            if self._take()[1] == "!":
                value = _factorial(value)
        return value

    def _exponent(self) -> Number:
        if self._peek()[1] == "{":
            return self._bracketed()
        kind, token = self._take()
        if kind in ("number", "percent"):
            return _number(token)
        if token == r"\pi":
            return math.pi
        raise NotANumber

    def _atom(self) -> Number:
        kind, token = self._peek()
        if token in _BRACKETS:
            return math.floor(self._bracketed()) if token == r"\lfloor" else self._bracketed()
        self._take()
        if kind in ("number", "percent"):
            return _number(token)
        if token == r"\pi":
            return math.pi
        if token == r"\frac":
            return self._braced() / self._braced()
        if token == r"\sqrt":
            return self._root()
        if "binom" in token:
            return _binomial(self._braced(), self._braced())
        if token in _FUNCTIONS or token in (r"\log", r"\exp"):
            return self._function(token)
        if token == "e" and self._peek()[1] == "^":
            self._take()
            return _exponential(self._exponent())
        raise NotANumber

    def _bracketed(self) -> Number:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotANumber
        opening = self._take()[1]
        value = self._sum()
        if opening == "{" and self._peek()[1] == r"\choose":
            self._take()
            value = _binomial(value, self._sum())
        self._take(_BRACKETS[opening])
        self._depth -= 1
        return value

    def _braced(self) -> Number:
        if self._peek()[1] != "{":
            raise NotANumber
        return self._bracketed()

    def _root(self) -> Number:
        if self._peek()[1] != "[":
            return math.sqrt(self._braced())
        index = self._bracketed()
        return _power(self._braced(), 1 / index)

    def _function(self, name: str) -> Number:
        base: Number = 10
        power: Number | None = None
        if name == r"\log" and self._peek()[1] == "_":
            self._take()
            base = self._exponent()
        if self._peek()[1] == "^":
            self._take()
            power = self._exponent()
        argument = self._bracketed() if self._peek()[1] == "(" else self._product(functions=False)
        if power == -1 and name in _INVERSES:
            return _INVERSES[name](argument)
        if name == r"\log":
            value: Number = math.log(argument, base)
        elif name == r"\exp":
            value = _exponential(argument)
        else:
            value = _FUNCTIONS[name](argument)
        return value if not power else _power(value, power)


def _number(token: str) -> Number:
    digits = token.removesuffix(r"\%").replace(",", "")
    if len(digits) > MAX_DIGITS:
        raise NotANumber
    exact = Fraction(digits) / (100 if token.endswith("%") else 1)
    return exact.numerator if exact.denominator == 1 else exact.numerator / exact.denominator


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_POWER_BITS:
        raise NotANumber
    value = math.sqrt(base) if exponent == 0.5 else base**exponent
    if isinstance(value, complex):
        raise NotANumber
    return value


def _exponential(argument: Number) -> Number:
    """sympy keeps exp(1) as the symbol E, which the published scorer cannot evaluate; exp(0) is the integer 1."""
    if argument == 1:
        raise NotANumber
    return 1 if argument == 0 else math.exp(argument)


def _factorial(value: Number) -> int:
    if not isinstance(value, int) or value > MAX_FACTORIAL:
        raise NotANumber
    return math.factorial(value)


def _binomial(upper: Number, lower: Number) -> int:
    if not (isinstance(upper, int) and isinstance(lower, int)) or max(abs(upper), abs(lower)) > MAX_FACTORIAL:
        raise NotANumber
    return math.comb(upper, lower)
