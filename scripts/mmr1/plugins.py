"""Ideas that a recipe chooses by name: a name is a file in a folder, and this is the one mechanism for all of them.

`vas/diversities/distinct_2.py` is the diversity `distinct_2`: it is listed because the file is there, checked when the
recipe is read, loaded where it is used, and part of the code digest of the jobs whose recipe names it. What a file of a
folder has to define is said in the folder's `__init__.py`; a file whose name begins with "_" is a helper of the others.

A member may have settings of its own, a class `Settings` (a `Section`); a recipe then writes `{name: …, its keys}`, or
the name alone for the defaults. The workflow reads members in the driver's environment, which has no torch: heavy
libraries are imported inside functions.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, SerializationInfo, ValidationError, WithJsonSchema

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.settings import Section, describe

PACKAGE = Path(__file__).parent


class NoSettings(Section):
    """The settings of a member that has none."""


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


def choice(folder: str) -> Any:
    """The type of a settings field that names a member of `folder`: "name", or {name: …, the member's settings}."""
    return Annotated[
        Plugin,
        PlainValidator(lambda value: _chosen(folder, value)),
        PlainSerializer(_dumped),
        WithJsonSchema(_schema(folder)),
    ]


def _chosen(folder: str, value: Any) -> Plugin:
    if isinstance(value, Plugin):
        return value
    given = {"name": value} if isinstance(value, str) else value
    name = given.get("name") if isinstance(given, dict) else None
    if name not in names(folder):
        found = value if name is None else name
        raise ValueError(
            f"expected one of {', '.join(names(folder))} (alone, or as `name` of a section), found {found!r}"
        )
    try:
        settings = settings_class(folder, name).model_validate(
            {key: item for key, item in given.items() if key != "name"}
        )
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    return Plugin(folder, name, settings)


def _dumped(plugin: Plugin, info: SerializationInfo) -> dict[str, Any]:
    return {"name": plugin.name} | plugin.settings.model_dump(mode="json", exclude_unset=info.exclude_unset)


def _schema(folder: str) -> dict[str, Any]:
    members = []
    for name in names(folder):
        schema = settings_class(folder, name).model_json_schema()
        definitions = schema.pop("$defs", {})
        schema.pop("description", None)
        schema["properties"] = {"name": {"const": name}} | schema.get("properties", {})
        schema["required"] = ["name", *schema.get("required", [])]
        members.append(_inlined(schema, definitions))
    return {"anyOf": [{"enum": list(names(folder))}, *members]}


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
