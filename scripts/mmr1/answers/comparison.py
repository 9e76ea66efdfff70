"""Whether two values are the same: numbers by a function that the caller may give, as a benchmark has its tolerance."""

import re
from collections.abc import Callable
from dataclasses import replace

from mmr1.answers.expressions import Number, Tree, close, equal_numbers, same_equation, same_formula
from mmr1.answers.reading import read_normal, split
from mmr1.answers.texts import same_text
from mmr1.answers.units import MONEY, converted
from mmr1.answers.values import EMPTY, Equation, Formula, Interval, Quantity, Range, Sequence, Text, Value, amounts

SameNumber = Callable[[Number, Number], bool]

OTHER_SCALE = 0.9  # relative: what differs by more is of another scale

_BOTH = re.compile(r"^both ", re.IGNORECASE)


def same(gold: Value, answer: Value, same_number: SameNumber = equal_numbers) -> bool | None:
    """Whether an answer is the gold; None where the two are of kinds that this grammar cannot compare."""
    if isinstance(gold, Quantity):
        return _same_quantity(gold, answer, same_number) if isinstance(answer, Quantity) else _odd_kinds(gold, answer)
    if isinstance(gold, Sequence):
        return _same_sequence(gold, answer, same_number)
    if isinstance(gold, Text) or isinstance(answer, Text):
        alike = isinstance(gold, Text) and isinstance(answer, Text) and _same_names(gold.text, answer.text)
        return True if alike else None
    if isinstance(gold, Range):
        return _same_range(gold, answer)
    if isinstance(gold, Formula) and isinstance(answer, Formula):
        return same_formula(gold.tree, answer.tree)
    one, other = _sides(gold), _sides(answer)
    if one and other:
        return same_equation(one, other)
    return _odd_kinds(gold, answer)


def _same_names(gold: str, answer: str) -> bool:
    """Whether two texts are one name, or the same names in a row, in any order."""
    if same_text(gold, answer):
        return True
    golds, answers = (split(text, r"[,;&]|\band\b") for text in (gold, answer))
    pairs = [[other for other in answers if same_text(one, other)] for one in golds]
    return len(golds) > 1 and len(answers) == len(golds) == len({other for some in pairs for other in some[:1]})


def _sides(value: Value) -> tuple[Tree, Tree] | None:
    """The sides of an equation, y and 2x + 1 among them."""
    if isinstance(value, Formula) and value.name:
        return Tree("name", (value.name,)), value.tree
    return value.sides if isinstance(value, Equation) else None


def _odd_kinds(gold: Value, answer: Value) -> bool | None:
    """Values of two kinds differ, but for texts and equations, which may still be read otherwise.

    "There are no solutions" counts none, where the gold is a 0.
    """
    open_ = isinstance(answer, Text | Equation) or isinstance(gold, Equation) or answer == EMPTY
    return None if open_ else False


def _same_quantity(gold: Quantity, answer: Quantity, same_number: SameNumber) -> bool:
    if gold.unit in MONEY and answer.unit in MONEY:  # 50 cents are $0.50 and not $50
        gold, answer = replace(gold, percent=False), replace(answer, percent=False)
    numbers = amounts(answer)
    golds = [gold.number]
    if gold.scale != 1 and answer.scale != 1:
        golds, numbers = [gold.number * gold.scale], [answer.number * answer.scale]
        if not close(golds[0], numbers[0], OTHER_SCALE):
            return False  # 8.6 billion is not 8.6 million, whatever an axis counts in
    elif gold.scale != 1:
        golds = [gold.number, gold.number * gold.scale]
    if gold.percent and answer.percent:
        numbers = [answer.number * (answer.scale if gold.scale != 1 and answer.scale != 1 else 1)]
    elif gold.percent:
        golds += [number / 100 for number in golds]
    if gold.unit and answer.unit:
        turned = [converted(number, answer.unit, gold.unit) for number in numbers]
        numbers = [number for number in turned if number is not None]
    return any(same_number(one, other) for one in golds for other in numbers)


def _same_sequence(gold: Sequence, answer: Value, same_number: SameNumber) -> bool | None:
    if isinstance(answer, Range) and len(answer.intervals) == 1 and gold.opening in ("(", "[") and len(gold.items) == 2:
        ends = _as_range(gold)
        return ends is not None and _same_ends(ends, answer)
    if isinstance(answer, Text):
        words = r"\b(?:and|or)\b" if gold.opening == "±" else r"\band\b"
        items = tuple(read_normal(part) for part in split(_BOTH.sub("", answer.text), rf"[,;&]|{words}"))
        return _same_sequence(gold, Sequence("", items, ""), same_number) or None  # a sentence may state them
    if not isinstance(answer, Sequence):
        return False
    if not _same_brackets(gold, answer) or len(gold.items) != len(answer.items):
        return False
    golds, answers = list(gold.items), list(answer.items)
    any_order = gold.opening in ("{", "±") or answer.opening == "±"
    if any_order or not any(isinstance(one, Quantity | Formula) for one in golds):
        return _same_in_any_order(golds, answers, same_number)
    return all(bool(same(one, other, same_number)) for one, other in zip(golds, answers, strict=True))


def _same_brackets(gold: Sequence, answer: Sequence) -> bool:
    """Round brackets are a point or an open end: only what has none may stand for them. `[2, 3]` may be a list.

    `±2` are the solutions for one letter, no point, no interval and not `x = 2, y = -2`.
    """
    if "±" in (gold.opening, answer.opening):
        return {gold.opening, answer.opening} <= {"±", "{", ""} and not (gold.named or answer.named)
    if (gold.opening, gold.closing) == (answer.opening, answer.closing):
        return True
    if ":" in (gold.opening, answer.opening):
        return False
    if not answer.opening or not gold.opening:
        return True
    listed = {("[", "]"), ("{", "}")}
    return (gold.opening, gold.closing) in listed and (answer.opening, answer.closing) in listed


def _same_in_any_order(golds: list[Value], answers: list[Value], same_number: SameNumber) -> bool:
    left = list(answers)
    for one in golds:
        match = next((other for other in left if same(one, other, same_number)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _as_range(pair: Sequence) -> Range | None:
    ends = [item.number if isinstance(item, Quantity) else None for item in pair.items]
    if ends[0] is None or ends[1] is None:
        return None
    return Range(((ends[0], pair.opening == "[", ends[1], pair.closing == "]"),))


def _same_range(gold: Range, answer: Value) -> bool | None:
    if isinstance(answer, Sequence) and len(answer.items) == 2 and answer.opening in ("(", "["):
        answer = _as_range(answer) or answer
    if not isinstance(answer, Range):
        return None if isinstance(answer, Text) else False
    return _same_ends(gold, answer)


def _same_ends(gold: Range, answer: Range) -> bool:
    def in_order(some: Range) -> list[Interval]:
        return sorted(some.intervals, key=lambda one: (one[0], one[2]))

    pairs = list(zip(in_order(gold), in_order(answer), strict=False))
    return len(gold.intervals) == len(answer.intervals) and all(
        equal_numbers(one[0], other[0])
        and one[1] == other[1]
        and equal_numbers(one[2], other[2])
        and one[3] == other[3]
        for one, other in pairs
    )
