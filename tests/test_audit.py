"""The audit on two small jobs: what the tamper matrix of the whole pipeline (test_pipeline.py) does not show."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.record import job
from mmr1.plumbing.seal import sealed
from mmr1.provenance.audit.audit import audit
from mmr1.provenance.audit.findings import Finding, Verdict
from mmr1.provenance.audit.kept import freeze
from mmr1.provenance.audit.report import lines
from project import ROOT

RESULTS = Path("results/small")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which one job made a folder and a temporary state of a source, and another read the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["scripts/calibrate.py", "--record"])
    Path("source.txt").write_text("from outside")
    run("make", {"source": "source.txt"}, {"folder": RESULTS / "folder", "state": RESULTS / "state"})
    run("use", {"folder": RESULTS / "folder"}, {"table": RESULTS / "table.csv"})
    return tmp_path


def run(rule: str, inputs: dict[str, object], outputs: dict[str, Path]) -> None:
    """A job of the program `calibrate` that copies its inputs' bytes into its outputs."""
    record = RESULTS / f"records/{rule}/all.json"
    sys.argv[1:] = ["--record", str(record), "--attempt", "x"]
    named = {name: Path(str(value)) for name, value in {**inputs, **outputs}.items()}
    args = argparse.Namespace(record=record, attempt=None, limited=None, **named)
    with job(args, inputs=inputs, outputs=outputs, temporary=[name for name in outputs if name == "state"]):  # type: ignore[arg-type]
        for path in outputs.values():
            if path.suffix:
                path.write_text(rule)
            else:
                path.mkdir(parents=True, exist_ok=True)
                (path / "file.json").write_text(json.dumps([rule, str(path)]))


def found(checkout: Path, target: str = "results/small", full: bool = True) -> list[Finding]:
    """What an audit finds that is not as records say, but for what differs harmlessly."""
    done = audit(checkout / target, checkout, full)
    return [one for one in done.findings if one.verdict is Verdict.DIFFERS]


def test_a_result_is_followed_to_its_source(checkout: Path) -> None:
    done = audit(checkout / "results/small/table.csv", checkout)
    assert [step.job.name for step in done.steps.values()] == ["make all", "use all"]
    text = "\n".join(lines(done))
    assert "use all → table.csv" in text
    assert "└─ ~ make all" in text or "└─ ✓ make all" in text
    assert "✓ source.txt (a source)" in text


def test_a_temporary_output_may_be_gone_and_may_not_be_another(checkout: Path) -> None:
    assert found(checkout) == []
    state = checkout / "results/small/state/file.json"
    state.write_text("[]")
    assert [one.thing for one in found(checkout)] == ["results/small/state/file.json"]
    state.unlink()
    assert [one.thing for one in found(checkout)] == ["results/small/state/file.json"], "it goes as a whole"
    state.parent.rmdir()
    assert found(checkout) == []
    shutil.rmtree(checkout / "results/small/folder")
    assert {one.thing for one in found(checkout)} == {"results/small/folder/file.json"}


def test_results_that_were_moved_agree(checkout: Path) -> None:
    (checkout / "results/small").rename(checkout / "elsewhere")
    assert found(checkout, "elsewhere") == []


def test_a_source_that_was_changed_is_named_for_the_job_that_read_it(checkout: Path) -> None:
    (checkout / "source.txt").write_text("from Outside")
    (finding,) = found(checkout, "results/small/table.csv")
    assert (finding.thing, finding.job) == ("source.txt", "make all")
    assert "--forcerun results/small/records/make/all.json" in finding.remedy


def test_an_input_that_its_maker_has_made_anew_since_is_named(checkout: Path) -> None:
    (checkout / "source.txt").write_text("another")
    run("make", {"source": "source.txt"}, {"folder": RESULTS / "folder", "state": RESULTS / "state"})
    assert found(checkout) == []  # the same bytes: the chain heals
    path = checkout / "results/small/folder/file.json"
    path.write_text('["make", "anew"]')
    assert {one.thing for one in found(checkout)} == {"results/small/folder/file.json"}


def test_a_job_that_was_told_to_use_a_changed_input_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkout / "results/small/folder/file.json"
    good = path.read_text()
    path.write_text("[]")
    monkeypatch.setenv("MMR1_CHANGED_INPUTS", "warn")
    run("use", {"folder": RESULTS / "folder"}, {"table": RESULTS / "table.csv"})
    path.write_text(good)
    assert any("was used although it was changed" in one.problem for one in found(checkout))


def test_a_quick_audit_trusts_what_it_remembers_and_a_full_one_reads(checkout: Path) -> None:
    table = checkout / "results/small/table.csv"
    assert found(checkout, full=False) == []
    status = table.stat()
    table.write_text("usE")
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert found(checkout, full=False) == []
    assert [one.thing for one in found(checkout)] == ["results/small/table.csv"]


def test_what_is_frozen_anchors_the_records(checkout: Path) -> None:
    listed = freeze(checkout / "results/small")
    assert subprocess.run(["sha256sum", "--quiet", "-c", listed.name], cwd=listed.parent).returncode == 0
    path = checkout / "results/small/records/use/all.json"
    record = read_json(path)
    write_json(path, sealed({**record, "metrics": {"accuracy": 1.0}}))
    (finding,) = found(checkout)
    assert finding.thing == "results/small/records/use/all.json"
    assert finding.remedy.endswith("make freeze RESULTS=results/small")


def test_a_file_of_which_no_record_tells_is_refused(checkout: Path) -> None:
    (checkout / "results/small/notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt: expected a file that a record tells of, found none"):
        audit(checkout / "results/small/notes.txt", checkout)
    assert found(checkout) == []  # it harms nothing
    with pytest.raises(UserError, match="expected a file of a results folder"):
        audit(checkout / "source.txt", checkout)


def test_the_program_says_a_mistake_in_one_line(tmp_path: Path) -> None:
    program = [str(ROOT / ".envs/driver/bin/python"), str(ROOT / "scripts/audit.py")]
    done = subprocess.run([*program, str(tmp_path / "no")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"audit.py: error: {tmp_path}/no: no such file or folder\n")
