"""Checkpoint folders: what every program that loads a model asks of one."""

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import AutoProcessor, ProcessorMixin

from mmr1.models.family import family_name
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

# Each with the names it goes by: transformers 5 keeps the image processor's settings in processor_config.json.
NEEDED = (("config.json",), ("tokenizer_config.json",), ("preprocessor_config.json", "processor_config.json"))


def check_checkpoint(folder: str | Path, family: str | None = None) -> None:
    """Raises UserError, naming what is wrong, unless `folder` is a complete Hugging Face checkpoint.

    Asked for: config, tokenizer, image processor, and safetensors weights (one file, or an index and every shard it
    names), each as long as its header says. The tensors themselves are not read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a checkpoint folder, found {'a file' if folder.exists() else 'nothing'}")
    for names in NEEDED:
        if not any((folder / name).is_file() for name in names):
            raise UserError(f"{folder}: expected a checkpoint, found no {' and no '.join(names)}")
    actual = family_name(folder)
    if family not in (None, actual):
        raise UserError(
            f"{folder}: family: expected {family}, found {actual} (`family` of the model's `base` in a recipe)"
        )
    for path in _weight_files(folder):
        _check_weights(path)


def count_weights(folder: Path) -> int:
    """How many numbers a checkpoint's weights are, by the headers of its files."""
    total = 0
    for path in _weight_files(folder):
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return total


def load_processor(folder: str | Path) -> ProcessorMixin:
    """The tokenizer and image processor of a checkpoint, after `check_checkpoint`."""
    check_checkpoint(folder)
    return AutoProcessor.from_pretrained(folder)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise UserError(f"{folder}: expected a checkpoint with weights, found no {WEIGHTS} and no {INDEX}")
    index = read_json(folder / INDEX)
    if not isinstance(index, dict) or not isinstance(index.get("weight_map"), dict):
        raise UserError(f"{folder / INDEX}: weight_map: expected a map from tensors to files")
    return [folder / name for name in sorted(set(index["weight_map"].values()))]


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="pt"):
            pass
    except FileNotFoundError:
        raise UserError(f"{path}: expected weights that the index names, found no such file") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: expected complete safetensors weights: {error}") from None
