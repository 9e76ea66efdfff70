"""Records, start markers and code digests, made by a small real program in a folder of its own."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mmr1.plumbing import code
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.machine import _model
from mmr1.plumbing.seal import sealed
from mmr1.provenance.ledger import locate, read_attempts, read_records

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"

PROGRAM = '''
"""Repeat a text."""
import argparse, time
from pathlib import Path
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.repeat import repeated

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0)
    add_job_arguments(parser)
    args = parser.parse_args()
    with job(args, inputs={"text": args.text}, outputs={"out": args.out}) as work:
        time.sleep(args.seconds)
        text = "".join(path.read_text() for path in args.text if path.is_file())
        if text == "mistake":
            raise UserError("text: expected no mistake")
        if text == "bug":
            raise ValueError("a bug")
        args.out.write_text(repeated(text, args.times))
        work.metrics["length"] = len(text)

run(main)
'''

REPEAT = '''
"""Text that is repeated."""

def repeated(text, times):
    """A text so many times."""
    return text * times  # as often as asked
'''


class Workplace:
    """A folder with its own copy of the provenance modules and a program that uses them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        library = folder / "scripts/mmr1"
        library.mkdir(parents=True)
        shutil.copy(SCRIPTS / "mmr1/__init__.py", library / "__init__.py")
        shutil.copytree(SCRIPTS / "mmr1/plumbing", library / "plumbing")
        (library / "repeat.py").write_text(REPEAT)
        (library / "unused.py").write_text("VALUE = 1\n")
        (folder / "scripts/repeat_text.py").write_text(PROGRAM)
        (folder / "results").mkdir()
        (folder / "envs").symlink_to(SCRIPTS.parent / "envs")  # jobs hold their packages against its locks

    def command(self, text: str | list[str], out: str, job: str, *more: str) -> list[str]:
        """The program's command line; `job` names its record and its start marker."""
        texts = [text] if isinstance(text, str) else text
        words = ["--text", *texts, "--out", out, "--record", f"results/records/repeat/{job}.json"]
        words += ["--attempt", f"results/logs/repeat/{job}.attempt.json", *more]
        return [sys.executable, "scripts/repeat_text.py", *words]

    def run(self, text: str | list[str], out: str, job: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        return subprocess.run(self.command(text, out, job, *more), cwd=self.folder, capture_output=True, text=True)

    def done(self, text: str | list[str], out: str, job: str, *more: str) -> dict[str, Any]:
        """Run the program and give its record."""
        result = self.run(text, out, job, *more)
        assert result.returncode == 0, result.stderr
        return read_json(self.folder / f"results/records/repeat/{job}.json")

    def attempt(self, job: str) -> dict[str, Any]:
        """The start marker of a job."""
        return read_json(self.folder / f"results/logs/repeat/{job}.attempt.json")

    def write(self, name: str, text: str) -> str:
        """Write a file; gives its name."""
        (self.folder / name).write_text(text)
        return name


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "place")


def test_a_record_says_what_was_computed_from_what_and_by_what(place: Workplace) -> None:
    record = place.done(place.write("a.txt", "ab"), "b.txt", "x/seed0", "--times", "3")
    key = record["key"]
    assert (key["rule"], key["wildcards"], key["program"]) == ("repeat", "x/seed0", "repeat_text")
    assert key["params"] == {"seconds": 0.0, "times": 3}
    (text,) = key["inputs"]["text"]
    assert text == {
        "path": "a.txt",
        "sha256": "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603",
        "bytes": 2,
    }
    assert record["outputs"]["out"][0]["bytes"] == 6
    assert {"repeat_text.py", "mmr1/repeat.py"} <= set(key["code"]["files"])
    assert not any(file.startswith("mmr1/plumbing/") for file in key["code"]["files"]), "plumbing computes nothing"
    assert "mmr1/unused.py" not in key["code"]["files"]
    execution = record["execution"]
    assert execution["environment"]["packages"]["pytest"] == pytest.__version__
    assert "mmr1/plumbing/record.py" in execution["plumbing"]
    assert execution["cpu"] in Path("/proc/cpuinfo").read_text()
    assert record["metrics"] == {"length": 2}
    assert place.attempt("x/seed0")["state"] == "finished"


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7763\n\nprocessor\t: 1\nmodel name\t: other\n", "AMD EPYC 7763"),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n", "CPU implementer 0x41, CPU part 0xd4f"),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
    ],
)
def test_the_processor_is_named_by_its_model(cpuinfo: str, model: str) -> None:
    assert _model(cpuinfo) == model


def test_the_ledger_reads_what_jobs_write(place: Workplace) -> None:
    record = place.done(place.write("a.txt", "ab"), "b.txt", "x/seed0")
    (read,) = read_records(place.folder / "results")
    assert (read.name, read.rule, read.place.parts) == (record["name"], "repeat", ("x", "seed0"))
    assert read.execution.seconds == record["execution"]["seconds"]
    (attempt,) = read_attempts(place.folder / "results")
    assert (attempt.rule, attempt.wildcards, attempt.state) == ("repeat", "x/seed0", "finished")


def test_the_same_job_in_another_folder_at_another_time_has_the_same_digest(place: Workplace, tmp_path: Path) -> None:
    there = Workplace(tmp_path / "elsewhere")
    here_record = place.done(place.write("a.txt", "ab"), "b.txt", "x")
    there_record = there.done(there.write("renamed.txt", "ab"), "other.txt", "x")
    assert here_record["name"] == there_record["name"]
    assert here_record["execution"]["start"] != there_record["execution"]["start"]
    assert there.done("renamed.txt", "other.txt", "x", "--times", "5")["name"] != here_record["name"]


def test_the_name_says_what_was_computed_and_the_integrity_all_that_is_said(place: Workplace) -> None:
    """Plumbing and times change the record and leave its name: what follows from it stays as it is."""
    first = place.done(place.write("a.txt", "ab"), "b.txt", "x")
    library = place.folder / "scripts/mmr1"
    errors = library / "plumbing/errors.py"
    errors.write_text(errors.read_text() + "\nUNUSED = 1\n")
    second = place.done("a.txt", "b.txt", "x", "--times", "2")
    assert second["name"] == first["name"]
    assert second["integrity"] != first["integrity"]
    assert second["execution"]["plumbing"] != first["execution"]["plumbing"]
    (library / "repeat.py").write_text(REPEAT.replace("text * times", "times * text"))
    assert place.done("a.txt", "b.txt", "x")["name"] != first["name"]


def test_what_need_not_repeat_is_no_part_of_the_name(place: Workplace) -> None:
    program = place.folder / "scripts/repeat_text.py"
    program.write_text(PROGRAM.replace("repeated(text, args.times)", "repeated(text, args.times) + str(time.time())"))
    one, other = (place.done(place.write("a.txt", "ab"), "b.txt", "x") for _ in range(2))
    assert one["name"] != other["name"]
    program.write_text(program.read_text().replace('{"out": args.out})', '{"out": args.out}, unrepeated=["out"])'))
    one, other = (place.done("a.txt", "b.txt", "x") for _ in range(2))
    assert one["outputs"] != other["outputs"]
    assert one["name"] == other["name"]


def test_a_name_tells_files_of_a_folder_apart(place: Workplace) -> None:
    """Two files that were swapped are another input, though their bytes are the same ones."""
    folder = place.folder / "texts"
    folder.mkdir()
    names = []
    for first, second in (("ab", "cd"), ("cd", "ab")):
        (folder / "1.txt").write_text(first)
        (folder / "2.txt").write_text(second)
        names.append(place.done("texts", "b.txt", "x")["name"])
    assert names[0] != names[1]


def test_a_record_that_was_changed_is_refused(place: Workplace) -> None:
    """Any byte of it, at 60 places all over the file."""
    place.done(place.write("a.txt", "ab"), "b.txt", "x")
    path = place.folder / "results/records/repeat/x.json"
    whole = path.read_bytes()
    read_records(place.folder / "results")
    for position in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(UserError, match=r"x\.json: "):
            read_records(place.folder / "results")
    path.write_bytes(whole.replace(b"  ", b"\t", 1))
    with pytest.raises(UserError, match=r"x\.json: integrity: expected"):
        read_records(place.folder / "results")


def test_a_record_of_the_first_wave_is_refused_by_its_version(place: Workplace) -> None:
    record = place.done(place.write("a.txt", "ab"), "b.txt", "x")
    write_json(place.folder / "results/records/repeat/x.json", record | {"schema_version": 1})
    with pytest.raises(UserError, match=r"x\.json: schema_version: expected 2, found 1"):
        read_records(place.folder / "results")


def test_parents_are_the_records_of_the_inputs_and_the_rest_are_sources(place: Workplace) -> None:
    first = place.done(place.write("a.txt", "ab"), "results/b.txt", "first")
    assert first["parents"] == []
    assert first["sources"] == [{"path": "a.txt", "sha256": first["key"]["inputs"]["text"][0]["sha256"]}]
    second = place.done("results/b.txt", "results/c.txt", "second")
    assert second["parents"] == [{"record": "results/records/repeat/first.json", "name": first["name"]}]
    assert second["sources"] == second["changed_inputs"] == []


def test_making_the_same_bytes_again_heals_the_chain(place: Workplace) -> None:
    place.done(place.write("a.txt", "ab"), "results/b.txt", "first")
    second = place.done("results/b.txt", "results/c.txt", "second")
    (place.folder / "results/b.txt").unlink()
    assert place.done("a.txt", "results/b.txt", "first")["name"] == second["parents"][0]["name"]


def test_the_temporary_files_of_other_jobs_are_no_records(place: Workplace) -> None:
    half = place.folder / "results/records/repeat/.other.json.abcd/other.json"
    half.parent.mkdir(parents=True)
    half.write_text('{"key": ')
    place.done(place.write("a.txt", "ab"), "b.txt", "x")
    assert len(read_records(place.folder / "results")) == 1


def test_a_folder_is_hashed_file_by_file_without_what_snakemake_drops_into_it(place: Workplace) -> None:
    folder = place.folder / "folder"
    (folder / "deep").mkdir(parents=True)
    for name in ("deep/a.txt", "b.txt", ".snakemake_timestamp"):
        (folder / name).write_text(name)
    files = place.done("folder", "c.txt", "x")["key"]["inputs"]["text"]
    assert [file["path"] for file in files] == ["folder/b.txt", "folder/deep/a.txt"]


def test_a_missing_input_is_one_line(place: Workplace) -> None:
    result = place.run("nowhere.txt", "b.txt", "x")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "repeat_text.py: error: nowhere.txt: no such file or folder (--text)"
    assert "Traceback" not in result.stderr
    assert not list(place.folder.rglob("x.json"))


def test_a_record_that_would_lie_elsewhere_is_refused_before_the_work(place: Workplace) -> None:
    text = place.write("a.txt", "ab")
    words = [word.replace("results/records/", "elsewhere/") for word in place.command(text, "b.txt", "x")]
    result = subprocess.run(words, cwd=place.folder, capture_output=True, text=True)
    assert result.returncode == 2
    assert "expected a path of the form …/records/<rule>/<name>.json" in result.stderr.splitlines()[-1]
    assert not (place.folder / "b.txt").exists()


@pytest.mark.parametrize(("text", "code", "error"), [("mistake", 2, "UserError"), ("bug", 1, "ValueError: a bug")])
def test_a_failing_job_leaves_a_failed_attempt_and_no_record(
    place: Workplace, text: str, code: int, error: str
) -> None:
    assert place.run(place.write("a.txt", text), "b.txt", "x").returncode == code
    assert place.attempt("x")["state"] == "failed"
    assert error in place.attempt("x")["error"]
    assert not (place.folder / "results/records/repeat/x.json").exists()


def test_a_killed_job_still_says_running_and_stays_known_when_the_job_is_done_at_last(place: Workplace) -> None:
    text = place.write("a.txt", "ab")
    process = subprocess.Popen(place.command(text, "b.txt", "x", "--seconds", "3600"), cwd=place.folder)
    marker = place.folder / "results/logs/repeat/x.attempt.json"
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.attempt("x")["state"] == "running"
    place.done(text, "b.txt", "x")
    states = [(one.state, one.pid == process.pid) for one in read_attempts(place.folder / "results")]
    assert states == [("running", True), ("finished", False)]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program and its library, as the code digest sees them."""
    scripts = Workplace(tmp_path / "place").folder / "scripts"
    monkeypatch.setattr(code, "SCRIPTS", scripts)
    return scripts


def digest_after(scripts: Path, name: str, old: str, new: str) -> str:
    """The program's code digest once a text in a module was replaced."""
    path = scripts / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    code._parsed.cache_clear()  # a running workflow reads each file once
    return code.code_digest("repeat_text")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# as often as asked", "# as often as I like"),
        ("A text so many times.", "Repeat it."),
        ('    """A text so many times."""\n', ""),
        ("text * times", "(text\n        * times)"),
        ('"""Text that is repeated."""\n', '"""Text."""\n\n\n'),
    ],
    ids=["comment", "docstring", "docstring removed", "line break", "blank lines"],
)
def test_comments_docstrings_and_formatting_do_not_change_the_code_digest(programs: Path, old: str, new: str) -> None:
    code._parsed.cache_clear()
    before = code.code_digest("repeat_text")
    assert digest_after(programs, "mmr1/repeat.py", old, new) == before


def test_a_changed_line_changes_the_digest_of_what_imports_it(programs: Path) -> None:
    code._parsed.cache_clear()
    before = code.code_digest("repeat_text")
    assert digest_after(programs, "mmr1/unused.py", "1", "2") == before
    assert digest_after(programs, "mmr1/repeat.py", "text * times", "times * text") != before


def test_imports_are_followed_over_modules(programs: Path) -> None:
    digest_after(programs, "mmr1/repeat.py", "def repeated", "from mmr1 import unused\n\ndef repeated")
    before = code.code_digest("repeat_text")
    assert "mmr1/unused.py" in code.code_files("repeat_text")
    assert digest_after(programs, "mmr1/unused.py", "1", "2") != before


def test_relative_imports_are_refused_for_they_are_not_followed(programs: Path) -> None:
    with pytest.raises(ValueError, match="relative imports"):
        digest_after(programs, "mmr1/repeat.py", "def repeated", "from . import unused\n\ndef repeated")


def test_a_broken_record_names_file_and_field(place: Workplace) -> None:
    place.done(place.write("a.txt", "ab"), "b.txt", "x")
    path = place.folder / "results/records/repeat/x.json"
    record = read_json(path)
    record["execution"]["seconds"] = "soon"
    write_json(path, sealed(record))
    with pytest.raises(UserError, match=r"x\.json: execution\.seconds: .*'soon'"):
        read_records(place.folder / "results")
    path.write_text(json.dumps([1]))
    with pytest.raises(UserError, match="expected a JSON object, found list"):
        read_records(place.folder / "results")
    path.unlink()
    with pytest.raises(UserError, match="expected the records of finished jobs, found none"):
        read_records(place.folder / "results")


def test_a_file_of_a_record_is_found_where_the_results_were_moved_to(tmp_path: Path) -> None:
    moved = tmp_path / "archive/digits"
    (moved / "data").mkdir(parents=True)
    (moved / "data/a.txt").write_text("a")
    assert locate("results/digits/data/a.txt", moved) == moved / "data/a.txt"
    assert locate("results/digits/data/b.txt", moved) is None
    assert locate(str(moved / "data/a.txt"), tmp_path) == moved / "data/a.txt"
