"""A checkpoint folder is complete, or one line says what it lacks."""

import json
import shutil
from pathlib import Path

import pytest

from mmr1.models.checkpoints import check_checkpoint
from mmr1.plumbing.errors import UserError


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "checkpoint"))


def test_complete(folder: Path) -> None:
    check_checkpoint(folder)


def test_sharded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    check_checkpoint(folder)
    index["weight_map"]["model.norm.weight"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors: .* no such file"):
        check_checkpoint(folder)


def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: expected a checkpoint folder, found nothing"):
        check_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json", "processor_config.json"])
def test_file_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"checkpoint: expected a checkpoint.*, found no .*{name}"):
        check_checkpoint(folder)


def test_weights_cut_short(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors: expected complete safetensors weights"):
        check_checkpoint(folder)


def test_another_architecture(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UserError, match=r"config\.json: model_type: expected .*qwen2_5_vl.*, found llama"):
        check_checkpoint(folder)
