"""Types of fields that many settings share."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema


def _in_unit_interval(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not in [0, 1]")
    return value


def all_different(values: list[Any]) -> list[Any]:
    """The same values; ValueError for one that is named twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} is named twice")
    return values


Share = Annotated[
    float, AfterValidator(_in_unit_interval), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]

PromptPosition = Literal["system", "user"]


def like(pattern: str, expected: str) -> Callable[[str], str]:
    """A check that a whole text is like `pattern`; its ValueError says what was `expected`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"expected {expected}, found {value!r}")
        return value

    return check


# The hub's own rule for names; a path does not pass for one.
REPOSITORY = r"([A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*"
COMMIT = r"[0-9a-f]{4,40}"
Repository = Annotated[
    str,
    AfterValidator(like(REPOSITORY, "a repository of the hub, as in Qwen/Qwen2.5-VL-3B-Instruct")),
    WithJsonSchema({"type": "string", "pattern": f"^{REPOSITORY}$"}),
]
Commit = Annotated[
    str,
    AfterValidator(like(COMMIT, "a commit hash or the first of its digits (0-9, a-f)")),
    WithJsonSchema({"type": "string", "pattern": f"^{COMMIT}$"}),
]
