"""Ideas that a recipe chooses by name: a name is a file in a folder, and this is the one mechanism for all of them.

`vas/diversities/distinct_2.py` is the diversity `distinct_2`: it is listed because the file is there, checked when the
recipe is read, loaded where it is used, and part of the code digest of the jobs whose recipe names it. What a file of a
folder has to define is said in the folder's `__init__.py`; a file whose name begins with "_" is a helper of the others.

A member may have settings of its own, a class `Settings` (a `Section`); a recipe then writes `{name: …, its keys}`, or
the name alone for the defaults. The workflow reads members in the driver's environment, which has no torch: heavy
libraries are imported inside functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, PlainValidator, SerializationInfo, ValidationError, WithJsonSchema

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.settings import Section, describe, head

PACKAGE = Path(__file__).parent


class NoSettings(Section):
    """The settings of a member that has none."""


class _Weight(Section):
    """What a member counts for among others."""

    weight: float = Field(1.0, ge=0)


@cache
def names(folder: str) -> tuple[str, ...]:
    """The members of a folder under `scripts/mmr1/`, such as "vas/diversities": its files' names, sorted."""
    return tuple(sorted(file.stem for file in (PACKAGE / folder).glob("*.py") if not file.name.startswith("_")))


def load(folder: str, name: str) -> ModuleType:
    """A member's module. Raises UserError naming the folder's members if it is none of them."""
    if name not in names(folder):
        raise UserError(f"{folder}: expected one of {', '.join(names(folder))}, found {name!r}")
    return import_module(f"mmr1.{folder.replace('/', '.')}.{name}")


def settings_class(folder: str, name: str) -> type[Section]:
    """The class of a member's settings."""
    return getattr(load(folder, name), "Settings", NoSettings)


@dataclass(frozen=True)
class Plugin:
    """A member that a recipe has chosen, with its settings."""

    folder: str
    name: str
    settings: Section

    @property
    def module(self) -> ModuleType:
        """The member's module."""
        return load(self.folder, self.name)

    @property
    def file(self) -> str:
        """The member's file, as a path under `scripts/`."""
        return f"mmr1/{self.folder}/{self.name}.py"


@dataclass(frozen=True)
class Weighted(Plugin):
    """A member that counts with a weight among others of its folder."""

    weight: float


def choice(folder: str) -> Any:
    """The type of a settings field that names a member of `folder`: "name", or {name: …, the member's settings}."""
    return Annotated[
        Plugin,
        PlainValidator(lambda value: chosen(folder, value)),
        PlainSerializer(_dumped),
        WithJsonSchema(_schema(folder)),
    ]


def weights(folder: str, always: tuple[str, ...] = ()) -> Any:
    """The type of a settings field that weighs members of `folder`: {name: number}, or {name: {weight: …, its keys}}.

    Its value is a dict of names to `Weighted`: first those of `always`, with the weight 0 where none is given, then the
    others by name, so that sums do not depend on the order in which they were written.
    """
    return Annotated[
        dict[str, Weighted],
        PlainValidator(lambda value: _weighted(folder, always, value)),
        PlainSerializer(lambda value, info: {name: _dumped(one, info) for name, one in value.items()}),
        WithJsonSchema(_weights_schema(folder)),
    ]


def _weighted(folder: str, always: tuple[str, ...], value: Any) -> dict[str, Weighted]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a weight for each of some of {', '.join(names(folder))}, found {value!r}")
    values = dict.fromkeys(always, 0.0) | value
    others = sorted(name for name in values if name not in always)
    return {name: _one_weighted(folder, name, values[name]) for name in (*always, *others)}


def _one_weighted(folder: str, name: str, value: Any) -> Weighted:
    if isinstance(value, Weighted):
        return value
    if name not in names(folder):
        raise ValueError(f"expected names among {', '.join(names(folder))}, found {name!r}")
    given = dict(value) if isinstance(value, dict) else {"weight": value}
    weight = {"weight": given.pop("weight")} if "weight" in given else {}
    try:
        settings = settings_class(folder, name).model_validate(given)
        return Weighted(folder, name, settings, _Weight.model_validate(weight).weight)
    except ValidationError as error:
        raise ValueError("; ".join(f"{name}.{one}" for one in describe(error).split("; "))) from None


def chosen(folder: str, value: Any) -> Plugin:
    if isinstance(value, Plugin):
        return value
    given = {"name": value} if isinstance(value, str) else value
    name = given.get("name") if isinstance(given, dict) else None
    if name not in names(folder):
        wanted = value if name is None else name
        raise ValueError(
            f"expected one of {', '.join(names(folder))} (alone, or as `name` of a section), found {wanted!r}"
        )
    try:
        settings = settings_class(folder, name).model_validate(
            {key: item for key, item in given.items() if key != "name"}
        )
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    return Plugin(folder, name, settings)


def _dumped(plugin: Plugin, info: SerializationInfo) -> dict[str, Any]:
    return head(plugin) | plugin.settings.model_dump(mode="json", exclude_unset=info.exclude_unset)


def _schema(folder: str) -> dict[str, Any]:
    members = [member_schema(folder, name, {"name": {"const": name}}, ["name"]) for name in names(folder)]
    return {"anyOf": [{"enum": list(names(folder))}, *members]}


def _weights_schema(folder: str) -> dict[str, Any]:
    weight = _Weight.model_json_schema()["properties"]["weight"]
    members = {name: {"anyOf": [weight, member_schema(folder, name, {"weight": weight}, [])]} for name in names(folder)}
    return {"type": "object", "properties": members, "additionalProperties": False}


def member_schema(
    folder: str, name: str, keys: Mapping[str, Any] | None = None, required: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON schema of a member's settings, with further keys before them."""
    schema = settings_class(folder, name).model_json_schema()
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)
    schema["properties"] = {**(keys or {})} | schema.get("properties", {})
    schema["required"] = [*required, *schema.get("required", [])]
    return _inlined(schema, definitions)


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A JSON schema with its local definitions in the places that refer to them: a member's schema stands alone."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _inlined(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions) | rest
    return {key: _inlined(value, definitions) for key, value in schema.items()}
