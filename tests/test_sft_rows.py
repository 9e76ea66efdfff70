"""Rows of whole conversations: each counts as it does alone, ranks seldom wait, a killed run ends in the same bits."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.utils.data import RandomSampler
from transformers import AutoModelForImageTextToText, AutoProcessor

from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.images import open_image, shown_size
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.freezing import part_of
from mmr1.models.tiny import TinyArchitecture, build
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, read_jsonl
from mmr1.plumbing.interruption import Interrupted, Interruption
from mmr1.sft.conversations import Collator, Conversations
from mmr1.sft.cutoff import count_tokens
from mmr1.sft.packing import EqualLengths, pack
from mmr1.sft.rows import RowCollator, Rows, learn_rows
from mmr1.sft.settings import SFTMachine, SFTSettings
from mmr1.sft.train import train_sft
from test_sft import SETTINGS, train, weights, without_images

ALONE = SETTINGS.model_copy(update={"micro_batch_size": 1})
PACKED = ALONE.model_copy(update={"packing": 256, "batch_size": 2, "epochs": 2, "save_every": 1, "evaluate_every": 1})


@pytest.fixture(scope="module")
def pairs(digit_problems: list[Problem]) -> list[tuple[Problem, str]]:
    worked = [(problem, digits.worked_response(problem)) for problem in digit_problems]
    return [*worked[:12], *without_images(worked[12:])]


@pytest.fixture(scope="module")
def packed(tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    train(tiny_model_dir, pairs, folder, settings=PACKED)
    return folder


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_conversation_in_a_row_has_the_loss_and_the_gradient_that_it_has_alone(
    family: str, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    build(tmp_path / "model", TinyArchitecture.model_validate({"family": family}), seed=0)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    data = Conversations(pairs, PromptEncoder(processor, "Think."), cutoff=128)
    members = [0, 12, 3, 7, 15, 5]  # two of them without an image
    collate = Collator(processor.tokenizer.pad_token_id, model)
    losses = [model(**collate([data[member]])).loss for member in members]
    sum(losses).backward()
    alone = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()

    learn_rows(model)
    (row,) = Rows(data, [members]).__getitems__([0])
    batch = RowCollator(model)([row])
    model(**batch).backward()
    first = 0
    for loss, item in zip(losses, row, strict=True):
        learned = int((item["labels"] >= 0).sum())
        shares = torch.zeros_like(batch["shares"])
        shares[first : first + learned] = 1 / learned
        torch.testing.assert_close(model(**{**batch, "shares": shares}), loss)
        first += learned
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.grad, alone[name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_step_of_packed_rows_is_the_step_of_the_same_conversations_one_by_one(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """All conversations in one step: 16 forward passes, and the rows that they fill."""
    at_once = {"save_every": 1, "evaluate_every": 1}
    train(tiny_model_dir, pairs, tmp_path / "alone", settings=ALONE.model_copy(update={"batch_size": 16, **at_once}))
    rows = len(pack(lengths_of(tiny_model_dir, pairs), 256, seed=0))
    assert 2 <= rows <= 5
    settings = ALONE.model_copy(update={"packing": 256, "batch_size": rows, **at_once})
    train(tiny_model_dir, pairs, tmp_path / "packed", settings=settings)
    (alone,), (packed,) = (read_jsonl(tmp_path / name / "metrics.jsonl") for name in ("alone", "packed"))
    assert packed == pytest.approx(alone, rel=1e-5)
    one, other = (load_file(tmp_path / name / "out/model.safetensors") for name in ("alone", "packed"))
    assert one.keys() == other.keys()
    assert read_json(tmp_path / "packed/out/config.json") == read_json(tmp_path / "alone/out/config.json")


def lengths_of(model: Path, pairs: list[tuple[Problem, str]]) -> list[int]:
    encoder = PromptEncoder(AutoProcessor.from_pretrained(model), "Think.")
    return [prompt + answer for prompt, answer in count_tokens("pairs", pairs, encoder, range(len(pairs)))]


def test_the_tokens_that_are_counted_before_training_are_those_that_are_trained_on(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]]
) -> None:
    data = Conversations(pairs, PromptEncoder(AutoProcessor.from_pretrained(tiny_model_dir), "Think."), cutoff=1000)
    assert lengths_of(tiny_model_dir, pairs) == [len(item["input_ids"]) for item in data.__getitems__([*range(16)])]
    for problem, _ in pairs:
        for image in problem.images:
            assert shown_size(image) == (open_image(image).height, open_image(image).width)


def test_every_conversation_is_in_one_row_and_no_row_is_longer_than_its_budget() -> None:
    lengths = simulated(10_000)
    rows = pack(lengths, 16_384, seed=3)
    assert sorted(member for row in rows for member in row) == list(range(len(lengths)))
    assert max(sum(lengths[member] for member in row) for row in rows) <= 16_384
    assert rows == pack(lengths, 16_384, seed=3) != pack(lengths, 16_384, seed=4)


@pytest.mark.parametrize("ranks", [32, 64])
@pytest.mark.parametrize("sigma", [0.6, 0.9])
def test_ranks_wait_for_less_than_a_twentieth_of_the_tokens(ranks: int, sigma: float) -> None:
    """Lengths as in the paper's data are thought to be: about 3,000 tokens, log-normal, cut at 16,384."""
    lengths = simulated(100_000, sigma)
    rows = [sum(lengths[member] for member in row) for row in pack(lengths, 16_384, seed=0)]
    assert waited([rows[row] for row in RandomSampler(rows, generator=torch.Generator())], ranks) < 0.05
    alike = EqualLengths(lengths, batch_size=128, seed=0)
    assert waited([lengths[one] for one in alike], ranks) < 0.05
    assert waited(lengths, ranks) > 0.6  # one conversation a rank, as they come


def simulated(count: int, sigma: float = 0.9) -> list[int]:
    random = np.random.default_rng(0)
    mean = 3000
    lengths = random.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)
    return np.clip(lengths, 64, 16_384).astype(int).tolist()


def waited(lengths: Sequence[int], ranks: int) -> float:
    """The share of the ranks' tokens that are nobody's: each waits for the longest of those that run at a time."""
    turns = np.asarray(lengths[: len(lengths) // ranks * ranks]).reshape(-1, ranks)
    return 1 - turns.sum() / (ranks * turns.max(axis=1).sum())


def test_batches_of_one_length_come_in_another_order_each_epoch() -> None:
    lengths = simulated(1000)
    order = EqualLengths(lengths, batch_size=16, seed=0)
    first = [*order]
    assert sorted(first) == list(range(1000))
    order.set_epoch(1)
    assert [*order] != first
    order.set_epoch(0)
    assert [*order] == first


def test_a_killed_run_on_packed_rows_goes_on_to_the_same_weights_whoever_reads_ahead(
    packed: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """Stopped after each step of two epochs, with a process that reads ahead; the run that was not had none."""
    reading = PACKED.model_copy(update={"machine": SFTMachine(loader_workers=1)})
    steps = [row["step"] for row in read_jsonl(packed / "metrics.jsonl")]
    assert steps == [1, 2, 3, 4]
    for done in steps[:-1]:
        with pytest.raises(Interrupted, match=f"saved with {done} steps done"):
            train(tiny_model_dir, pairs, tmp_path, Interruption(minutes=0), settings=reading)
    train(tiny_model_dir, pairs, tmp_path, settings=reading)
    assert weights(tmp_path) == weights(packed)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (packed / "metrics.jsonl").read_bytes()


def test_conversations_of_one_length_learn_and_go_on_to_the_same_weights(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """Stopped in the second epoch, whose order is another."""
    steps = {"batch_size": 8, "epochs": 2, "save_every": 1, "evaluate_every": 1}
    settings = SETTINGS.model_copy(update={"group_by_length": True, **steps})
    train(tiny_model_dir, pairs, tmp_path / "straight", settings=settings)
    shutil.copytree(tmp_path / "straight/work/checkpoint-3", tmp_path / "stopped/work/checkpoint-3")
    train(tiny_model_dir, pairs, tmp_path / "stopped", settings=settings)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "straight")
    assert read_jsonl(tmp_path / "stopped/metrics.jsonl") == read_jsonl(tmp_path / "straight/metrics.jsonl")


def test_an_image_that_a_reader_ahead_cannot_decode_is_one_line(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    problem, response = pairs[3]
    half = replace(problem, question="<image>?", images=(problem.images[0][:-30],))
    write_conversations(tmp_path / "train.parquet", [*pairs[:3], (half, response), *pairs[4:]])
    rows = ConversationFile(tmp_path / "train.parquet", decoded=0)
    settings = ALONE.model_copy(update={"machine": SFTMachine(loader_workers=2)})
    files = tmp_path / "work", tmp_path / "out", tmp_path / "metrics.jsonl"
    with pytest.raises(UserError) as caught:
        train_sft(tiny_model_dir, rows, pairs[:4], settings, None, 0, *files, Interruption(), {})
    assert str(caught.value).startswith(f"{tmp_path}/train.parquet: row 3: images[0]: expected an image, found")
    assert "\n" not in str(caught.value)


def test_an_image_is_decoded_once_to_be_trained_on_and_never_to_be_counted(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_conversations(tmp_path / "train.parquet", pairs)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(tiny_model_dir), None, cache_bytes=0)
    rows = ConversationFile(tmp_path / "train.parquet", decoded=0)
    decoded: list[bytes] = []

    def counted(data: bytes) -> Image.Image:
        decoded.append(data)
        return open_image(data)

    for module in ("problems", "prompts"):
        monkeypatch.setattr(f"mmr1.data.{module}.open_image", counted)
    count_tokens("train", rows, encoder, range(len(rows)))
    assert not decoded
    Conversations(rows, encoder, cutoff=128).__getitems__([*range(len(rows))])
    assert decoded == [image for problem, _ in pairs for image in problem.images]


def test_an_image_whose_size_cannot_be_read_is_named_where_lengths_are_counted(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    problem, response = pairs[3]
    none = replace(problem, question="<image>?", images=(b"PNG",))
    write_conversations(tmp_path / "train.parquet", [*pairs[:3], (none, response)])
    rows = ConversationFile(tmp_path / "train.parquet", decoded=0)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(tiny_model_dir))
    with pytest.raises(UserError, match=r"train\.parquet: row 3: images\[0\]: expected an image, found 3 bytes"):
        count_tokens("train", rows, encoder, range(4))


def test_processes_that_read_ahead_outlive_a_signal_to_all_and_end_with_the_trainer() -> None:
    program = """
import os, signal
from torch.utils.data import DataLoader
from mmr1.sft.readers import outlive_signals
items = iter(DataLoader(range(8), num_workers=2, worker_init_fn=outlive_signals))
first = [next(items), next(items)]
for reader in items._workers:
    os.kill(reader.pid, signal.SIGTERM)
print([int(item) for item in [*first, *(next(items) for _ in range(4))]])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.split("\n")[0] == "[0, 1, 2, 3, 4, 5]"


def test_more_rows_a_step_than_the_conversations_fill_is_one_line(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    settings = PACKED.model_copy(update={"batch_size": 16})
    expected = r"batch_size: expected at most \d, the rows of 256 tokens that 16 conversations fill, found 16"
    with pytest.raises(UserError, match=expected):
        train(tiny_model_dir, pairs, tmp_path, settings=settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"packing": 100}, "packing: expected at least cutoff"),
        ({"packing": 128, "micro_batch_size": 2}, "micro_batch_size: expected 1 row with packing, found 2"),
        ({"packing": 128, "group_by_length": True}, "group_by_length: expected false with packing, found true"),
    ],
)
def test_settings_that_exclude_each_other_are_told(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SFTSettings.model_validate({"cutoff": 128, **values})


@pytest.mark.parametrize("frozen", [["vision", "projector"], ["vision"]])
def test_frozen_parts_stay_as_they_are_and_the_others_learn(
    frozen: list[str], tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    settings = PACKED.model_copy(update={"freeze": frozen, "epochs": 1})
    train(tiny_model_dir, pairs, tmp_path, settings=settings)
    base, trained = (load_file(folder / "model.safetensors") for folder in (tiny_model_dir, tmp_path / "out"))
    same = {part_of(name) for name in base if torch.equal(base[name], trained[name])}
    moved = {part_of(name) for name in base if not torch.equal(base[name], trained[name])}
    assert same >= set(frozen)
    assert moved == {"vision", "projector", "language"} - set(frozen)
