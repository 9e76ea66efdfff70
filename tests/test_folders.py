"""A folder is known by a small file beside it, and a finished job by its record."""

import argparse
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmr1.plumbing.files import read_json, sha256, write_json
from mmr1.plumbing.folders import contents, digest_file
from mmr1.plumbing.record import job
from mmr1.plumbing.seal import sealed
from mmr1.provenance.adoption import Planned, disagreement, made_files, restore_digest_files


def make(folder: Path, fails: bool = False) -> None:
    """A recorded job that reads `pool` and writes the folder `checkpoint`."""
    args = argparse.Namespace(record=Path("results/records/train/x.json"), attempt=None, pool="pool", out=str(folder))
    with job(args, inputs={"pool": "pool"}, outputs={"out": folder}):
        (folder / "part").mkdir(parents=True, exist_ok=True)
        (folder / "part/weights").write_text("weights")
        (folder / "config").write_text("config")
        if fails:
            raise ValueError("half done")


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["scripts/calibrate.py", "--pool", "pool", "--out", "results/checkpoint"])
    Path("pool").write_text("problems")
    folder = Path("results/checkpoint")
    make(folder)
    return folder


def test_sha256sum_checks_a_folder_by_its_digest_file(checkpoint: Path) -> None:
    def said() -> int:
        return subprocess.run(["sha256sum", "--quiet", "-c", "../checkpoint.sha256"], cwd=checkpoint).returncode

    assert [line.split("  ")[1] for line in digest_file(checkpoint).read_text().splitlines()] == [
        "config",
        "part/weights",
    ]
    assert said() == 0
    (checkpoint / "part/weights").write_text("other")
    assert said() == 1


def test_what_snakemake_leaves_in_a_folder_is_no_part_of_it(checkpoint: Path) -> None:
    before = digest_file(checkpoint).read_text()
    (checkpoint / ".snakemake_timestamp").touch()
    make(checkpoint)
    assert digest_file(checkpoint).read_text() == before


def test_a_job_that_fails_leaves_no_digest_file_of_an_earlier_one(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="half done"):
        make(checkpoint, fails=True)
    assert not digest_file(checkpoint).exists()


def test_a_folder_that_no_job_made_is_known_by_its_files(checkpoint: Path, tmp_path: Path) -> None:
    assert contents("results/tiny/base", "results/tiny") == ["results/tiny/base.sha256"]
    assert contents(checkpoint, "results/tiny") == ["results/checkpoint.sha256"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own/config.json").touch()
    assert contents("own", "results/tiny") == ["own/config.json"]


@pytest.fixture
def planned(checkpoint: Path) -> Planned:
    """The job as the workflow would start it again."""
    return Planned(
        rule="train",
        record="results/records/train/x.json",
        code=read_json("results/records/train/x.json")["key"]["code"]["sha256"],
        settings=None,
        words=("--pool", "pool", "--out", "results/checkpoint"),
        ignored=("--machine",),
        inputs=("pool",),
        outputs=("results/checkpoint", "results/checkpoint.sha256", "results/records/train/x.json"),
        temporary=frozenset(),
    )


def test_a_record_that_agrees_is_adopted_whatever_the_times(planned: Planned) -> None:
    for path in Path("results").rglob("*"):
        path.touch()
    assert disagreement(planned, {}) is None


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "an input": (lambda: Path("pool").write_text("other"), "pool: an input with other content"),
    "an output": (lambda: Path("results/checkpoint/config").write_text("x"), "config: an output with other content"),
    "a lost output": (lambda: Path("results/checkpoint/config").unlink(), "config: an output that is gone"),
    "one more file": (lambda: Path("results/checkpoint/more").touch(), "more: an output that the record does not list"),
    "no input": (lambda: Path("pool").unlink(), "pool: an input that is gone"),
    "no record": (lambda: Path("results/records/train/x.json").unlink(), "no record"),
    "an edited record": (lambda: edit_record(), "integrity"),
    "a record cut off": (lambda: Path("results/records/train/x.json").write_text('{"schema_ver'), "expected JSON"),
    "a record of a list": (lambda: write_json("results/records/train/x.json", [1]), "expected a JSON object"),
    "an older record": (lambda: write_json("results/records/train/x.json", {"schema_version": 1}), "schema 1"),
}


def edit_record() -> None:
    path = Path("results/records/train/x.json")
    path.write_text(path.read_text().replace('"train"', '"trick"'))


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_is_named(planned: Planned, what: str) -> None:
    change, said = CHANGES[what]
    change()
    assert said in str(disagreement(planned, {}))


def test_other_code_settings_or_words_are_named(planned: Planned) -> None:
    assert disagreement(replace(planned, code="0" * 64), {}) == "the code is another"
    assert disagreement(replace(planned, settings={"n": 1}), {}) == "settings: n was null, is 1"
    words = (*planned.words[:-1], "elsewhere")
    assert disagreement(replace(planned, words=words), {}) == (
        "command: was `--out results/checkpoint`, is `--out elsewhere`"
    )
    more = (*planned.words, "--seed", "3")
    assert (
        disagreement(replace(planned, words=more), {})
        == "command: was `results/checkpoint`, is `results/checkpoint --seed`"
    )


def test_what_only_fits_a_machine_is_not_compared(planned: Planned) -> None:
    path = Path(planned.record)
    record = read_json(path)
    record["execution"]["argv"] += ["--machine", '{"workers": 4}']
    write_json(path, sealed(record))
    assert disagreement(planned, {}) is None


def test_an_input_that_is_gone_is_known_by_the_record_of_the_job_that_made_it(planned: Planned) -> None:
    digest = sha256("pool")
    Path("pool").unlink()
    assert disagreement(planned, {"pool": digest}) is None
    assert "is gone" in str(disagreement(planned, {"pool": "0" * 64}))


def test_a_temporary_output_may_be_gone_and_no_other(planned: Planned, checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    assert "is gone" in str(disagreement(planned, {}))
    assert disagreement(replace(planned, temporary=frozenset({"results/checkpoint"})), {}) is None


def test_a_digest_file_is_written_again_from_the_record(planned: Planned, checkpoint: Path) -> None:
    before = digest_file(checkpoint).read_text()
    digest_file(checkpoint).unlink()
    restore_digest_files(planned)
    assert digest_file(checkpoint).read_text() == before
    assert made_files([Path(planned.record)]).keys() == {"results/checkpoint/config", "results/checkpoint/part/weights"}
