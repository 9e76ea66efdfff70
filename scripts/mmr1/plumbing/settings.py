"""Settings: pydantic models that the recipe and the programs share, and what of them is part of what a job computes.

Each stage declares its settings once, beside the code that reads them. A recipe is made of them, a rule hands a stage's
values to its program, and the program checks them with the same model.

Three kinds of keys:
- most make the numbers: `numbers` gives their values, which are part of a job's digest;
- what only fits a machine (workers, memory shares, addresses, how often a state is saved) stands in a section of the
  kind `Machine`: `machine` gives these, and no digest has them;
- a key that was added later and whose default means "as before" is declared with `as_before`: at that value it is in no
  digest, so that adding it makes nothing due.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import parse_json, read_json
from mmr1.plumbing.secrets import blotted

Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A part of a recipe: an unknown key is an error, and so is a number that is not finite, or `true` for 1."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool) and {int, float} & kinds and bool not in kinds:
                raise ValueError(f"expected a number, found {str(one).lower()}")
        return value


class Machine(Section):
    """Settings that only fit a machine. They change no number, and stand in no digest."""


def _kinds(annotation: Any) -> set[Any]:
    """The plain types in an annotation such as list[int] | None."""
    inside = get_args(annotation)
    return {kind for one in inside for kind in _kinds(one)} if inside else {annotation}


def as_before(value: Any, **field: Any) -> Any:
    """A field that came later and whose default `value` means what was done before it came.

    The value is written down here, so that a later change of the default is seen as the change that it is: give the new
    default to the field (`default=`) and leave `value` as it was.
    """
    default = field.pop("default", value)
    return Field(default, json_schema_extra={"as_before": value}, **field)


def on_machine(**field: Any) -> Any:
    """A field that only fits a machine (an address, say) in a section whose other fields make the numbers."""
    return Field(json_schema_extra={"machine": True}, **field)


def numbers(section: BaseModel) -> dict[str, Any]:
    """The settings that can change what a job computes, as JSON values: without machines, without keys "as before"."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if isinstance(value, Machine) or extra.get("machine"):
            continue
        if (inner := _inner(value)) is not None:
            content = head(value) | numbers(inner)
        elif members := _members(value):
            content = {key: head(one) | numbers(inner) for key, (one, inner) in members.items()}
        else:
            content = section.model_dump(mode="json", include={name})[name]
        if "as_before" not in extra or content != extra["as_before"]:
            values[name] = content
    return values


def machine(section: BaseModel) -> dict[str, Any]:
    """The settings that only fit a machine, as JSON values in the shape of the whole: {"engine": {"machine": …}}."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if isinstance(value, Machine):
            values[name] = value.model_dump(mode="json")
        elif extra.get("machine"):
            values[name] = value
        elif inside := _machine_inside(value):
            values[name] = inside
    return values


def _machine_inside(value: Any) -> dict[str, Any]:
    if (inner := _inner(value)) is not None:
        return machine(inner)
    return {key: part for key, (_, one) in _members(value).items() if (part := machine(one))}


def plugin_files(section: BaseModel) -> list[str]:
    """The files of all plugins that the settings name, as paths under `scripts/`, sorted."""
    return sorted(set(_plugin_files(section)))


def _plugin_files(section: BaseModel) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        for one in value.values() if isinstance(value, Mapping) else [value]:
            if hasattr(one, "settings"):  # a `mmr1.plugins.Plugin`
                yield one.file
            if (inner := _inner(one)) is not None:
                yield from _plugin_files(inner)


def _inner(value: Any) -> BaseModel | None:
    """The settings inside a value: a section, or those of a plugin."""
    settings = getattr(value, "settings", value)
    return settings if isinstance(settings, BaseModel) else None


def _members(value: Any) -> dict[str, tuple[Any, BaseModel]]:
    """The values of a mapping of sections or plugins, each with the settings inside; nothing of any other value."""
    if not isinstance(value, Mapping):
        return {}
    return {key: (one, inner) for key, one in value.items() if (inner := _inner(one)) is not None}


def head(value: Any) -> dict[str, Any]:
    """What a plugin has beside its settings: its name, or its weight where the key in a mapping is its name."""
    if not hasattr(value, "settings"):
        return {}
    return {"weight": value.weight} if hasattr(value, "weight") else {"name": value.name}


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `overrides`, section by section; a plugin of another name takes the old one's place."""
    result = dict(base)
    for name, value in overrides.items():
        old = result.get(name)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        replaced = both and "name" in value and value["name"] != old.get("name", value["name"])  # type: ignore[union-attr]
        result[name] = merged(old, value) if both and not replaced else value  # type: ignore[arg-type]
    return result


def taken(model: type[Model], *sections: BaseModel, **values: Any) -> Model:
    """A program's settings, taken from the sections of a recipe that have keys of the same names; `values` win."""
    shared = {
        name: getattr(one, name) for one in sections for name in type(one).model_fields if name in model.model_fields
    }
    return model.model_validate(shared | values)


def given(text: str, option: str) -> dict[str, Any]:
    """The value of `--settings` or `--machine`: a JSON object as it is, or the path of a file that holds one.

    Raises UserError naming the option or the file.
    """
    if text.lstrip().startswith("{"):
        try:
            value = parse_json(text)
        except ValueError as error:
            raise UserError(f"{option}: expected JSON: {error}") from None
    else:
        value = read_json(text)
    if not isinstance(value, dict):
        raise UserError(f"{option}: expected a JSON object, found {type(value).__name__}")
    return value


def read_settings(path: str | Path, model: type[Model]) -> Model:
    """A `settings.json` as its pydantic model; `-` is the standard input.

    Raises UserError with the path of the first wrong field.
    """
    where = "standard input" if str(path) == "-" else str(path)
    try:
        return model.model_validate(given(sys.stdin.read(), where) if str(path) == "-" else read_json(path))
    except ValidationError as error:
        raise UserError(f"{where}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """A validation error in one line: `vas.mix: 1.4 is not in [0, 1]`, further ones after a semicolon."""
    return blotted("; ".join(_describe_one(dict(one)) for one in error.errors()))


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
        limits = " and ".join(f"{words} {context[name]:g}" for name, words in bound.items() if name in context)
        return f"{where}: expected {limits}, found {value!r}"
    message = error["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        names_a_field = re.match(r"[\w.]+(, [\w.]+)*: ", message)
        return f"{where}{'.' if names_a_field else ': '}{message}" if where else message
    return f"{where}: {message}, found {value!r}"
