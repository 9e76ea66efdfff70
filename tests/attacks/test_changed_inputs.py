"""What was made is what is read: an input that is not as its maker's record says ends the next job, in one line."""

import argparse
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark_fixtures import Call
from flipped_bytes import passed_over, readers
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.makers import CALL, VARIABLE, remember_call
from mmr1.plumbing.record import job
from mmr1.provenance.ledger import read_records
from synthetic_results import SyntheticResults

R = Path("results/tiny")
MODEL = R / "tiny/sft/checkpoint"
WEIGHTS = MODEL / "model.safetensors"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CALL, raising=False)
    monkeypatch.setattr(sys, "argv", ["scripts/calibrate.py", "--attempt", "…"])
    return tmp_path


def work(name: str, *reads: Path, out: Path | None = None) -> dict[str, Any]:
    """A job that joins what it reads to the file `out`, or makes it a folder of two files; its record."""
    out = out or R / f"{name}.txt"
    record = R / f"records/work/{name}.json"
    args = argparse.Namespace(record=record, attempt=None, limited=None)
    with job(args, inputs={"read": list(reads)}, outputs={"out": out}):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out == MODEL:
            out.mkdir(exist_ok=True)
            (out / "config.json").write_text("{}")
            WEIGHTS.write_bytes(bytes(range(200)))
        else:
            files = [file for path in reads for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
            out.write_bytes(b"".join(file.read_bytes() for file in files))
    return read_json(record)


def flip(path: Path, at: int = 100) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def refused(*reads: Path) -> str:
    """What a job says that is to read these and must not begin to work."""
    with pytest.raises(UserError) as error:
        work("reader", *reads)
    assert not (R / "reader.txt").exists()
    assert not (R / "records/work/reader.json").exists()
    return str(error.value)


AGAIN = "snakemake --profile workflow/profiles/local --forcerun {0} -- {0}"
RECORD = "results/tiny/records/work/sft.json"

FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a flipped byte": (
        lambda: flip(WEIGHTS),
        f"{WEIGHTS}: expected sha256 1901da1c9f69… as {RECORD} says, found sha256 ",
    ),
    "a file that is gone": (
        WEIGHTS.unlink,
        f"{WEIGHTS}: expected sha256 1901da1c9f69… as {RECORD} says, found no such",
    ),
    "a file that was added": (
        lambda: (MODEL / "generation_config.json").write_text('{"temperature": 2}'),
        f"{MODEL}/generation_config.json: expected no such file as {RECORD} says, found sha256 ",
    ),
    "a file that was cut off": (lambda: WEIGHTS.write_bytes(b""), f"{WEIGHTS}: expected sha256 1901da1c9f69…"),
    "files that were swapped": (
        lambda: (WEIGHTS.rename("x"), (MODEL / "config.json").rename(WEIGHTS), Path("x").rename(MODEL / "config.json")),
        f"{MODEL}/config.json: expected sha256 44136fa355b3…",
    ),
    "no record of the maker": (Path(RECORD).unlink, "expected a good record of the job that made it: "),
    "no record of any job": (
        lambda: shutil.rmtree(R / "records"),
        "expected a record of the job that made it, found none in results/tiny/records",
    ),
    "a damaged record of the maker": (lambda: flip(Path(RECORD)), f"{RECORD}: "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_changed_folder_is_refused_before_the_work_unless_told_otherwise(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work("sft", out=MODEL)
    before = work("other", MODEL)
    change, message = FAULTS[fault]
    change()
    said = refused(MODEL)
    assert message in said
    target = RECORD if "says, found" in said or (message.startswith(RECORD) and "says" in said) else None
    assert AGAIN.format(target or MODEL) in said
    assert "\n" not in said

    monkeypatch.setenv(VARIABLE, "warn")
    record = work("reader", MODEL)
    assert message in record["changed_inputs"][0]["problem"]
    assert f"warning: {record['changed_inputs'][0]['problem']}; used as it is" in capsys.readouterr().err
    assert before["changed_inputs"] == []

    monkeypatch.delenv(VARIABLE)
    shutil.rmtree(MODEL)
    work("sft", out=MODEL)
    assert work("reader", MODEL)["changed_inputs"] == [], "made again it is read again"


def test_one_flipped_byte_in_the_sft_checkpoint_ends_generate_with_one_line(
    call: Call, digit_problems: list[Problem], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The instance of the issue: it went through generation, scores, tables, report and MLflow with exit code 0."""
    made = ["--record", R / "records/train_sft/tiny.json", "--attempt", R / "logs/train_sft/tiny.attempt.json"]
    call("build_tiny_model", "--layers", "1", "--out", MODEL, *made)
    write_problems("own.parquet", digit_problems[:2])
    flip(WEIGHTS, WEIGHTS.stat().st_size - 4)  # the last mantissa of a weight: nobody would see it
    words = ["--model", MODEL, "--problems", "own.parquet", "--out", R / "r.parquet", "--seed", "0", "--n", "1"]
    words += ["--engine", "transformers", "--temperature", "1", "--max-tokens", "2"]
    words += ["--record", R / "records/generate/r.json"]
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(lambda: call("generate", *words))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith(f"generate.py: error: {WEIGHTS}: expected sha256 ")
    assert AGAIN.format("results/tiny/records/train_sft/tiny.json") in line
    assert not (R / "r.parquet").exists()

    monkeypatch.setenv(VARIABLE, "warn")
    call("generate", *words)
    record = next(record for record in read_records(R) if record.rule == "generate")
    assert [one.path for one in record.changed_inputs] == [str(WEIGHTS)]
    assert [source["path"] for source in record.model_extra["sources"]] == ["own.parquet"]


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["--profile", "slurm", "all"], "snakemake --profile slurm"),
        (["--cores", "2", "-n", "all"], "snakemake"),
        (["--profile=slurm", "-n", "--configfile", "my recipe.yaml", "--", "all"],
         "snakemake --profile=slurm --configfile 'my recipe.yaml'"),
        (["--config", "vas={mix: 0.8}", "limit=3", "--profile", "p", "x"],
         "snakemake --config 'vas={mix: 0.8}' limit=3 --profile p"),
    ],
)  # fmt: skip
def test_the_command_that_makes_it_again_has_the_profile_and_the_recipe_of_the_call(
    words: list[str], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CALL, "")  # so that it is unset after the test
    monkeypatch.delenv(CALL)
    remember_call(words)
    remember_call(["--configfile", "of a job that SLURM started"])
    work("sft", out=MODEL)
    flip(WEIGHTS)
    assert f"make it again: {call} --forcerun {RECORD} -- {RECORD};" in refused(MODEL)


def test_300_flipped_bytes_are_each_refused_by_the_next_job_that_reads_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over every file that a job of a whole results folder reads; tests/test_pipeline.py does it after a real run."""
    SyntheticResults(R)
    assert passed_over(R, 300) == []
    assert len(readers(R)) == 22


def test_what_no_job_made_is_a_source_with_its_hash() -> None:
    Path("prompt.txt").write_text("Think.")
    Path("data").mkdir()
    Path("data/own.jsonl").write_text("{}")
    sources = work("reader", Path("prompt.txt"), Path("data"))["sources"]
    assert [source["path"] for source in sources] == ["data/own.jsonl", "prompt.txt"]
    assert sources[0]["sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    flip(Path("prompt.txt"), 0)
    assert work("reader", Path("prompt.txt"))["changed_inputs"] == [], "whose reader Snakemake calls due"


def test_own_data_among_results_is_no_source() -> None:
    work("a")
    (R / "own.jsonl").write_text("{}")
    assert "own.jsonl: expected a record of the job that made it, found none" in refused(R / "own.jsonl")


def test_by_hand_without_records_the_log_says_that_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(name)
    with job(argparse.Namespace(record=None, attempt=None), inputs={"read": ["a.txt", "b.txt"]}, outputs={}):
        pass
    assert (
        "no record says what these should be, they were taken as they are: a.txt and 1 more" in capsys.readouterr().err
    )


def test_by_hand_a_file_among_results_is_compared_all_the_same() -> None:
    work("sft", out=MODEL)
    by_hand = argparse.Namespace(record=None, attempt=None)
    with job(by_hand, inputs={"read": WEIGHTS}, outputs={}):
        pass
    flip(WEIGHTS)
    with (
        pytest.raises(UserError, match="expected sha256 1901da1c9f69"),
        job(by_hand, inputs={"read": MODEL}, outputs={}),
    ):
        pass


def test_results_that_were_moved_are_known_by_their_records() -> None:
    work("sft", out=MODEL)
    R.rename("archive")
    moved = Path("archive") / MODEL.relative_to(R)
    assert [parent["record"] for parent in work("reader", moved)["parents"]] == ["archive/records/work/sft.json"]
    flip(moved / WEIGHTS.name)
    with pytest.raises(UserError, match="expected sha256 1901da1c9f69"):
        work("reader", moved)


def test_results_of_an_earlier_version_are_known_by_their_records() -> None:
    """Which had no `.makers`: all records are looked through, and a damaged one that nobody needs stops nobody."""
    made = work("sft", out=MODEL)
    work("other", MODEL)
    flip(R / "records/work/other.json")
    shutil.rmtree(R / "records/.makers")
    assert work("reader", MODEL)["parents"] == [{"record": RECORD, "name": made["name"]}]
    shutil.rmtree(R / "records/.makers")
    flip(WEIGHTS)
    (R / "reader.txt").unlink()
    (R / "records/work/reader.json").unlink()
    assert f"as {RECORD} says" in refused(MODEL)


@pytest.mark.parametrize("listed", [True, False], ids=["with .makers", "of an earlier version"])
def test_records_of_others_may_be_damaged_or_written_at_the_same_time(listed: bool) -> None:
    """81 of 210 jobs failed while other records were written anew: each read all of them."""
    work("sft", out=MODEL)
    others = {R / f"records/work/other{number}.json": work(f"other{number}") for number in range(4)}
    (R / "records/work/broken.json").write_text('{"key": ')
    stop = threading.Event()

    def write_again() -> None:
        while not stop.is_set():
            for path, record in others.items():
                path.unlink()
                write_json(path, record)

    writer = threading.Thread(target=write_again)
    writer.start()
    try:
        for _ in range(30):
            if not listed:
                shutil.rmtree(R / "records/.makers", ignore_errors=True)
            assert work("reader", MODEL)["changed_inputs"] == []
    finally:
        stop.set()
        writer.join()


def test_a_state_that_was_removed_after_its_use_is_no_fault_of_the_files_beside_it() -> None:
    args = argparse.Namespace(record=R / "records/train_grpo/round0.json", attempt=None, limited=None)
    outputs = {"checkpoint": R / "checkpoint", "state": R / "trainer_state"}
    with job(args, inputs={}, outputs=outputs):
        for folder in outputs.values():
            folder.mkdir(parents=True)
            (folder / "weights").write_text(folder.name)
    shutil.rmtree(R / "trainer_state")
    assert work("reader", R / "checkpoint")["changed_inputs"] == []
