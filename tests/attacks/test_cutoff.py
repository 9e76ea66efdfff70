"""SFT's cutoff: it shortens responses, counts what it does, and never cuts a prompt or leaves nothing to learn."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.problems import IMAGE_MARK, Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_jsonl
from mmr1.plumbing.interruption import Interruption
from mmr1.sft.conversations import IGNORED, Conversations
from mmr1.sft.cutoff import fit
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import train_sft

Pairs = list[tuple[Problem, str]]


@pytest.fixture(scope="module")
def encoder(tiny_model_dir: Path) -> PromptEncoder:
    return PromptEncoder(load_processor(tiny_model_dir), "Think.", cache_bytes=0)


@pytest.fixture(scope="module")
def pairs(digit_problems: list[Problem]) -> Pairs:
    return [(problem, digits.worked_response(problem)) for problem in digit_problems]


def measured(pairs: Pairs, encoder: PromptEncoder) -> list[tuple[int, int]]:
    """The tokens of each prompt, and of each response with its end, from what the processor makes of them."""
    tokenizer = encoder.processor.tokenizer
    return [
        (len(encoder.encode(problem).input_ids), len(tokenizer(response, add_special_tokens=False).input_ids) + 1)
        for problem, response in pairs
    ]


@pytest.mark.parametrize("position", ["system", "user"])
def test_what_is_left_out_and_what_is_cut_is_what_the_tokens_say(
    tiny_model_dir: Path, pairs: Pairs, tmp_path: Path, position: str
) -> None:
    encoder = PromptEncoder(load_processor(tiny_model_dir), "Think.", position, max_pixels=28 * 28)
    listed = [(replace(pairs[0][0], choices=("one", "two")), "\\boxed{A}"), *pairs]
    named = [(replace(problem, id=str(number)), response) for number, (problem, response) in enumerate(listed)]
    write_conversations(tmp_path / "c.parquet", named)
    tokens = measured(listed, encoder)
    shortest = min(prompt for prompt, _ in tokens)
    for cutoff in range(shortest + 1, max(map(sum, tokens)) + 2):
        found = fit("conversations", listed, encoder, cutoff)
        assert list(found.kept) == [number for number, (prompt, _) in enumerate(tokens) if prompt < cutoff]
        assert found.left_out == len(tokens) - len(found.kept)
        assert found.cut == sum(prompt < cutoff < prompt + answer for prompt, answer in tokens)
        if cutoff % 9 == 0:  # images are read only where the texts do not decide
            assert fit("conversations", ConversationFile(tmp_path / "c.parquet"), encoder, cutoff) == found


@settings(max_examples=15)
@given(st.text(max_size=30), st.integers(0, 3), st.text(min_size=1, max_size=40), st.integers(20, 120))
def test_every_item_learns_something_and_holds_all_tokens_of_its_images(
    encoder: PromptEncoder, digit_problems: list[Problem], words: str, images: int, response: str, cutoff: int
) -> None:
    words = words.replace(IMAGE_MARK, "").replace("<|", "")
    odd = replace(digit_problems[0], question=IMAGE_MARK * images + words, images=digit_problems[0].images[:1] * images)
    rows = [(odd, response.replace("<|", "")), (replace(digit_problems[0], id="short", question="?", images=()), "4")]
    found = fit("conversations", rows, encoder, cutoff)
    data = Conversations(rows, encoder, cutoff, found.kept)
    assert len(data) == len(found.kept) >= 1
    token = encoder.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    for item in data:
        assert len(item["input_ids"]) == len(item["labels"]) <= cutoff
        assert (item["labels"] != IGNORED).any()
        features = 0 if item["image_grid_thw"] is None else int(item["image_grid_thw"].prod(-1).sum()) // 4
        assert int((item["input_ids"] == token).sum()) == features


def test_what_is_left_out_and_cut_is_told(
    encoder: PromptEncoder, pairs: Pairs, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = measured(pairs, encoder)
    cutoff = sorted(prompt for prompt, _ in tokens)[-2]
    found = fit("conversations", pairs, encoder, cutoff)
    first = next(number for number, (prompt, _) in enumerate(tokens) if prompt >= cutoff)
    assert found.left_out >= 1
    said = capsys.readouterr().err
    assert f"conversations: of 16 conversations {found.cut} end at the cutoff of {cutoff} tokens, and " in said
    assert f"{found.left_out} are left out, for their prompts alone are longer, the first of them row {first}" in said
    fit("conversations", pairs, encoder, 10_000)
    assert "cutoff" not in capsys.readouterr().err


def sft_settings(**changes: object) -> SFTSettings:
    given = {"epochs": 1, "batch_size": 4, "learning_rate": 3e-3, "cutoff": 128, "precision": "fp32"}
    return SFTSettings.model_validate(given | {"gradient_checkpointing": False} | changes)


def train(model: Path, rows: Pairs, validation: Pairs, folder: Path, **changes: object) -> dict[str, float]:
    files = folder / "work", folder / "out", folder / "metrics.jsonl"
    return train_sft(model, rows, validation, sft_settings(**changes), "Think.", 0, *files, Interruption(), {})


@pytest.mark.parametrize("named", ["conversations", "validation"])
def test_a_set_that_is_left_out_whole_ends_in_one_line(
    tiny_model_dir: Path, pairs: Pairs, tmp_path: Path, named: str
) -> None:
    """It ended with exit code 0, a loss of 0.0 and an evaluation of NaN."""
    long = [(replace(one, question=one.question + "?" * 200), response) for one, response in pairs]
    sets = (long, pairs) if named == "conversations" else (pairs, long)
    with pytest.raises(UserError, match=rf"^{named}: cutoff: expected room for a prompt .* in any of 16 conversations"):
        train(tiny_model_dir, *sets, tmp_path)
    assert not (tmp_path / "out").exists()


def test_fewer_than_a_batch_is_one_line(tiny_model_dir: Path, pairs: Pairs, tmp_path: Path) -> None:
    long = [(replace(one, question=one.question + "?" * 200), response) for one, response in pairs[3:]]
    with pytest.raises(UserError, match=r"^batch_size: expected at most 3, the conversations that fit .* found 4$"):
        train(tiny_model_dir, pairs[:3] + long, pairs, tmp_path)


def test_training_goes_on_without_what_is_left_out(
    tiny_model_dir: Path, pairs: Pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights and metrics are those of a file without it."""
    rows = pairs[:4]
    long = replace(pairs[5][0], question=pairs[5][0].question + "?" * 200)
    metrics = train(tiny_model_dir, [*rows[:3], (long, "7"), *rows[3:]], pairs[:1], tmp_path / "with")
    assert (metrics["cut"], metrics["left_out"]) == (0, 1)
    assert "the first of them row 3" in capsys.readouterr().err
    train(tiny_model_dir, rows, pairs[:1], tmp_path / "without")
    for name in ("out/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    assert all(torch.isfinite(torch.tensor(row["loss"])) for row in read_jsonl(tmp_path / "with/metrics.jsonl"))
