"""Which family a checkpoint, a config or a processor is of."""

import re
from functools import cache
from pathlib import Path
from typing import Any

from mmr1.models.families import Family
from mmr1.plugins import load, names
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json

FOLDER = "models/families"


def family(name: str) -> Family:
    """A family by its name. Raises UserError if there is none of this name."""
    return load(FOLDER, name).FAMILY


def family_of(config: Any) -> Family:
    """The family of a model, from its transformers config."""
    return family(_by_model_type()[config.model_type])


def family_of_processor(processor: Any) -> Family:
    """The family of a processor, from its class."""
    kind = type(processor).__name__
    return next(one for name in names(FOLDER) if kind in (one := family(name)).PROCESSORS)


def family_name(folder: str | Path) -> str:
    """The name of a checkpoint's family, from its config.json. Raises UserError if none serves it."""
    path = Path(folder) / "config.json"
    config = read_json(path)
    model_type = config.get("model_type") if isinstance(config, dict) else type(config).__name__
    known = _by_model_type()
    if model_type not in known:
        raise UserError(f"{path}: model_type: expected {' or '.join(sorted(known))}, found {model_type}")
    return known[model_type]


def family_file(folder: str | Path) -> str:
    """The file of a checkpoint's family, as a path under `scripts/`: a part of the code that computes with it."""
    return f"mmr1/{FOLDER}/{family_name(folder)}.py"


@cache
def special_texts() -> re.Pattern[str]:
    """Matches what a tokenizer of any family reads as a special token wherever it stands in a text."""
    texts = {text for name in names(FOLDER) for text in family(name).SPECIAL}
    return re.compile("|".join(map(re.escape, sorted(texts))))


@cache
def _by_model_type() -> dict[str, str]:
    return {kind: name for name in names(FOLDER) for kind in family(name).MODEL_TYPES}
