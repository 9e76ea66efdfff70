"""Outputs are whole or absent."""

from pathlib import Path

import pytest

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic, digest, files_under, read_json, read_jsonl, sha256, write_json, write_jsonl


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for name in ("first", "second"):
        with atomic(target) as folder:
            folder.mkdir()
            (folder / name).write_text(name)
    assert [file.name for file in files_under(target)] == ["second"]


def test_snakemakes_timestamp_is_not_content(tmp_path: Path) -> None:
    (tmp_path / ".snakemake_timestamp").write_text("")
    (tmp_path / "weights").write_text("1")
    assert [file.name for file in files_under(tmp_path)] == ["weights"]


def test_json_round_trips_and_its_digest_ignores_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": 1}
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    write_jsonl(tmp_path / "a.jsonl", [{"step": 0}, {"step": 1}])
    assert read_jsonl(tmp_path / "a.jsonl") == [{"step": 0}, {"step": 1}]


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"step": 0}\n[1]\n')
    with pytest.raises(UserError, match="line 2: expected a JSON object"):
        read_jsonl(tmp_path / "a.jsonl")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: expected JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "missing.json")


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
