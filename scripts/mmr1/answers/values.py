"""What an answer can be: the kinds of values that `reading` reads and `comparison` compares.

| kind | examples (in the one form of notation) |
| --- | --- |
| `Quantity` | 5, -1/2, 2√3, 1 1/4, 43%, 53.03 million people, 27 cm^2, 1 h 30 min, 4:1, seven sectors |
| `Range` | (-2,1], x > 3, -2 < x ≤ 1, (-∞,1) ∪ (2,∞), x < 1 or x > 2, x ≠ 3, ℝ, ∅ |
| `Sequence` | (2,3), [2014, 2016], {1,2}, 2 and 3, ±2, 1:2:3, Gambia and Niger |
| `Equation` | y-3 = 2/3(x-8) |
| `Formula` | 72x - 2x^3 |
| `Text` | whatever is left, `12:30`, 10-12, 2015/16 and dates among it: they are no arithmetic |
"""

from dataclasses import dataclass

from mmr1.answers.expressions import Number, Tree

YEARS = range(1500, 2100)
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


EMPTY = Range(())


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


def amounts(quantity: Quantity) -> list[Number]:
    """The numbers that a quantity may be meant as: "4.9%" is 4.9 or 0.049, "53.03 million" 53.03 or 53,030,000."""
    numbers = [quantity.number, *quantity.also]
    if quantity.scale != 1:
        numbers.append(quantity.number * quantity.scale)
    if quantity.percent:
        numbers += [number / 100 for number in numbers]
    return numbers
