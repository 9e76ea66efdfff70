"""A program's settings on its command line: `--settings` and `--machine` as a rule gives them, and a flag for each key.

Settings are declared once, as a pydantic model beside the code that reads them. A rule hands them over as JSON; by hand
a flag is shorter. Later ones win: the model's defaults, `--settings`, `--machine`, flags.
"""

import argparse
from collections.abc import Iterator
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.record import PREFIX
from mmr1.plumbing.settings import Machine, Section, describe, given, merged

Settings = TypeVar("Settings", bound=Section)


def add_settings_arguments(parser: argparse.ArgumentParser, model: type[Section]) -> None:
    """Add `--settings`, `--machine` and a flag for each key of `model`, and for each key of its machine section."""
    group = parser.add_argument_group("settings", "as in a recipe; a flag goes before what --settings says")
    group.add_argument("--settings", dest=f"{PREFIX}settings", metavar="JSON", help="a JSON object, or a file of one")
    group.add_argument(
        "--machine", dest=f"{PREFIX}machine", metavar="JSON", help="the same, of what only fits a machine"
    )
    for path, field in _keys(model):
        flag, help_text = f"--{path[-1].replace('_', '-')}", _help(field)
        if field.annotation is bool:
            group.add_argument(
                flag, dest=PREFIX + ".".join(path), action=argparse.BooleanOptionalAction, default=None, help=help_text
            )
        else:
            read = _read_text if field.annotation in (str, str | None) else _read
            group.add_argument(
                flag, dest=PREFIX + ".".join(path), type=read, metavar=path[-1].upper()[:1], help=help_text
            )


def settings_of(args: argparse.Namespace, model: type[Settings]) -> Settings:
    """The checked settings of a program whose parser has them. Raises UserError that names file and key."""
    values: dict[str, Any] = {}
    for option in ("settings", "machine"):
        if (text := getattr(args, PREFIX + option)) is not None:
            values = merged(values, given(text, f"--{option}"))
    for name, value in vars(args).items():
        if name.startswith(PREFIX) and value is not None and name.removeprefix(PREFIX) not in ("settings", "machine"):
            for key in reversed(name.removeprefix(PREFIX).split(".")):
                value = {key: value}
            values = merged(values, value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        file = getattr(args, f"{PREFIX}settings") or "{"
        raise UserError(describe(error) if file.startswith("{") else f"{file}: {describe(error)}") from None


def _keys(model: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """The keys that have a flag: those of the model itself and of its machine section, as no two share a name.

    What holds keys of its own, a section or a mapping, has none.
    """
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Machine):
            yield from _keys(kind, (*path, name))
        elif not (isinstance(kind, type) and issubclass(kind, Section)) and get_origin(kind) is not dict:
            yield (*path, name), field


def _help(field: FieldInfo) -> str:
    default = "" if field.is_required() else f" (default {field.get_default(call_default_factory=True)})"
    return f"{field.description or ''}{default}".strip().replace("%", "%%")


def _read(text: str) -> Any:
    """A flag's text as YAML, as it would stand in a recipe: numbers, lists, null, {name: …}."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # no YAML, a number too long or lists too deep for Python
        return text


def _read_text(text: str) -> str | None:
    """The text of a key that is text, for a revision `6628554` is no number; `null` is none."""
    return None if text == "null" else text
