r"""A quick proof that math-verify would find two parsed answers different: a point where their values differ.

Most comparisons in training are of plainly different numbers or formulas, and math-verify then spends nearly all its
time in sympy's `simplify`, only to learn that the difference is not zero. Two expressions that differ at one point are
not equal, so the value at a point settles it. The other direction proves nothing, and is left to math-verify.

Math-verify (0.9.0, `grader.py`) also calls some things equal that are not equal as mathematics, and none of them may
pass here: strings that agree, symbols by their names (\text{5} and 5), percentages (9% and 9), relations, sets and
intervals, numbers that round to the same six decimals. So only sums, products and powers of numbers and symbols are
looked at, not a symbol alone, and the values must differ by far more than rounding could hide.
"""

import hashlib
import math
from functools import lru_cache
from typing import Any, NamedTuple

from sympy import Add, Float, I, Mul, NumberSymbol, Pow, Rational, Symbol

TOLERANCE = 1e-3  # of the larger value, or absolute below 1; math-verify's is 1e-6 absolute
ROUNDING = 1e-6  # of the sum of all magnitudes that went into a value: ample for double precision
LARGEST_EXPONENT = 64.0
WORST_CONDITION = 1e6


class Value(NamedTuple):
    """An expression's value at the witness point."""

    value: complex
    magnitude: float  # what the value would be if nothing in it had cancelled: rounding errors are relative to it


def surely_different(gold: list[Any], answer: list[Any]) -> bool:
    """Whether math-verify's `verify(gold, answer)` on two results of its `parse` is False beyond doubt.

    False means "not known". Never raises.
    """
    if len(gold) != 2 or len(answer) != 2 or gold[1].strip() == answer[1].strip():  # else: [expression, its text]
        return False
    if isinstance(gold[0], Symbol) or isinstance(answer[0], Symbol):
        return False
    try:
        a, b = _value(gold[0]), _value(answer[0])
    except (RecursionError, OverflowError, ZeroDivisionError):
        return False
    if a is None or b is None:
        return False
    difference = abs(a.value - b.value)
    needed = max(TOLERANCE * max(1.0, abs(a.value), abs(b.value)), ROUNDING * (a.magnitude + b.magnitude))
    return math.isfinite(difference) and difference > needed


def _value(expression: Any) -> Value | None:
    """The value where every symbol stands for a number of its own; None for what this module does not look at."""
    if isinstance(expression, Rational | Float | NumberSymbol):
        number = float(expression)
        return Value(number, abs(number)) if math.isfinite(number) else None
    if isinstance(expression, Symbol):
        number = _coordinate(expression.name)
        return Value(number, number)
    if expression is I:
        return Value(1j, 1.0)
    if type(expression) not in (Add, Mul, Pow):
        return None
    parts = [_value(part) for part in expression.args]
    values = [part for part in parts if part is not None]
    if len(values) < len(parts):
        return None
    if type(expression) is Add:
        return Value(sum(part.value for part in values), sum(part.magnitude for part in values))
    if type(expression) is Mul:
        return Value(math.prod(part.value for part in values), math.prod(part.magnitude for part in values))
    return _power(*values)


def _power(base: Value, exponent: Value) -> Value | None:
    """A positive base to a modest exponent: elsewhere there are branches to choose, or errors blow up."""
    if base.value.imag or exponent.value.imag or base.value.real <= 0 or abs(exponent.value) > LARGEST_EXPONENT:
        return None
    condition = base.magnitude / base.value.real * (1.0 + exponent.magnitude)
    if condition > WORST_CONDITION:
        return None
    value = base.value.real**exponent.value.real
    return Value(value, value * condition * (1.0 + abs(math.log(base.value.real))))


@lru_cache(4096)
def _coordinate(name: str) -> float:
    """A symbol's number, in (0.9, 1).

    Positive, where roots and logarithms have one branch; not above 1, so that a term with a vanishing coefficient,
    which math-verify chops off, vanishes here too.
    """
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
    return 0.9 + 0.1 * draw
