"""Types of fields that many settings share."""

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
