"""The recipe's reference page: every key with its kind, range, default and meaning, from the recipe's own schema."""

from collections.abc import Iterator
from typing import Any

INTRODUCTION = """# Every key of a recipe

Written by `make format` from the recipe's own models, and held by `make lint`. A key in dots is a key in a section:
`vas.mix` is `vas: {mix: 0.5}`, on the command line `--config 'vas={mix: 0.5}'`. Where a key names a plugin, its own
settings follow below it: `vas.refresh` (stale) `share` is `vas: {refresh: {name: stale, share: 0.5}}`.
`models.<name>.overrides` and `runs.<name>` take sections again. Keys in a section `machine`, `resources` without
`threads`, and addresses change no number and make nothing due. Values that the paper fixes are in
[config/mmr1.yaml](../config/mmr1.yaml), each with its source.
"""

# What a changed key makes due, by section.
DUE = {
    "prompts": "what reads the prompt: SFT, rollouts and training (`training`), predictions (`evaluation`)",
    "sft": "the cold start and all that follows",
    "schedule": "schedules and training; `update_every` all rounds",
    "vas": "scores (`samples`, `temperature`, `top_p`: their rollouts too), schedules, training",
    "rollout": "rollouts for scores and predictions, and what follows",
    "grpo": "training and what follows",
    "validation": "training and what follows",
    "evaluation": "predictions (`temperature`, `top_p`, `n`, `max_tokens`) or verdicts, tables, report",
    "resources": "nothing; `threads` what runs with that number of them",
    "data": "the data and all that follows",
    "models": "what is made of that model",
    "runs": "what is made of that run",
}
TOP = {
    "name": "another results folder",
    "mlflow": "the export",
    "keep_states": "nothing",
    "seeds": "what a new seed adds",
}


def page(schema: dict[str, Any]) -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    definitions = schema["$defs"]
    plain = [name for name in schema["properties"] if not _is_section(schema["properties"][name], definitions)]
    parts.append(_section("At the top", plain, schema, definitions, None))
    for name in schema["properties"]:
        if name not in plain:
            parts.append(_section(f"`{name}`", [name], schema, definitions, DUE.get(name)))
    return "\n".join(parts)


def _section(title: str, names: list[str], schema: dict[str, Any], definitions: Any, due: str | None) -> str:
    lines = [f"## {title}"]
    if due:
        lines.append(f"A change makes due: {due}.")
    head = ["key", "kind", "default", "meaning"]
    lines += ["", f"| {' | '.join(head)} |", "| --- | --- | --- | --- |"]
    required = set(schema.get("required", []))
    for name in names:
        for row in _rows(name, schema["properties"][name], definitions, name in required):
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def _rows(key: str, field: dict[str, Any], definitions: Any, required: bool) -> Iterator[tuple[str, str, str, str]]:
    """A key's row and those of the keys inside it."""
    inner = _resolved(field, definitions)
    if "properties" in inner and "const" not in inner["properties"].get("name", {}):
        yield from _properties(f"{key}.", inner, definitions)
        return
    meaning = field.get("description", inner.get("description", "")).replace("|", "\\|").replace("\n", " ")
    if key in TOP:
        meaning += f" (a change makes due: {TOP[key]})"
    yield f"`{key}`", _kind(field, definitions), _default(field, required), meaning
    for chosen in _options(field, definitions):
        name = chosen.get("properties", {}).get("name", {}).get("const")
        if name is not None:
            inside = {**chosen, "properties": {k: v for k, v in chosen["properties"].items() if k != "name"}}
            yield from _properties(f"{key}` ({name}) `", inside, definitions)
        elif "properties" in chosen:
            yield from _properties(f"{key}.", chosen, definitions)
    more = field.get("additionalProperties")
    if isinstance(more, dict):
        below = _resolved(more, definitions)
        if "properties" in below:
            yield from _properties(f"{key}.<name>.", below, definitions)


def _properties(prefix: str, section: dict[str, Any], definitions: Any) -> Iterator[tuple[str, str, str, str]]:
    required = set(section.get("required", []))
    for name, field in section["properties"].items():
        yield from _rows(f"{prefix}{name}", field, definitions, name in required)


def _options(field: dict[str, Any], definitions: Any) -> Iterator[dict[str, Any]]:
    """What a key may be, whatever the depth of the choices."""
    for option in field.get("anyOf", field.get("oneOf", [])):
        chosen = _resolved(option, definitions)
        if "anyOf" in chosen or "oneOf" in chosen:
            yield from _options(chosen, definitions)
        else:
            yield chosen


def _resolved(field: dict[str, Any], definitions: Any) -> dict[str, Any]:
    return definitions[field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def _is_section(field: dict[str, Any], definitions: Any) -> bool:
    return bool({"properties", "additionalProperties", "anyOf"} & _resolved(field, definitions).keys()) and (
        field.get("type") != "array" and not _scalar(field)
    )


def _scalar(field: dict[str, Any]) -> bool:
    kinds = {option.get("type") for option in field.get("anyOf", [])}
    return bool(kinds) and kinds <= {"string", "integer", "number", "boolean", "null"}


def _kind(field: dict[str, Any], definitions: Any) -> str:
    """A key's type and range in a few words."""
    if options := list(_options(field, definitions)):
        kinds = [_kind(option, definitions) for option in options if "properties" not in option]
        sections = [option for option in options if "properties" in option]
        if any("const" not in option["properties"].get("name", {}) for option in sections):
            kinds.insert(0, "a section")
        return " or ".join(dict.fromkeys(filter(None, kinds)))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = {"array": "a list", "object": "a mapping", "null": "null"}.get(
        field.get("type", ""), field.get("type", "any")
    )
    return f"{kind} {bounds}" if (bounds := _bounds(field)) else kind


def _bounds(field: dict[str, Any]) -> str:
    low = (
        f"≥ {field['minimum']}"
        if "minimum" in field
        else f"> {field['exclusiveMinimum']}"
        if "exclusiveMinimum" in field
        else ""
    )
    high = (
        f"≤ {field['maximum']}"
        if "maximum" in field
        else f"< {field['exclusiveMaximum']}"
        if "exclusiveMaximum" in field
        else ""
    )
    return ", ".join(filter(None, (low, high)))


def _default(field: dict[str, Any], required: bool) -> str:
    if required:
        return "needed"
    if "default" not in field:
        return ""
    value = field["default"]
    if isinstance(value, dict) and value.keys() == {"name"}:  # a plugin, at its defaults
        value = value["name"]
    return f"`{str(value).lower() if isinstance(value, bool) else 'null' if value is None else value}`"
