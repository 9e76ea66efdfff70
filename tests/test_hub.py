"""Downloads from a hub of our own on this machine, which answers as much as the real client asks for."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_stand_in import COMMIT, OTHER, Hub, serving

ROOT = Path(__file__).parents[1]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as (url, served):
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield served


def download(
    folder: Path, *words: str, revision: str = "6628554", kind: str = "dataset"
) -> subprocess.CompletedProcess[str]:
    """Call the program as its rule does, with the hub's cache in a folder of its own."""
    return subprocess.run(
        [sys.executable, "scripts/download_hub.py",
         "--kind", kind, "--repository", "some/thing", "--revision", revision,
         "--out", str(folder / "out"), "--work", str(folder / "work"),
         "--record", str(folder / "records/download_dataset/rl.json"), *words],
        cwd=ROOT, capture_output=True, text=True, timeout=600, env=os.environ | {"HF_HOME": str(folder / "home")},
    )  # fmt: skip


def test_files_arrive_as_they_are_with_the_commit_in_the_record(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"data/train.parquet": b"large" * 1000, "README.md": b"not asked for", "config.json": b"{}"}
    hub.large = {"data/train.parquet"}
    done = download(tmp_path, "--files", "*.parquet", "*.json")
    assert done.returncode == 0, done.stderr
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == {name: data for name, data in hub.files.items() if name != "README.md"}
    record = json.loads((tmp_path / "records/download_dataset/rl.json").read_text())
    assert record["notes"]["source"] == {"repository": "some/thing", "commit": COMMIT}
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("large", [True, False])
def test_a_file_that_is_not_what_the_hub_promised_is_refused_and_the_next_call_fetches_only_it(
    hub: Hub, tmp_path: Path, large: bool
) -> None:
    hub.files = {"good.parquet": b"good" * 1000, "bad.parquet": b"bad" * 1000}
    hub.large, hub.damaged = set(hub.files) if large else set(), {"bad.parquet"}
    done = download(tmp_path)
    assert done.returncode == 2
    assert "bad.parquet: expected the hash" in done.stderr
    assert not (tmp_path / "out").exists()
    hub.damaged, hub.fetched = set(), []
    assert download(tmp_path).returncode == 0
    assert hub.fetched == ["bad.parquet"]
    assert (tmp_path / "out/bad.parquet").read_bytes() == hub.files["bad.parquet"]


@pytest.mark.parametrize(("revision", "found"), [("abc", 0), ("", 2)])
def test_a_revision_must_be_one_commit(hub: Hub, tmp_path: Path, revision: str, found: int) -> None:
    done = download(tmp_path, revision=revision)
    assert done.returncode == 2
    assert f"expected one commit that begins with it, found {found}" in done.stderr


def test_without_a_revision_the_newest_commit_is_taken(hub: Hub) -> None:
    program = "from mmr1.data.hub import resolve; print(resolve('some/thing', 'dataset', None))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "scripts", capture_output=True, text=True)
    assert done.stdout == f"{OTHER}\n"


def test_a_model_must_be_a_checkpoint(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"config.json": b"{}"}
    done = download(tmp_path, kind="model")
    assert done.returncode == 2
    assert "expected a checkpoint, found no tokenizer_config.json" in done.stderr
    assert not (tmp_path / "out").exists()
