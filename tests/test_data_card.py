"""The data card: what is counted and measured of a table, and what the report shows of it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark_fixtures import png
from mmr1.data import contracts
from mmr1.data.card import card
from mmr1.data.conversations import write_conversations
from mmr1.data.near_duplicates import DUPLICATES
from mmr1.data.problems import Problem, write_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.data.rejects import reject_table
from mmr1.models.checkpoints import load_processor
from mmr1.report.data import section
from project import ROOT

PROBLEMS = [
    Problem("a", "web", "<image>What is it?", (png(28),), "4"),
    Problem("b", "web", "<image><image>Which?", (png(28), png(56)), "\\frac{1}{", metadata={"source": "DocReason"}),
    Problem("c", "web", "What is 1 + 1?", (), "2"),
]


@pytest.fixture(scope="module")
def encoder(tiny_model_dir: Path) -> PromptEncoder:
    return PromptEncoder(load_processor(tiny_model_dir))


def test_a_table_is_counted_whole_and_measured_as_the_trainer_does(encoder: PromptEncoder, tmp_path: Path) -> None:
    write_problems(tmp_path / "problems.parquet", PROBLEMS)
    found = card(tmp_path / "problems.parquet", encoder, seed=0)
    assert (found["rows"], found["sample"], found["by_source"]) == (3, 3, {"web": 2, "DocReason": 1})
    assert found["by_images"] == {"0": 1, "1": 1, "2": 1}
    lengths = sorted(encoder.length(problem) for problem in PROBLEMS)
    assert found["prompt_tokens"] == {"median": lengths[1], "p95": lengths[2], "largest": lengths[2]}
    assert found["pixels"] == {"median": 784, "p95": 56 * 56, "largest": 56 * 56}
    assert (found["unreadable_golds"], found["response_tokens"]) == (1, None)


def test_conversations_have_lengths_of_responses(encoder: PromptEncoder, tmp_path: Path) -> None:
    write_conversations(
        tmp_path / "sft.parquet", [(one, "x" * length) for one, length in zip(PROBLEMS, (5, 6, 9), strict=True)]
    )
    found = card(tmp_path / "sft.parquet", encoder, seed=0)
    assert found["response_tokens"] == {"median": 6, "p95": 9, "largest": 9}
    assert found["unreadable_golds"] is None, "nothing is compared with them"


def test_the_measured_rows_are_drawn_by_the_seed(
    encoder: PromptEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmr1.data.card.SAMPLE", 20)
    rows = [Problem(f"{number}", "s", "x" * (number + 1), (), "1") for number in range(200)]
    write_problems(tmp_path / "problems.parquet", rows)
    first, again, other = (card(tmp_path / "problems.parquet", encoder, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert (first["rows"], first["sample"]) == (200, 20)


def test_the_report_shows_the_card_with_what_was_left_out_and_what_is_a_benchmarks(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    write_problems(tmp_path / "problems.parquet", PROBLEMS)
    with reject_table(tmp_path / "problems_rejects.parquet", 1) as rejects:
        rejects.add("data.parquet", "row 3", 3, "d", "answer: expected a text, found <an empty one>")
    found = {"table": "problems", "id": "a", "benchmark": "mathvision", "benchmark_id": "7", "kind": "same"}
    contracts.write(tmp_path / "duplicates.parquet", [found, found | {"id": "b", "kind": "images"}], DUPLICATES)
    source = json.dumps({
        "name": "mmr1", "validation": "mathvista",
        "sft": {"hub": "MMR1/MMR1-SFT", "revision": "fc48d95", "rows": 4},
        "rl": {"hub": "MMR1/MMR1-RL", "revision": "b9712c8", "rows": 4},
    })  # fmt: skip
    done = subprocess.run(
        [
            sys.executable, "scripts/describe_data.py", "--source", source, "--processor", str(tiny_model_dir),
            "--tables", str(tmp_path / "problems.parquet"), "--rejects", str(tmp_path / "problems_rejects.parquet"),
            "--duplicates", str(tmp_path / "duplicates.parquet"), "--out", str(tmp_path / "card.json"),
        ],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    html = section(tmp_path / "card.json")
    assert '<td>problems</td><td class="number">3</td>' in html
    assert "MMR1/MMR1-RL@b9712c8" in html
    assert "Left out: 1 (answer: expected a text)" in html
    assert "1 of mathvision (text and images, or the text of one without): a" in html
    assert "1 of mathvision (images alone): b" in html
    assert "include MathVision and ChartQA" in html, "what the paper says of its own overlap stands beside it"
    assert section(None) == ""


def test_a_broken_source_name_is_text_in_the_page(encoder: PromptEncoder, tmp_path: Path) -> None:
    rows = [replace(PROBLEMS[2], source=name, id=name) for name in ("<script>", "b")]
    write_problems(tmp_path / "problems.parquet", rows)
    one = card(tmp_path / "problems.parquet", encoder, 0) | {"left_out": None, "near_duplicates": []}
    about = {"title": "T", "about": "A.", "licence": None, "overlap": None, "origins": {}, "near_duplicates": "keep"}
    (tmp_path / "card.json").write_text(json.dumps(about | {"tables": {"problems": one}}))
    html = section(tmp_path / "card.json")
    assert "&lt;script&gt; 1" in html
    assert "<script>" not in html
