"""Golds that no rule can read: a group of such a problem is all wrong, whatever the model answers."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from mmr1.answers.letters import gold_letters
from mmr1.answers.reading import read
from mmr1.answers.values import Text
from mmr1.data.problems import Problem
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import Job

SHOWN = 100  # golds of a table that a record names
_MATH = re.compile(r"\\(?!text|mathrm|[%&$ ])|[\^=√∞∫∑]|\d\s*[-+*/]\s*[\d(]")


def unreadable(gold: str) -> bool:
    r"""Whether a gold is empty, or is notation that the grammar of values cannot read.

    An answer to it is right only where it is written in the same way, or math-verify finds it equal.
    """
    if not gold.strip():
        return True
    return gold_letters(gold) is None and isinstance(read(gold), Text) and _MATH.search(gold) is not None


def unreadable_golds(problems: Iterable[Problem]) -> dict[str, str]:
    """The unreadable golds by problem id; those of multiple choice are compared with choices, and are none."""
    return {one.id: one.answer for one in problems if not one.choices and unreadable(one.answer)}


def tell_unreadable(work: Job, golds: Mapping[str, Mapping[str, str]]) -> None:
    """Log how many golds of each table no rule can read; the record has their number, and names the first of them."""
    for table, some in golds.items():
        if some:
            example = next(iter(some.values()))
            log(f"{table}: {len(some)} golds that no rule can read; the record names them, as {example!r:.80}")
    work.metrics["unreadable_golds"] = float(sum(map(len, golds.values())))
    work.notes["unreadable_golds"] = {name: dict(islice(some.items(), SHOWN)) for name, some in golds.items() if some}
