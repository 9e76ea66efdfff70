"""A disk that fills up: one line with path and room, nothing under a final name, and a marker that says failed.

Two ways to run out of room: a file system of a megabyte, which only root can mount, and a limit on a file's size.
"""

import argparse
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmark_fixtures import Call
from grpo_fixtures import TINY
from mmr1.data import contracts
from mmr1.data.conversations import write_conversations
from mmr1.data.problems import Problem, write_problems
from mmr1.grpo.round import room_needed
from mmr1.grpo.settings import TrainerSettings
from mmr1.models.checkpoints import count_weights
from mmr1.plumbing import disk
from mmr1.plumbing.attempt import kept_marker
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import atomic, read_json, write_json, write_jsonl
from mmr1.plumbing.interruption import Interrupted
from mmr1.plumbing.record import beside_job, job
from mmr1.training.division import read_division

BYTES = 4 << 20
LIMIT = 256 << 10


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no file may be larger than a quarter of a megabyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise() -> bytes:
    """Bytes that do not get smaller by compression."""
    return np.random.default_rng(0).bytes(BYTES)


def rows() -> pa.Table:
    return pa.table({"problem_id": ["a"], "text": [noise().hex()]})


def dump_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("create table t (data blob)")
        database.execute("insert into t values (?)", [noise()])
    database.close()


def write_group_by_group(path: Path) -> None:
    with pq.ParquetWriter(path, rows().schema) as writer:
        for _ in range(3):
            writer.write_table(rows())


WRITERS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: path.write_bytes(noise()),
    "text": lambda path: path.write_text("a" * BYTES),
    "a file in a folder": lambda path: (path.mkdir(), (path / "data").write_bytes(noise())),
    "Arrow's table": lambda path: pq.write_table(rows(), path),
    "Arrow's writer": write_group_by_group,
    "safetensors": lambda path: save_file({"w": torch.zeros(BYTES // 4)}, path),
    "torch.save": lambda path: torch.save({"w": torch.zeros(BYTES // 4)}, path),
    "numpy": lambda path: np.save(path.open("wb"), np.zeros(BYTES // 8)),
    "a picture": lambda path: Image.frombytes("RGB", (1024, 1024), noise()[: 3 << 20]).save(path, "PNG"),
    "SQLite": dump_sqlite,
}


# SQLite calls a file that is too large an I/O error, as it does a broken disk.
TIGHT = [
    (writer, where) for writer in WRITERS for where in ("small", "limited") if (writer, where) != ("SQLite", "limited")
]


@pytest.mark.parametrize(("writer", "where"), TIGHT)
def test_whatever_writes_it_is_one_line_with_the_path_and_the_room(
    writer: str, where: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    tight = request.getfixturevalue(where)
    out = tight / "out"
    out.write_bytes(b"old")

    def main() -> None:
        with atomic(out) as temporary:
            WRITERS[writer](temporary)

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error: {out}: no room on the disk (" in line
    assert "B of it were written, " in line
    assert line.endswith("B are free; make room there and run again")
    assert out.read_bytes() == b"old"
    assert {path.name for path in tight.iterdir()} == {"out"}


JOB = argparse.Namespace(record=None, attempt=None, work=None)


def fail(folder: Path, **paths: Path) -> str:
    """Run a job that fills the disk with what has no path of ours, and return its line."""

    def work() -> None:
        with job(argparse.Namespace(**(vars(JOB) | paths)), inputs={}, outputs={"out": folder / "out"}):
            raise RuntimeError("[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file")

    with pytest.raises(UserError) as caught:
        work()
    return str(caught.value)


def test_what_a_library_writes_under_a_name_of_its_own_is_told_of_the_job_s_fullest_disk(small: Path) -> None:
    """DeepSpeed and Trainer save states under `--work`, and their errors name no file."""
    (small / "work").mkdir()
    (small / "work" / "state").write_bytes(bytes(500 << 10))
    line = fail(small.parent, work=small / "work")
    assert line.startswith(f"{small}/work: no room on the disk (PytorchStreamWriter failed writing file): 500.0 KiB of")


@pytest.mark.parametrize("filler", [0, 1], ids=["with the last byte taken", "with room for a marker"])
def test_the_marker_says_failed_on_a_full_disk(small: Path, filler: int) -> None:
    marker = small / "logs" / "x.attempt.json"

    def work() -> None:
        with job(argparse.Namespace(**(vars(JOB) | {"attempt": marker})), inputs={}, outputs={"out": small / "out"}):
            free = disk.free_bytes(small)
            (small / "filler").write_bytes(bytes(free - (64 << 10) * filler))
            with atomic(small / "out") as temporary:
                temporary.write_bytes(noise())

    with pytest.raises(UserError, match="no room on the disk"):
        work()
    for path in (marker, kept_marker(marker)):
        told = read_json(path)
        assert told["state"] == "failed"
        assert "out: no room on the disk (No space left on device)" in told["error"]
    assert {path.name for path in small.iterdir()} == {"filler", "logs"}


def test_a_finished_job_is_not_lost_because_its_marker_has_no_room(small: Path) -> None:
    marker = small / "x.attempt.json"
    with job(argparse.Namespace(**(vars(JOB) | {"attempt": marker})), inputs={}, outputs={"out": small / "out"}):
        write_json(small / "out", {})
        (small / "filler").write_bytes(bytes(disk.free_bytes(small)))
    assert read_json(marker)["state"] == "finished"


def test_another_rank_s_full_disk_is_what_the_job_says(small: Path) -> None:
    """The launcher ends the first rank, or its wait for the other ends in an error of the network."""
    marker = small / "x.attempt.json"
    args, outputs = argparse.Namespace(**(vars(JOB) | {"attempt": marker})), {"out": small / "out"}
    line = rf"rank 1: {small}/state: no room on the disk \(No space left on device\)"

    def other_rank() -> None:
        with beside_job(args, 1, outputs), atomic(small / "state") as temporary:
            temporary.write_bytes(noise())

    def first_rank() -> None:
        with job(args, inputs={}, outputs=outputs):
            with pytest.raises(UserError, match=line.removeprefix("rank 1: ")):
                other_rank()
            for path in (marker, kept_marker(marker)):
                assert read_json(path)["state"] == "failed", "whatever becomes of the first"
            raise RuntimeError("Connection closed by peer")

    with pytest.raises(UserError, match=line):
        first_rank()
    assert read_json(marker)["state"] == "failed"


def test_a_rank_that_is_asked_to_stop_is_no_failure(tmp_path: Path) -> None:
    marker = tmp_path / "x.attempt.json"
    args = argparse.Namespace(**(vars(JOB) | {"attempt": marker}))
    with job(args, inputs={}, outputs={}):
        with pytest.raises(Interrupted), beside_job(args, 1, {}):
            raise Interrupted("asked to stop")
        assert read_json(marker)["state"] == "running"


def test_a_job_that_cannot_even_start_is_one_line(small: Path) -> None:
    (small / "filler").write_bytes(bytes(disk.free_bytes(small)))
    marker = small / "x.attempt.json"
    with (
        pytest.raises(UserError, match=r"x\.attempt\.kept\.json: no room on the disk"),
        job(argparse.Namespace(**(vars(JOB) | {"attempt": marker})), inputs={}, outputs={}),
    ):
        pass


def write_lines(path: Path) -> None:
    write_jsonl(path, ({"text": "a" * 1000} for _ in range(2000)))


def write_groups(path: Path) -> None:
    with contracts.writer(path, rows().schema) as table:
        for _ in range(3):
            table.write_table(rows())


@pytest.mark.parametrize("write", [write_lines, write_groups])
def test_what_is_written_bit_by_bit_leaves_nothing_half_written(small: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(UserError, match=rf"{small}/out: no room on the disk \(No space left on device\)"):
        write(small / "out")
    assert not list(small.iterdir())


def test_what_will_not_fit_is_told_before_the_work(small: Path, tmp_path: Path) -> None:
    """Needs of one disk are added up, and another disk's room is no help."""
    disk.check_room({small / "checkpoint": 300 << 10, small / "work" / "x": 600 << 10, tmp_path / "out": 1 << 20})
    line = (
        rf"^{small}/work/x \(with {small}/checkpoint\): expected at least 1.1 MiB free on the disk, "
        r"found 1.0 MiB: 123.5 KiB are missing$"
    )
    with pytest.raises(UserError, match=line):
        disk.check_room({small / "checkpoint": 547.5 * 1024, small / "work" / "x": 600 << 10, tmp_path / "out": 1})


def test_a_checkpoint_and_its_states_that_will_not_fit_are_told_before_training(
    call: Call, small: Path, tiny_model_dir: Path, digit_problems: list[Problem], tmp_path: Path
) -> None:
    """A fresh start needs a checkpoint and three states of it; what an earlier start left of them counts."""
    write_conversations(tmp_path / "c.parquet", [(problem, "7") for problem in digit_problems])
    words = [
        "--model",
        tiny_model_dir,
        "--conversations",
        tmp_path / "c.parquet",
        "--validation",
        tmp_path / "c.parquet",
    ]
    paths = ["--out", small / "out", "--metrics", small / "metrics.jsonl", "--work", small / "work"]
    settings = ["--batch-size", "4", "--precision", "fp32", "--save-every", "1", "--evaluate-every", "1"]
    needed = disk.size(4 * count_weights(tiny_model_dir) * (1 + 3 * 3))
    line = rf"^{small}/work \(with {small}/out\): expected at least {needed} free on the disk, found .* are missing$"
    with pytest.raises(UserError, match=line):
        call("train_sft", *words, *paths, *settings)
    assert not list(small.iterdir())


def test_rollouts_that_will_not_fit_are_told_before_a_model_is_loaded(
    call: Call, small: Path, tiny_model_dir: Path, digit_problems: list[Problem], tmp_path: Path
) -> None:
    write_problems(tmp_path / "problems.parquet", digit_problems)
    words = ["--model", tiny_model_dir, "--problems", tmp_path / "problems.parquet", "--out", small / "r.parquet"]
    line = rf"^{small}/r.parquet \(with {small}/r.parquet.work\): expected at least 62.5 MiB free on the disk, found "
    with pytest.raises(UserError, match=line):
        call("generate", *words, "--n", "500", "--temperature", "1", "--max-tokens", "8192", "--seed", "0")
    assert not list(small.iterdir())


def test_an_endpoint_s_answers_that_will_not_fit_are_told_before_it_is_asked(
    call: Call, small: Path, digit_problems: list[Problem], tmp_path: Path
) -> None:
    write_problems(tmp_path / "problems.parquet", digit_problems)
    paths = ["--problems", tmp_path / "problems.parquet", "--out", tmp_path / "r.parquet", "--cache", small / "kept"]
    words = ["--url", "http://127.0.0.1:9/v1", "--model", "m", "--temperature", "0", "--seed", "0", "--n", "500"]
    with pytest.raises(UserError, match=rf"^{small}/kept: expected at least 31.2 MiB free on the disk, found 1.0 MiB"):
        call("ask_endpoint", *paths, *words, "--max-tokens", "4096")


def test_the_papers_data_that_will_not_fit_is_told_before_it_is_read(
    call: Call, small: Path, tiny_model_dir: Path, digit_problems: list[Problem], tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    for name in ("train.parquet", "images.tar"):
        (tmp_path / "set" / name).write_bytes(noise())
    write_problems(tmp_path / "benchmark.parquet", digit_problems)
    made = ["--out", small / "out.parquet", "--validation", small / "validation.parquet"]
    words = ["--processor", tiny_model_dir, "--benchmark", tmp_path / "benchmark.parquet", "--max-prompt-tokens", "9"]
    with pytest.raises(UserError, match=rf"^{small}/out.parquet: expected at least 7.2 MiB free .* are missing$"):
        call("prepare_mmr1", "--rl", tmp_path / "set", "--rows", "2", *words, *made)
    with pytest.raises(UserError, match=rf"^{small}/out.parquet: expected at least 2.0 MiB free .* are missing$"):
        call("prepare_mmr1_sft", "--sft", tmp_path / "set", "--rows", "2", "--validation-size", "1", *made)


def test_a_round_s_rollouts_are_part_of_the_room_that_it_needs(
    small: Path, tiny_model_dir: Path, tmp_path: Path
) -> None:
    settings = TrainerSettings.model_validate(TINY | {"max_response_tokens": 4096, "group_size": 500})
    paths = {"model": tiny_model_dir, "out": tmp_path / "out", "work": tmp_path / "work", "rollouts": small / "r"}
    needed = room_needed(argparse.Namespace(**paths), settings, read_division(settings.deepspeed), steps=2)
    assert needed[small / "r"] == 2 * settings.mini_batch_size * 500 * 4096 / 4 * 2
    with pytest.raises(UserError, match=rf"^{small}/r: expected at least"):
        disk.check_room(needed)


def test_an_error_that_is_of_something_else_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another"), atomic(tmp_path / "out"):
        raise ValueError("another")
    assert disk.no_room(PermissionError(13, "Permission denied")) is None


DAMAGED = [b"", b"{", b"\xff", b"[]", b'{"earlier": 1}', b'{"slurm": []}', bytes(4096)]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_marker_that_was_cut_off_stops_no_job(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    marker = tmp_path / "x.attempt.json"
    kept_marker(marker).write_bytes(content)
    with job(argparse.Namespace(**(vars(JOB) | {"attempt": marker})), inputs={}, outputs={}):
        pass
    assert read_json(marker) == read_json(kept_marker(marker))
    assert (read_json(marker)["state"], read_json(marker)["earlier"]) == ("finished", [])
    assert all(line.startswith(f"warning: {kept_marker(marker)}: ") for line in capsys.readouterr().err.splitlines())
