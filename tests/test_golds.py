"""Golds that no rule can read are told when data is prepared, for every set."""

import json
from pathlib import Path

import pytest

from benchmark_fixtures import Call
from mmr1.data.golds import tell_unreadable, unreadable
from mmr1.plumbing.files import read_json
from mmr1.plumbing.record import Job

MATRIX = r"\begin{pmatrix}1&2\end{pmatrix}"


@pytest.mark.parametrize("gold", ["", " ", r"\begin{pmatrix}1&2\end{pmatrix}", r"\int_0^1 x dx"])
def test_a_gold_that_no_rule_can_read(gold: str) -> None:
    assert unreadable(gold)


@pytest.mark.parametrize(
    "gold", ["5", "A", "C\nD", "Bugs Bunny", r"\frac{1}{2}", "(-2,1]", "y=2x+1", "12 cm", "May '21", r"\text{Yes}"]
)
def test_a_gold_that_is_read(gold: str) -> None:
    assert not unreadable(gold)


def test_the_record_has_their_number_and_the_first_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    work = Job()
    tell_unreadable(work, {"problems": {str(number): MATRIX for number in range(150)}, "test": {}})
    assert work.metrics == {"unreadable_golds": 150}
    assert len(work.notes["unreadable_golds"]["problems"]) == 100
    (line,) = capsys.readouterr().err.splitlines()
    assert "problems: 150 golds that no rule can read; the record names them, as '" in line


def test_they_are_counted_in_every_table_of_own_files(call: Call, tmp_path: Path) -> None:
    source: dict[str, str] = {"name": "files"}
    for name in ("problems", "validation", "test"):
        rows = [{"id": "1", "question": "?", "answer": MATRIX}, {"id": "2", "question": "?", "answer": "5"}]
        source[name] = str(tmp_path / f"{name}.jsonl")
        Path(source[name]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = [word for name in source if name != "name" for word in (f"--{name}", tmp_path / f"{name}.parquet")]
    record = tmp_path / "records" / "prepare_data" / "data.json"
    call("prepare_data", "--source", json.dumps(source), *tables, "--record", record)
    noted = read_json(record)
    assert noted["metrics"]["unreadable_golds"] == 3
    assert noted["notes"]["unreadable_golds"] == {name: {"1": MATRIX} for name in ("problems", "test", "validation")}
