"""Supervised fine-tuning: it learns the responses only, keeps the best checkpoint, and goes on where it was killed."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmr1 import digits
from mmr1.files import read_jsonl
from mmr1.problems import Problem
from mmr1.prompts import PromptEncoder
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import IGNORED, Collator, Conversations, train_sft

SETTINGS = SFTSettings(
    epochs=1,
    batch_size=4,
    micro_batch_size=2,
    learning_rate=3e-3,
    cutoff=128,
    precision="fp32",
    gradient_checkpointing=False,
    save_every=2,
    evaluate_every=2,
)


@pytest.fixture(scope="module")
def pairs(digit_problems: list[Problem]) -> list[tuple[Problem, str]]:
    return [(problem, digits.worked_response(problem)) for problem in digit_problems]


def train(model: Path, pairs: list[tuple[Problem, str]], folder: Path) -> dict[str, float]:
    return train_sft(
        model, pairs, pairs[:4], SETTINGS, "Think.", 0, folder / "work", folder / "out", folder / "metrics.jsonl"
    )


@pytest.fixture(scope="module")
def straight(tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    train(tiny_model_dir, pairs, folder)
    return folder


def test_only_the_response_is_learned(tiny_model_dir: Path, pairs: list[tuple[Problem, str]]) -> None:
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    data = Conversations(pairs, PromptEncoder(processor, "Think."), cutoff=128)
    item = data[7]
    learned = item["labels"][item["labels"] != IGNORED]
    assert processor.tokenizer.decode(learned) == pairs[7][1] + "<|im_end|>"
    batch = Collator(processor.tokenizer.pad_token_id, processor.image_token_id)(data.__getitems__([0, 7]))
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    images = sum(len(pairs[i][0].images) for i in (0, 7))
    assert len(batch["image_grid_thw"]) == int(batch["mm_token_type_ids"].sum()) == images


def test_the_checkpoint_loads_and_learned_something(straight: Path, tiny_model_dir: Path) -> None:
    trained = AutoModelForImageTextToText.from_pretrained(straight / "out").state_dict()
    base = AutoModelForImageTextToText.from_pretrained(tiny_model_dir).state_dict()
    assert trained.keys() == base.keys()
    assert all(not torch.equal(trained[name], base[name]) for name in trained if name.endswith("proj.weight"))
    rows = read_jsonl(straight / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[3]["loss"] < rows[0]["loss"]
    assert not (straight / "out" / "training_args.bin").exists()


def test_the_best_checkpoint_is_the_one_that_is_kept(straight: Path) -> None:
    losses = {row["step"]: row["eval_loss"] for row in read_jsonl(straight / "metrics.jsonl") if "eval_loss" in row}
    best = min(losses, key=lambda step: losses[step])
    kept, saved = (
        load_file(folder / "model.safetensors") for folder in (straight / "out", straight / f"work/checkpoint-{best}")
    )
    assert kept.keys() == saved.keys()
    assert all(torch.equal(kept[name], saved[name]) for name in kept)


def test_a_killed_run_goes_on_from_its_state_to_the_same_weights(
    straight: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    shutil.copytree(straight / "work" / "checkpoint-2", tmp_path / "work" / "checkpoint-2")
    train(tiny_model_dir, pairs, tmp_path)
    resumed, whole = (load_file(folder / "out" / "model.safetensors") for folder in (tmp_path, straight))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
