"""Supervised fine-tuning: it learns the responses only, keeps the best checkpoint, and goes on where it was killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer

from benchmark_fixtures import Call
from forking import ForkingServer
from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.checkpoints import count_weights
from mmr1.plumbing.disk import bytes_under
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, read_json, read_jsonl, write_json, write_jsonl
from mmr1.plumbing.interruption import EXIT_CODE, Interrupted, Interruption
from mmr1.plumbing.work_folder import WorkFolder
from mmr1.sft.arguments import forward_passes
from mmr1.sft.conversations import IGNORED, Collator, Conversations
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import count_saves, saved_bytes, train_sft
from trainer_harness import run_ranks
from work_holder import held_elsewhere

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "scripts/train_sft.py"

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


def train(
    model: Path,
    pairs: list[tuple[Problem, str]],
    folder: Path,
    interruption: Interruption | None = None,
    settings: SFTSettings = SETTINGS,
    seed: int = 0,
) -> dict[str, float]:
    files = folder / "work", folder / "out", folder / "metrics.jsonl"
    read = {"conversations": digest([problem.id + response for problem, response in pairs])}
    return train_sft(model, pairs, pairs[:4], settings, "Think.", seed, *files, interruption or Interruption(), read)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def weights(folder: Path) -> bytes:
    return (folder / "out" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def straight(tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    told: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmr1.plumbing.live.tell", lambda file, row: told.append({"file": file, **row}))
        train(tiny_model_dir, pairs, folder)
    write_jsonl(folder / "told.jsonl", told)
    return folder


def test_only_the_response_is_learned(tiny_model_dir: Path, pairs: list[tuple[Problem, str]]) -> None:
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    data = Conversations(pairs, PromptEncoder(processor, "Think."), cutoff=128)
    item = data[7]
    learned = item["labels"][item["labels"] != IGNORED]
    assert processor.tokenizer.decode(learned) == pairs[7][1] + "<|im_end|>"
    model = AutoModelForImageTextToText.from_pretrained(tiny_model_dir)
    batch = Collator(processor.tokenizer.pad_token_id, model)(data.__getitems__([0, 7]))
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    image_tokens = batch["input_ids"] == model.config.image_token_id
    assert len(batch["image_grid_thw"]) == int(image_tokens.sum()) == sum(len(pairs[i][0].images) for i in (0, 7))
    # The positions are those that transformers finds in the forward pass without them.
    positions = batch.pop("position_ids")
    with torch.no_grad():
        ours = model(**batch, position_ids=positions).logits
        theirs = model(**batch, mm_token_type_ids=image_tokens.int()).logits
    assert torch.equal(ours, theirs)


def test_what_is_told_while_it_trains_is_what_stands_in_the_metrics(straight: Path) -> None:
    steps: dict[int, dict[str, Any]] = {}
    for row in read_jsonl(straight / "told.jsonl"):
        assert row.pop("file") == "metrics"
        steps.setdefault(row["step"], {}).update(row)
    assert list(steps.values()) == read_jsonl(straight / "metrics.jsonl")


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


def test_what_is_saved_is_as_large_as_was_said_before(straight: Path, tiny_model_dir: Path) -> None:
    checkpoint, state = saved_bytes(count_weights(tiny_model_dir), SETTINGS)
    assert checkpoint <= bytes_under(straight / "out") < 1.2 * checkpoint
    assert state <= bytes_under(straight / "work" / "checkpoint-4") < 1.2 * state
    assert count_saves(SETTINGS, 16) == len(list((straight / "work").iterdir()))


def test_a_killed_run_goes_on_from_its_state_to_the_same_weights(
    straight: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    shutil.copytree(straight / "work" / "checkpoint-2", tmp_path / "work" / "checkpoint-2")
    train(tiny_model_dir, pairs, tmp_path)
    resumed, whole = (load_file(folder / "out" / "model.safetensors") for folder in (tmp_path, straight))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_run_that_is_told_to_stop_saves_and_goes_on_to_the_same_weights(
    straight: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """Between two saves, by SIGTERM, and by a time limit that has passed; 4 steps in all."""
    asked = Interruption()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM: saved with 1 steps done"):
        train(tiny_model_dir, pairs, tmp_path, asked)
    with pytest.raises(Interrupted, match="the time limit is near: saved with 2 steps done"):
        train(tiny_model_dir, pairs, tmp_path, Interruption(minutes=0))
    assert not (tmp_path / "out").exists()
    half = tmp_path / "work" / "checkpoint-3"  # as a kill in the middle of a save leaves it
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    train(tiny_model_dir, pairs, tmp_path)
    resumed, whole = (load_file(folder / "out" / "model.safetensors") for folder in (tmp_path, straight))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert read_jsonl(tmp_path / "metrics.jsonl") == read_jsonl(straight / "metrics.jsonl")


def test_a_run_killed_while_it_writes_its_checkpoint_trains_no_step_again(
    straight: Path,
    tiny_model_dir: Path,
    pairs: list[tuple[Problem, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(straight / "work", tmp_path / "work")
    monkeypatch.delattr(Trainer, "training_step")
    train(tiny_model_dir, pairs, tmp_path)
    assert weights(tmp_path) == weights(straight)


@pytest.mark.parametrize("changed", ["learning_rate", "seed", "conversations", "code"])
def test_the_states_of_another_job_are_not_used(
    changed: str,
    straight: Path,
    tiny_model_dir: Path,
    pairs: list[tuple[Problem, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The weights are those of a run in an empty folder, to the bit."""
    if changed == "code":
        monkeypatch.setattr("mmr1.sft.train.code_digest", lambda *_: "of another commit")
    conversations = [(replace(pairs[0][0], id="other"), "<answer>7</answer>"), *pairs[1:]]
    job: dict[str, Any] = {
        "pairs": conversations if changed == "conversations" else pairs,
        "settings": SETTINGS.model_copy(update={"learning_rate": 1e-3}) if changed == "learning_rate" else SETTINGS,
        "seed": 1 if changed == "seed" else 0,
    }
    train(tiny_model_dir, folder=tmp_path / "fresh", **job)
    shutil.copytree(straight / "work", tmp_path / "stale" / "work")
    capsys.readouterr()
    train(tiny_model_dir, folder=tmp_path / "stale", **job)
    names = {"learning_rate": "settings.learning_rate", "conversations": "inputs.conversations"}
    said = capsys.readouterr().err
    for step in (2, 4):
        state = tmp_path / "stale" / "work" / f"checkpoint-{step}"
        assert f"{state}: saved by a job that differed in {names.get(changed, changed)}; removed" in said
    assert weights(tmp_path / "stale") == weights(tmp_path / "fresh")
    assert (weights(tmp_path / "fresh") == weights(straight)) == (changed == "code")


def test_a_flipped_bit_in_the_newest_state_leaves_the_one_before_it(
    straight: Path,
    tiny_model_dir: Path,
    pairs: list[tuple[Problem, str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(straight / "work", tmp_path / "work")
    flipped = tmp_path / "work" / "checkpoint-4" / "optimizer.pt"
    flip_a_bit(flipped)
    train(tiny_model_dir, pairs, tmp_path)
    said = capsys.readouterr().err
    assert f"{flipped}: expected sha256" in said
    assert f"going on from {tmp_path / 'work' / 'checkpoint-2'}: 2 steps done" in said
    assert weights(tmp_path) == weights(straight)


def test_a_work_folder_that_was_moved_still_ends_in_the_best_of_its_states(
    straight: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """A rate so high that the loss only grows after the first evaluation."""
    settings = SETTINGS.model_copy(update={"learning_rate": 0.3, "save_every": 1, "evaluate_every": 1})
    train(tiny_model_dir, pairs, tmp_path / "here", settings=settings)
    losses = {row["step"]: row["eval_loss"] for row in read_jsonl(tmp_path / "here" / "metrics.jsonl")}
    best = min(losses, key=lambda step: losses[step])
    assert best < 4
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "work").rename(tmp_path / "there" / "work")
    assert {path.name for path in (tmp_path / "there/work").iterdir()} == {f"checkpoint-{best}", "checkpoint-4"}
    train(tiny_model_dir, pairs, tmp_path / "there", settings=settings)
    assert weights(tmp_path / "there") == weights(tmp_path / "here")


def test_a_short_run_that_is_never_evaluated_is_evaluated_at_its_end(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 16, "save_every": 100, "evaluate_every": 100})
    metrics = train_sft(
        tiny_model_dir,
        pairs,
        pairs[:4],
        settings,
        None,
        0,
        tmp_path / "work",
        tmp_path / "out",
        tmp_path / "m.jsonl",
        Interruption(),
        {},
    )
    (row,) = read_jsonl(tmp_path / "m.jsonl")
    assert metrics == {"steps": 1.0, "eval_loss": row["eval_loss"], "cut": 0.0, "left_out": 0.0}


def test_a_file_that_is_read_by_the_row_trains_the_same_weights(
    straight: Path, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    write_conversations(tmp_path / "train.parquet", pairs)
    write_conversations(tmp_path / "validation.parquet", pairs[:4])
    rows, validation = (ConversationFile(tmp_path / f"{name}.parquet") for name in ("train", "validation"))
    files = tmp_path / "work", tmp_path / "out", tmp_path / "metrics.jsonl"
    train_sft(tiny_model_dir, rows, validation, SETTINGS, "Think.", 0, *files, Interruption(), {})
    for name in ("out/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / name).read_bytes() == (straight / name).read_bytes()


@pytest.mark.slow
def test_the_program_shares_its_work_folder_with_no_other_and_removes_it_at_the_end(
    server: ForkingServer, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], straight: Path, tmp_path: Path
) -> None:
    words = written_inputs(tmp_path, tiny_model_dir, SETTINGS.model_dump(mode="json"), pairs, pairs[:4])
    command, log, work = [str(PROGRAM), *words], tmp_path / "log", tmp_path / "work"
    with held_elsewhere(work) as other:
        assert server.wait(server.start(command, log)) == 2
        assert "Traceback" not in log.read_text()
        line = log.read_text().splitlines()[-1]
        assert f"error: {work}: expected no other program there, found process {other.pid} on " in line
    shutil.copytree(straight / "work" / "checkpoint-2", work / "checkpoint-2")  # of another job
    assert server.wait(server.start(command, log)) == 0, log.read_text()[-4000:]
    assert f"{work}/checkpoint-2: saved by a job that differed in inputs" in log.read_text()
    assert {path.name for path in tmp_path.iterdir() if "work" in path.name} == set()
    assert read_json(tmp_path / "records/train_sft/tiny.json")["metrics"]["steps"] == 4


def test_a_program_killed_between_its_record_and_the_removal_of_its_states_trains_no_step_again(
    call: Call,
    tiny_model_dir: Path,
    pairs: list[tuple[Problem, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = written_inputs(tmp_path, tiny_model_dir, SETTINGS.model_dump(mode="json"), pairs, pairs[:4])
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(WorkFolder, "remove", WorkFolder.leave)
        call("train_sft", *words)
    before = read_json(tmp_path / "records/train_sft/tiny.json")["name"]
    assert (tmp_path / "work" / "checkpoint-4").exists()
    monkeypatch.delattr(Trainer, "training_step")
    call("train_sft", *words)
    assert read_json(tmp_path / "records/train_sft/tiny.json")["name"] == before
    assert not [path for path in tmp_path.iterdir() if "work" in path.name]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_conversations(tiny_model_dir: Path, tmp_path: Path) -> None:
    """512 MB are written and trained on in less than half of them: groups that are kept, and pages as they are read."""
    program = Path(__file__).with_name("measured_sft.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tiny_model_dir), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{program.parent}:{ROOT / 'scripts'}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["file"] > 500_000_000
    assert printed["large"] - printed["few"] < printed["file"] / 2


def test_the_batch_is_what_all_ranks_pass_forward_together() -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 128, "micro_batch_size": 2})
    assert [forward_passes(settings, ranks) for ranks in (1, 4, 64)] == [64, 16, 1]
    for ranks in (3, 128):
        with pytest.raises(UserError, match=rf"batch_size: expected a multiple of {2 * ranks} .* found 128"):
            forward_passes(settings, ranks)


def test_a_blank_image_changes_nothing_that_is_learned(tiny_model_dir: Path, pairs: list[tuple[Problem, str]]) -> None:
    """Conversations without images: the same loss as the model's own, and no gradient for the vision tower."""
    model = AutoModelForImageTextToText.from_pretrained(tiny_model_dir, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(tiny_model_dir)
    data = Conversations(without_images(pairs[:2]), PromptEncoder(processor, "Think."), cutoff=128)
    items = data.__getitems__([0, 1])
    batch = Collator(processor.tokenizer.pad_token_id, model)(items)
    assert batch["image_grid_thw"].tolist() == [[1, 2, 2]]
    loss = model(**batch).loss
    loss.backward()
    plain = [model(input_ids=item["input_ids"][None], labels=item["labels"][None]).loss for item in items]
    learned = [int((item["labels"] != IGNORED).sum()) for item in items]
    expected = sum(one * count for one, count in zip(plain, learned, strict=True)) / sum(learned)
    torch.testing.assert_close(loss, expected)
    vision = [value.grad for name, value in model.named_parameters() if "visual" in name]
    assert vision
    assert all(gradient is not None and not gradient.any() for gradient in vision)


def without_images(pairs: list[tuple[Problem, str]]) -> list[tuple[Problem, str]]:
    return [(replace(problem, question="The sum?", images=()), response) for problem, response in pairs]


def written_inputs(
    folder: Path,
    model: Path,
    settings: dict[str, Any],
    train: list[tuple[Problem, str]],
    held: list[tuple[Problem, str]],
) -> list[str]:
    """A command line that reads and writes in `folder`: two/, two.jsonl and records/train_sft/tiny.json are written."""
    write_json(folder / "settings.json", settings)
    write_conversations(folder / "train.parquet", train)
    write_conversations(folder / "validation.parquet", held)
    files = {
        "settings": "settings.json",
        "conversations": "train.parquet",
        "validation": "validation.parquet",
        "out": "two",
        "metrics": "two.jsonl",
        "work": "work",
        "record": "records/train_sft/tiny.json",
    }
    words = [word for option, name in files.items() for word in (f"--{option}", str(folder / name))]
    return ["--model", str(model), *words]


def start_under_torchrun(folder: Path, *inputs: Any) -> subprocess.CompletedProcess[str]:
    """The program on two ranks as the workflow starts it, with what `written_inputs` takes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*torchrun, str(PROGRAM), *written_inputs(folder, *inputs)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def start_on_two_ranks(
    server: ForkingServer, folder: Path, *inputs: Any, more: tuple[str, ...] = (), kills: Any = None
) -> list[int]:
    """The exit codes of the program's two ranks, with what `written_inputs` takes and `more` options; log-0.log."""
    return run_ranks(server, folder, "log", [[str(PROGRAM), *written_inputs(folder, *inputs), *more]] * 2, kills)


@pytest.mark.slow
def test_an_image_that_one_of_two_ranks_cannot_decode_is_one_line(
    tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path
) -> None:
    """It stands behind those that are decoded before training."""
    many = [(replace(problem, id=f"{copy}-{problem.id}"), text) for copy in range(5) for problem, text in pairs]
    many[70] = (replace(many[70][0], question="<image>?", images=(b"PNG",)), many[70][1])
    done = start_under_torchrun(tmp_path, tiny_model_dir, SETTINGS.model_dump(mode="json"), many, pairs[:4])
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "train_sft.py: error:" in line]  # the first rank says it
    assert (
        f"error: {tmp_path}/train.parquet: row 70: images[0]: expected an image, found 3 bytes that do not decode"
        in line
    )
    assert f'File "{ROOT / "scripts"}' not in done.stderr  # the only traceback is torchrun's own
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", [None, 3])
def test_a_gradient_that_is_not_finite_ends_two_ranks_with_one_line(
    server: ForkingServer, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path, stage: int | None
) -> None:
    """A rate so high that the weights burst; what was saved before stays, and can be gone on from.

    The batch of each rank and the weights before the update are there to look at, and do the same again.
    """
    division = None if stage is None else str(ROOT / f"config/deepspeed/zero{stage}.json")
    changes = {"learning_rate": 1e30, "schedule": "constant", "warmup_ratio": 0, "micro_batch_size": 1}
    steps = {"evaluate_every": 1, "save_every": 1, "deepspeed": division}
    inputs = tiny_model_dir, SETTINGS.model_dump(mode="json") | changes | steps, pairs[:12], pairs[4:8]
    assert start_on_two_ranks(server, tmp_path, *inputs) == [2, 2]
    first, second = ((tmp_path / f"log-{rank}.log").read_text() for rank in (0, 1))
    kept = tmp_path / "work" / "non_finite"
    said = r"train_sft.py: error: step 2: gradient norm is (?:nan|inf); conversations (.*); the batch and the weights"
    (told,) = re.findall(rf"{said} are in {kept}, ", first)
    assert "error: " not in second
    assert "Traceback" not in first + second
    assert (tmp_path / "work/checkpoint-1/manifest.json").exists()
    batches = [batch for rank in (0, 1) for batch in torch.load(kept / f"batch-{rank}.pt")["batches"]]
    assert [name for batch in batches for name in batch.pop("ids")] == told.split(", ")
    assert len(batches) == SETTINGS.batch_size
    model = AutoModelForImageTextToText.from_pretrained(kept / "checkpoint")
    assert all(weight.isfinite().all() for weight in model.parameters())
    loss = sum(model(**batch).loss for batch in batches)
    loss.backward()
    norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
    assert not torch.stack(norms).norm().isfinite()
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "rows"), [(None, {}), (3, {}), (3, {"packing": 128, "batch_size": 2})])
def test_two_ranks_learn_what_one_does(
    server: ForkingServer,
    tiny_model_dir: Path,
    pairs: list[tuple[Problem, str]],
    tmp_path: Path,
    stage: int | None,
    rows: dict[str, int],
) -> None:
    """Without ZeRO, started by torchrun, and with ZeRO-3; in some micro-batches no conversation has an image."""
    mixed = [*pairs[:6], *without_images(pairs[6 : 16 if rows else 12])]
    changes = {"micro_batch_size": 1, "evaluate_every": 3, "save_every": 3, **rows}
    settings = SETTINGS.model_copy(update=changes)
    files = tmp_path / "w", tmp_path / "one", tmp_path / "one.jsonl"
    train_sft(tiny_model_dir, mixed, mixed[4:8], settings, None, 0, *files, Interruption(), {})

    division = None if stage is None else str(ROOT / f"config/deepspeed/zero{stage}.json")
    chosen = settings.model_dump(mode="json") | {"deepspeed": division}
    inputs = tmp_path, tiny_model_dir, chosen, mixed, mixed[4:8]
    if stage is None:
        done = start_under_torchrun(*inputs)
        assert done.returncode == 0, done.stderr[-4000:]
    else:
        assert start_on_two_ranks(server, *inputs) == [0, 0], (tmp_path / "log-0.log").read_text()[-4000:]

    one, two = (read_jsonl(tmp_path / f"{name}.jsonl") for name in ("one", "two"))
    assert [row["step"] for row in one] == [row["step"] for row in two] == ([1, 2] if rows else [1, 2, 3])
    for name in ("loss", "gradient_norm"):
        assert [row[name] for row in two] == pytest.approx([row[name] for row in one], rel=1e-3)
    assert two[-1]["eval_loss"] == pytest.approx(one[-1]["eval_loss"], rel=1e-3)
    base, expected, found = (
        load_file(folder / "model.safetensors") for folder in (tiny_model_dir, tmp_path / "one", tmp_path / "two")
    )
    assert base.keys() == expected.keys() == found.keys()
    # Adam moves a weight without a gradient by the rounding of its zero: compared is how far they are apart in all.
    apart, moved = (sum(float((one[name] - expected[name]).abs().sum()) for name in expected) for one in (found, base))
    assert apart < 0.05 * moved
    assert type(AutoProcessor.from_pretrained(tmp_path / "two")).__name__ == "Qwen2_5_VLProcessor"
    record = read_json(tmp_path / "records/train_sft/tiny.json")
    assert {Path(file["path"]).name for file in record["outputs"]["out"]} >= {"model.safetensors", "config.json"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [None, 3])
@pytest.mark.timeout(300)  # a rank that did not hear of the other's end would wait for hours
def test_two_ranks_that_were_stopped_or_killed_go_on_to_the_same_weights(
    server: ForkingServer, tiny_model_dir: Path, pairs: list[tuple[Problem, str]], tmp_path: Path, stage: int | None
) -> None:
    """Stopped after two steps, what one of them saved last is damaged, and a rank is killed in the third step."""
    division = None if stage is None else str(ROOT / f"config/deepspeed/zero{stage}.json")
    changes = {"micro_batch_size": 1, "evaluate_every": 1, "save_every": 1, "deepspeed": division}
    inputs = tiny_model_dir, SETTINGS.model_dump(mode="json") | changes, pairs[:12], pairs[4:8]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    for folder in (straight, stopped):
        folder.mkdir()
    log = stopped / "log-0.log"
    assert start_on_two_ranks(server, straight, *inputs) == [0, 0], (straight / "log-0.log").read_text()[-4000:]
    for steps in (1, 2):
        assert start_on_two_ranks(server, stopped, *inputs, more=("--deadline-minutes", "0")) == [EXIT_CODE] * 2
        assert f"saved with {steps} steps done" in log.read_text()
    flip_a_bit(stopped / "work" / "checkpoint-2" / "rng_state_1.pth")
    in_third_step = {1: ("mmr1.sft.trainer:SFTTrainer.training_step", 3, 0.0)}
    assert start_on_two_ranks(server, stopped, *inputs, kills=in_third_step) == [1, -signal.SIGKILL]
    assert "rng_state_1.pth: expected sha256" in log.read_text()
    assert f"going on from {stopped}/work/checkpoint-1: 1 steps done" in log.read_text()
    assert log.read_text().count("train_sft.py: error: ") == log.read_text().count("another rank has ended") == 1
    assert "Traceback" not in log.read_text()
    assert start_on_two_ranks(server, stopped, *inputs) == [0, 0], log.read_text()[-4000:]
    assert f"going on from {stopped}/work/checkpoint-2: 2 steps done" in log.read_text()
    for name in ("two/model.safetensors", "two.jsonl"):
        assert (stopped / name).read_bytes() == (straight / name).read_bytes()
