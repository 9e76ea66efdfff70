"""What a row of a training's JSON lines (`metrics.jsonl` and the like) is called in MLflow, live and afterwards."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# MLflow shows what begins so on a page of its own.
SYSTEM = "system/"
# The trainer's own metrics stand under their names, other files' under the file's.
PREFIXES = {"metrics": "", "timings": f"{SYSTEM}timings/"}
# What the name of a metric may not hold (`mlflow.utils.validation`).
REFUSED = re.compile(r"[^/\w.\- :]")


def named_values(file: str, row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by their names in MLflow; `file` is its file's name without the suffix.

    Names can hold what data say (the values of a problem's metadata): what MLflow refuses in a name becomes `_`.
    """
    prefix = PREFIXES.get(file, f"{file}/")
    return {REFUSED.sub("_", prefix + name): value for name, value in numbers_of(flat(row)) if name != "step"}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots; a list is one value."""
    if not isinstance(value, Mapping):
        return {prefix: value} if prefix else {}
    params: dict[str, Any] = {}
    for name, item in value.items():
        params |= flat(item, f"{prefix}.{name}" if prefix else str(name))
    return params


def numbers_of(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Those values that are numbers."""
    for name, value in values.items():
        if isinstance(value, int | float):
            yield name, float(value)
