"""`snakemake tables`: checkpoints of others beside the paper's rows, one behind an endpoint that fails at first."""

import csv
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark_fixtures import json_lines, png
from chat_endpoint import Endpoint, serving
from forking import ForkingServer
from mmr1.plumbing.files import read_json
from project import copy_project, snakemake
from tiny_judge import make_judge

RECIPE = "tests/recipes/baselines.yaml"
R = "results/baselines"
KEY = "sk-of-the-endpoint"

# Two items each. The endpoint answers B to everything, which is right for the first of each two.
ROWS = {
    "mathverse": [
        {"sample_index": "1", "problem_index": "1", "problem_version": "Text Lite", "question_type": "multi-choice",
         "question": "Which?\nChoices:\nA:1\nB:2", "query_cot": "Which of two?", "answer": "B"},
        {"sample_index": "2", "problem_index": "2", "problem_version": "Text Lite", "question_type": "free-form",
         "question": "How long?", "query_cot": "How long is it?", "answer": "5"},
    ],
    "mathvista": [
        {"pid": "1", "question": "More?", "query": "Hint: more?", "choices": ["Yes", "No"], "answer": "No",
         "question_type": "multi_choice", "answer_type": "text", "metadata": {}},
        {"pid": "2", "question": "How many?", "query": "Hint: how many?", "answer": "5",
         "question_type": "free_form", "answer_type": "integer", "metadata": {}},
    ],
    "mathvision": [
        {"id": "1", "question": "Which area?", "options": ["1", "2"], "answer": "B", "level": 1, "subject": "areas"},
        {"id": "2", "question": "Which sum?", "options": [], "answer": "5", "level": 1, "subject": "sums"},
    ],
    "logicvista": [
        {"id": "v1_1", "question": "Next? (A) one (B) two", "answer": "B", "skill": ["inductive"]},
        {"id": "v1_2", "question": "Last? (A) one (B) two", "answer": "A", "skill": ["deductive"]},
    ],
    "chartqa": [
        {"id": "1", "query": "Which bar?", "label": ["B"], "human_or_machine": 0},
        {"id": "2", "query": "Which colour?", "label": ["Brown"], "human_or_machine": 1},
    ],
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 * 60)]


@pytest.fixture(scope="module")
def project(server: ForkingServer, tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Iterator[Path]:
    """A checkout with the recipe's endpoint and folder in their places, and benchmarks prepared from local files."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    recipe = project / RECIPE
    with serving() as url:
        Endpoint.reply = "\\boxed{B}"
        text = recipe.read_text().replace("http://127.0.0.1:1/v1", url).replace("FOLDER", str(tiny_model_dir))
        recipe.write_text(text)
        for name, rows in ROWS.items():
            (project / "1.png").write_bytes(png(56))
            local = json_lines(project / f"{name}.jsonl", [{**row, "image": "1.png"} for row in rows])
            subprocess.run(
                [server.python, "scripts/prepare_benchmark.py", "--benchmark", name, "--local", str(local),
                 "--out", f"{R}/data/benchmarks/{name}.parquet",
                 "--record", f"{R}/records/prepare_benchmark/benchmarks/{name}.json"],
                cwd=project, check=True, capture_output=True,
            )  # fmt: skip
        yield project


@pytest.fixture(scope="module")
def printed(server: ForkingServer, project: Path) -> list[str]:
    """What two calls printed: during the first the endpoint refuses one question."""
    Endpoint.failing = {"Which sum?"}
    variables = {"ENDPOINT_API_KEY": KEY, "PATH": server.path}
    first = snakemake(project, "--keep-going", "tables", recipe=RECIPE, rc=1, **variables)
    Endpoint.failing = set()
    return [first, snakemake(project, "tables", recipe=RECIPE, **variables)]


def test_a_job_that_the_endpoint_failed_says_so_and_goes_on(printed: list[str]) -> None:
    first, second = printed
    assert re.search(r"endpoint some/VL-Cogito-7B at \S+: .*; 1 of 2 answers are in \S+: run again to go on", first)
    assert "ask_endpoint" in second
    asked = [str(request["messages"]) for request in Endpoint.requests]
    assert sum("Which area?" in messages for messages in asked) == 1  # answered at the first call, and kept
    assert sum("Which sum?" in messages for messages in asked) == 2
    assert len(asked) == 11
    assert {request["key"] for request in Endpoint.requests} == {f"Bearer {KEY}"}
    assert {request["model"] for request in Endpoint.requests} == {"some/VL-Cogito-7B"}


@pytest.mark.usefixtures("printed")
def test_tables_2_and_3_have_the_baselines_beside_the_paper(project: Path) -> None:
    page = (project / R / "tables/2.md").read_text()
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert "50.0 [" in rows["VL-Cogito-7B (ours, reader = official)"]
    assert "58.2" in rows["VL-Cogito-7B (paper)"]
    assert any(row.startswith("R1-VL-7B (ours, reader") for row in rows)
    assert any(row.startswith("base (ours, reader") for row in rows)
    assert re.search(r"VL-Cogito-7B: checkpoint some/VL-Cogito-7B at http://127\.0\.0\.1:\d+/v1", page)
    assert "prompt: config/prompts/digits.txt" in page
    with (project / R / "tables/2.csv").open() as file:
        served = [row for row in csv.DictReader(file) if row["row"] == "VL-Cogito-7B" and row["checkpoint"]]
    assert len(served) == 2 * 6  # both scores, on five benchmarks and on average
    assert {float(row["accuracy"]) for row in served} == {50.0}
    assert served[5]["note"] == "The paper prints 58.2 as the average of VL-Cogito-7B; its row has the mean 58.4."
    for name in ("2", "3", "4", "accuracy"):
        for ending in ("md", "csv", "tex", "html"):
            assert (project / R / f"tables/{name}.{ending}").stat().st_size > 0


@pytest.mark.usefixtures("printed")
def test_the_endpoints_key_is_in_no_file(project: Path) -> None:
    files = [path for path in project.rglob("*") if path.is_file()]
    assert project / R / "records/ask_endpoint/7b/VL-Cogito-7B/chartqa.json" in files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.usefixtures("printed")
def test_the_official_prompt_is_asked_without_a_system_prompt(project: Path) -> None:
    words = ["-n", "-p", "--config", "evaluation={official_prompt: true}", "--", "tables"]
    printed = snakemake(project, *words, recipe=RECIPE)
    commands = [line for line in printed.splitlines() if "Shell command: python" in line]
    prepared = [line for line in commands if "prepare_benchmark.py" in line]
    assert len(prepared) == 5
    assert all("--prompt official" in line and f"{R}/data/official/" in line for line in prepared)
    asked = [line for line in commands if "generate.py" in line or "ask_endpoint.py" in line]
    assert len(asked) == 3 * 5  # the base model and both baselines: SFT would be training
    assert all(f"--problems {R}/data/official/" in line and "--system-prompt" not in line for line in asked)


@pytest.mark.usefixtures("printed")
def test_a_judge_that_runs_here_decides_what_no_rule_could(
    server: ForkingServer, project: Path, tiny_model_dir: Path
) -> None:
    """The served model says B, the gold is Brown: a judge that says yes to all is heard, and its controls show it."""
    make_judge(tiny_model_dir, project / "yes", "yes")
    scores = f"{R}/7b/eval/VL-Cogito-7B/chartqa/scores.json"
    judge = "evaluation={judge: {path: yes, max_tokens: 8, engine: {name: transformers, batch_size: 4}}}"
    variables = {"ENDPOINT_API_KEY": KEY, "PATH": server.path}
    snakemake(project, "--config", judge, "--", scores, recipe=RECIPE, **variables)
    result = read_json(project / scores)
    assert {name: score["correct"] for name, score in result["scores"].items()} == {
        "official": 1, "reader": 1, "strict": 1, "judge": 2
    }  # fmt: skip
    assert result["judge"] == {"asked": 1, "no_verdict": 0, "failed_controls": 1}
    record = read_json(project / f"{R}/records/judge/7b/VL-Cogito-7B/chartqa.json")
    assert {name: record["key"]["settings"][name] for name in ("temperature", "n", "max_tokens")} == {
        "temperature": 0, "n": 1, "max_tokens": 8
    }  # fmt: skip
    assert {path.partition("/")[0] for path in inputs(record, "model")} == {"yes"}
    scored = read_json(project / f"{R}/records/score_benchmark/7b/VL-Cogito-7B/chartqa.json")
    assert inputs(scored, "judge_replies") == [f"{R}/7b/eval/VL-Cogito-7B/chartqa/judge_replies.parquet"]


def inputs(record: dict[str, Any], name: str) -> list[str]:
    """The paths of one of a record's inputs."""
    listed = record["key"]["inputs"][name]
    return [file["path"] for file in listed]
