"""Benchmarks from a hub of our own, through the real client, with as many rows as the real ones have."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from benchmark_fixtures import BENCHMARKS, png
from hub_stand_in import COMMIT, serving
from mmr1.data.problems import read_problems

ROOT = Path(__file__).parents[1]

# A row as the hub has it, but for its image.
ROWS: dict[str, dict[str, Any]] = {
    "mathverse": {"sample_index": "{}", "problem_index": "{}", "problem_version": "Text Lite", "question": "How long?",
                  "question_for_eval": "How long?", "answer": "5", "question_type": "free-form",
                  "metadata": {"split": "testmini", "source": "geo", "subject": "Plane", "subfield": "Length"},
                  "query_wo": "How long?", "query_cot": "Think. How long?"},
    "mathvista": {"pid": "{}", "question": "More?", "image": "images/1.jpg", "choices": ["Yes", "No"], "unit": None,
                  "precision": None, "answer": "No", "question_type": "multi_choice", "answer_type": "text",
                  "metadata": {"category": "math-targeted-vqa", "skills": ["arithmetic reasoning"]},
                  "query": "Hint: choose. More?"},
    "mathvision": {"id": "{}", "question": "Which sum?\n<image1>", "options": [], "image": "images/1.jpg",
                   "answer": "5", "solution": None, "level": 1, "subject": "algebra"},
    "logicvista": {"imagename": "v1_{}.png", "question": "Next? (A) one (B) two", "answer": "B",
                   "skill": ["inductive"], "broad_capability": ["pattern"]},
    "chartqa": {"query": "How high?", "label": ["50"], "human_or_machine": 0},
}  # fmt: skip


def repository(name: str, rows: int, folder: Path) -> dict[str, bytes]:
    """The files of a data set: one Parquet file, and the card that says of which split it is."""
    source = BENCHMARKS[name].source
    assert source
    numbered = [
        {key: value.format(number) if isinstance(value, str) else value for key, value in ROWS[name].items()}
        | {source.image: {"bytes": png(28), "path": None}}
        for number in range(1, rows + 1)
    ]
    data = datasets.Dataset.from_list(numbered)
    data.cast_column(source.image, datasets.Image()).to_parquet(folder / "data.parquet")
    config = source.config or "default"
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n  - split: {source.split}\n    path: data/*\n---\n"
    return {"data/1.parquet": (folder / "data.parquet").read_bytes(), "README.md": card.encode()}


def prepare(name: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Call the program with the hub at `url`."""
    return subprocess.run(
        [sys.executable, "scripts/prepare_benchmark.py", "--benchmark", name, "--revision", "6628554",
         "--out", str(folder / "problems.parquet"), "--record", str(folder / "records/prepare_benchmark/x.json")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(folder / "home")},
    )  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_comes_from_the_hub(name: str, tmp_path: Path) -> None:
    benchmark = BENCHMARKS[name]
    assert benchmark.source
    with serving() as (url, hub):
        hub.files = repository(name, benchmark.source.rows, tmp_path)
        done = prepare(name, tmp_path, url)
    assert done.returncode == 0, done.stderr
    problems = read_problems(tmp_path / "problems.parquet", allow_empty_answer=True)
    row = {key: value.format(1) if isinstance(value, str) else value for key, value in ROWS[name].items()}
    assert len(problems) == benchmark.source.rows
    assert problems[0] == replace(benchmark.to_problem(row, 0), images=(png(28),))
    record = json.loads((tmp_path / "records/prepare_benchmark/x.json").read_text())
    assert record["notes"]["source"] == {"repository": benchmark.source.repository, "commit": COMMIT}


def test_another_number_of_rows_is_one_line(tmp_path: Path) -> None:
    with serving() as (url, hub):
        hub.files = repository("logicvista", 3, tmp_path)
        done = prepare("logicvista", tmp_path, url)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"lscpku/LogicVista@{COMMIT}: expected 448 rows, found 3")
    assert not (tmp_path / "problems.parquet").exists()
