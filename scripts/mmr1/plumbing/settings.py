"""Settings files: the resolved settings of one stage, validated again by the program that reads them."""

import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json

Model = TypeVar("Model", bound=BaseModel)


def read_settings(path: str | Path, model: type[Model]) -> Model:
    """A `settings.json` as its pydantic model. Raises UserError with the path of the first wrong field."""
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """A validation error in one line: `vas.mix: 1.4 is not in [0, 1]`, further ones after a semicolon."""
    return "; ".join(_describe_one(dict(one)) for one in error.errors())


def read_text(path: Path | None) -> str | None:
    """A prompt file's text without the newline at its end; None for no file."""
    return None if path is None else path.read_text().strip()


def _describe_one(error: dict) -> str:
    # Parts in brackets are pydantic's and ours: the key of a mapping, the kind of a union.
    where = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("[", "<")))
    value, context = error.get("input"), error.get("ctx") or {}
    kind = error["type"]
    if kind == "extra_forbidden":
        return f"{where}: no such setting"
    if kind in ("model_type", "dict_type", "union_tag_invalid"):
        return f"{where}: expected a section with settings of its own, found {value!r}"
    if kind == "missing":
        return f"{where}: expected a value, found none"
    if kind in ("greater_than_equal", "less_than_equal", "greater_than", "less_than"):
        bound = {"ge": "at least", "le": "at most", "gt": "more than", "lt": "less than"}
        limits = " and ".join(f"{words} {context[name]}" for name, words in bound.items() if name in context)
        return f"{where}: expected {limits}, found {value!r}"
    message = error["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        names_a_field = re.match(r"[\w.]+(, [\w.]+)*: ", message)
        return f"{where}{'.' if names_a_field else ': '}{message}" if where else message
    return f"{where}: {message}, found {value!r}"
