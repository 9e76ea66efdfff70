"""From files to scores.json: reading, pairing, intervals, the programs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from benchmark_fixtures import ANSWERS, BENCHMARKS, CHARTS, Call, json_lines, png
from mmr1.benchmarks import prepare
from mmr1.benchmarks.base import Response, benchmark
from mmr1.benchmarks.intervals import bootstrap, interval, wilson
from mmr1.benchmarks.load import load_problems, load_responses
from mmr1.benchmarks.score import judge_items, pair, scores
from mmr1.data import contracts
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.plumbing.errors import UserError
from mmr1.rewards.verifier.verify import Verifier

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    problems = json_lines(tmp_path / "problems.jsonl", CHARTS)
    rows = [{"id": name, "response": text} for name, text in ANSWERS.items()]
    return problems, json_lines(tmp_path / "answers.jsonl.gz", rows)


# --- reading


def test_problems_from_json_objects_lists_and_lines(tmp_path: Path) -> None:
    row = {"imagename": "v1_0.png", "question": "Which?", "answer": "C", "skill": ["inductive"]}
    by_key, as_list = tmp_path / "d.json", tmp_path / "l.json"
    by_key.write_text(json.dumps({"v1_0": row}))
    as_list.write_text(json.dumps([row]))
    lines = json_lines(tmp_path / "l.jsonl.gz", [row])
    for path in (by_key, as_list, lines):
        assert [problem.id for problem in load_problems(BENCHMARKS["logicvista"], path)] == ["v1_0"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": "?", "label": ["1"]}, "row 0: human_or_machine: expected this field, found query, label"),
        ({"query": "?", "label": "1", "human_or_machine": 0}, "row 0: label: expected a list of one answer"),
        ({"query": "?", "label": ["1"], "human_or_machine": 7}, "row 0: human_or_machine: expected 0 or 1, found 7"),
        ({"query": None, "label": ["1"], "human_or_machine": 0}, "row 0: query: expected a text, found None"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_problems(BENCHMARKS["chartqa"], json_lines(tmp_path / "p.jsonl", [row]))


def test_ids_and_responses_stand_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="row 3: id: 'a' stands in row 0 already"):
        load_problems(BENCHMARKS["chartqa"], json_lines(tmp_path / "p.jsonl", [*CHARTS, CHARTS[0]]))
    with pytest.raises(UserError, match="row 1: 'a': expected one response, found a second one"):
        load_responses(json_lines(tmp_path / "r.jsonl", [{"id": "a", "response": "1"}, {"id": "a", "response": "2"}]))
    with pytest.raises(UserError, match="row 0: response: expected a text, found None"):
        load_responses(json_lines(tmp_path / "r.jsonl", [{"id": "a", "response": None}]))
    (tmp_path / "r.jsonl").write_text("no json\n")
    with pytest.raises(UserError, match="line 1: expected JSON"):
        load_responses(tmp_path / "r.jsonl")


def test_a_response_may_hold_a_unicode_line_separator(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"id": "a", "response": "x\u2028y\x0cz"}, ensure_ascii=False) + "\n")
    assert load_responses(path)["a"][0].text == "x\u2028y\x0cz"


def test_an_empty_gold_is_for_benchmarks_only(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_problems(path, [Problem("v1_382", "logicvista", "", (), "", "letter")])
    with pytest.raises(UserError, match="answer: expected a gold answer"):
        read_problems(path, images=False)
    assert load_problems(BENCHMARKS["logicvista"], path)[0].answer == ""


def test_the_readmes_benchmark_is_one() -> None:
    readme = (ROOT / "README.md").read_text()
    block = readme.partition("## Add a benchmark")[2].partition("```python\n")[2].partition("```")[0]
    made: dict[str, Any] = {}
    exec(block, made)
    row = {"id": "7", "question": "How many?", "answer": "12", "topic": "counting"}
    problem = made["BENCHMARK"].to_problem(row, 0)
    with Verifier(1, 5) as verifier:
        items = judge_items(made["BENCHMARK"], [(problem, Response("\\boxed{12\\text{ cm}}"))], verifier)
    found = scores(made["BENCHMARK"], items)["scores"]
    assert {name: score["accuracy"] for name, score in found.items()} == {"official": 1, "reader": 1}
    assert found["reader"]["by"]["topic"]["counting"]["correct"] == 1
    assert len(block.splitlines()) < 80


def test_another_benchmarks_problems_are_refused(tmp_path: Path) -> None:
    write_problems(tmp_path / "p.parquet", [Problem("1", "digits", "?", (), "8")])
    with pytest.raises(UserError, match="row 0: source: expected mathvista, found digits"):
        load_problems(BENCHMARKS["mathvista"], tmp_path / "p.parquet")


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(UserError, match="expected one of chartqa, digits, logicvista"):
        benchmark("mathdunk")


# --- pairing and scores


def test_nothing_is_scored_by_default() -> None:
    chartqa = BENCHMARKS["chartqa"]
    problems = [chartqa.to_problem(row, 0) for row in CHARTS]
    answered = {"a": [Response("1")]}
    with pytest.raises(UserError, match="problem b: expected a response, found none"):
        pair(chartqa, problems, answered)
    with pytest.raises(UserError, match="response z: expected a problem of that id"):
        pair(chartqa, problems[:1], {**answered, "z": [Response("1")]})
    with pytest.raises(UserError, match="none that matches"):
        pair(chartqa, problems, {"z": [Response("1")]}, partial=True)
    assert [problem.id for problem, _ in pair(chartqa, problems, answered, partial=True)] == ["a"]


def test_scores_and_breakdowns() -> None:
    chartqa = BENCHMARKS["chartqa"]
    pairs = [(chartqa.to_problem(row, 0), Response(ANSWERS[row["id"]], finish_reason="stop")) for row in CHARTS]
    with Verifier(1, 5) as verifier:
        result = scores(chartqa, judge_items(chartqa, pairs, verifier))
    assert list(result) == ["benchmark", "n", "scores", "extraction_failures", "truncated"]
    assert {name: score["correct"] for name, score in result["scores"].items()} == {
        "official": 1, "reader": 2, "strict": 1
    }  # fmt: skip
    assert result["scores"]["reader"]["by"]["kind"]["augmented"]["correct"] == 1
    assert result["scores"]["reader"]["ci95"] == list(wilson(2, 3))
    assert (result["n"], result["extraction_failures"], result["truncated"]) == (3, 0, 0)


def test_truncated_responses_and_missing_answers_are_counted() -> None:
    digits = BENCHMARKS["digits"]
    problem = digits.to_problem({"id": "1", "question": "?", "answer": "8", "task": "sum", "count": 2}, 0)
    texts = [("\\boxed{8", "length"), ("\\boxed{8}", "stop"), ("\\boxed{}", "stop")]
    pairs = [(problem, Response(text, finish_reason=reason, rollout=i)) for i, (text, reason) in enumerate(texts)]
    with Verifier(1, 5) as verifier:
        result = scores(digits, judge_items(digits, pairs, verifier))
    assert (result["extraction_failures"], result["truncated"]) == (2, 1)
    assert result["scores"]["reader"]["by"]["count"]["2"]["n"] == 3


# --- intervals


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (3, 10), (10, 10), (436, 3040), (1, 1)])
def test_wilson_is_scipys(correct: int, n: int) -> None:
    expected = binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high))


def test_the_bootstrap_knows_that_versions_stand_or_fall_together() -> None:
    random = np.random.default_rng(1)
    solved = random.random(200) < 0.4
    alike = [bool(value) for value in solved for _ in range(5)]
    clusters = [str(problem) for problem in range(200) for _ in range(5)]
    low, high = bootstrap(alike, clusters)
    narrow = wilson(sum(alike), len(alike))
    assert low < np.mean(alike) < high
    # Five copies hold no more than one: the interval is that of 200 items.
    assert high - low == pytest.approx(np.subtract(*wilson(int(solved.sum()), 200)[::-1]), rel=0.05)
    assert high - low > 2 * (narrow[1] - narrow[0])
    assert bootstrap(alike, clusters) == (low, high)
    assert interval(alike, clusters) == (low, high)
    assert interval([True, False], ["a", "b"]) == wilson(1, 2)


def test_mathverse_resamples_problems() -> None:
    mathverse = BENCHMARKS["mathverse"]
    row = {"question": "?", "answer": "5", "question_type": "free-form", "metadata": {}}
    pairs = [
        (
            mathverse.to_problem({**row, "sample_index": f"{p}-{v}", "problem_index": str(p), "problem_version": v}, 0),
            Response("\\boxed{5}" if p % 2 else "\\boxed{6}"),
        )
        for p in range(20)
        for v in ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")
    ]
    with Verifier(1, 5) as verifier:
        reader = scores(mathverse, judge_items(mathverse, pairs, verifier))["scores"]["reader"]
    assert reader["accuracy"] == 0.5
    assert reader["ci95"] == list(bootstrap([p % 2 == 1 for p in range(20)], [str(p) for p in range(20)]))
    assert reader["by"]["version"]["Vision Only"]["ci95"] == list(wilson(10, 20))


# --- the programs


def test_score_benchmark(call: Call, files: tuple[Path, Path], tmp_path: Path) -> None:
    out, items = tmp_path / "scores.json", tmp_path / "items.parquet"
    record = tmp_path / "records" / "score_benchmark" / "x.json"
    arguments = ["--problems", files[0], "--predictions", files[1], "--out", out, "--items", items]
    call("score_benchmark", "--benchmark", "chartqa", *arguments, "--record", record)
    assert json.loads(out.read_text())["scores"]["reader"]["correct"] == 2
    rows = pq.read_table(items).to_pylist()
    assert [(row["id"], row["official"], row["reader"], row["reader_rule"]) for row in rows] == [
        ("a", True, True, "equal"),
        ("b", False, True, "words"),
        ("c", False, False, "words"),
    ]
    assert rows[1]["extracted"] == "Grey"
    assert json.loads(record.read_text())["metrics"]["timeouts"] == 0


def test_score_benchmark_takes_a_rollouts_table(call: Call, tmp_path: Path) -> None:
    problem = Problem("1", "digits", "?", (), "8", "integer", None, {"task": "sum", "count": 2})
    write_problems(tmp_path / "p.parquet", [problem])
    row = {"problem_id": "1", "seed": 1, "token_ids": [1], "finish_reason": "stop", "logprob": 0.0}
    rollouts = [{**row, "rollout": i, "text": f"\\boxed{{{8 + i}}}"} for i in range(2)]
    contracts.write(tmp_path / "r.parquet", rollouts, contracts.ROLLOUTS)
    arguments = ["--problems", tmp_path / "p.parquet", "--predictions", tmp_path / "r.parquet"]
    call("score_benchmark", "--benchmark", "digits", *arguments, "--out", tmp_path / "s.json")
    result = json.loads((tmp_path / "s.json").read_text())
    assert (result["n"], result["truncated"], result["scores"]["reader"]["accuracy"]) == (2, 0, 0.5)


def test_score_benchmark_refuses_in_one_line(files: tuple[Path, Path], tmp_path: Path) -> None:
    answers = json_lines(tmp_path / "few.jsonl", [{"id": "a", "response": "1"}])
    arguments = ["--problems", files[0], "--predictions", answers, "--out", tmp_path / "s.json"]
    command = [sys.executable, SCRIPTS / "score_benchmark.py", "--benchmark", "chartqa", *arguments]
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr == (
        "score_benchmark.py: error: chartqa: problem b: expected a response, found none (see --partial)\n"
    )
    assert not (tmp_path / "s.json").exists()


# --- preparing


def test_prepare_from_local_files(call: Call, tmp_path: Path) -> None:
    for row in CHARTS:
        (tmp_path / row["image"]).write_bytes(png())
    rows = json_lines(tmp_path / "p.jsonl", CHARTS)
    arguments = ["--benchmark", "chartqa", "--local", rows, "--out", tmp_path / "p.parquet"]
    call("prepare_benchmark", *arguments)
    problems = read_problems(tmp_path / "p.parquet")
    assert problems[0].question == "<image>\nWhich share?"
    assert problems[2].metadata == {"kind": "augmented"}
    (tmp_path / "c.png").unlink()
    (tmp_path / "p.parquet").unlink()
    with pytest.raises(UserError, match=r"row 2: image: expected an image file c\.png"):
        call("prepare_benchmark", *arguments)
    (tmp_path / "c.png").write_bytes(png()[:40])
    with pytest.raises(UserError, match=r"p\.jsonl: row 2: images\[0\]: expected an image, found 40 bytes"):
        call("prepare_benchmark", *arguments)
    assert not (tmp_path / "p.parquet").exists()


def test_prepare_the_official_prompt(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png())
    row = {"id": "1", "question": "How many?", "options": ["1", "2", "3", "4", "5"], "answer": "A", "image": "1.png",
           "level": 1, "subject": "counting"}  # fmt: skip
    mathvision = BENCHMARKS["mathvision"]
    [bare] = prepare.problems(mathvision, tmp_path, [row], "bare", tmp_path)
    [official] = prepare.problems(mathvision, tmp_path, [row], "official", tmp_path)
    assert bare.question == "<image>\nHow many?"
    assert bare.choices == ("1", "2", "3", "4", "5")
    assert official.question.startswith("<image>\nPlease solve the problem step by step")
    assert official.question.endswith("How many?\n(A) 1\n(B) 2\n(C) 3\n(D) 4\n(E) 5\n")
    assert official.metadata["choices_in_question"]
    verse = {"sample_index": "1", "problem_version": "Text Lite", "question": "?", "answer": "1",
             "question_type": "free-form", "image": "1.png"}  # fmt: skip
    with pytest.raises(UserError, match="row 0: query_cot: expected this field"):
        prepare.problems(BENCHMARKS["mathverse"], tmp_path, [verse], "official", tmp_path)


def test_images_of_a_hub_data_set_stay_encoded(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"pid": datasets.Value("string"), "decoded_image": datasets.Image()})
    data = datasets.Dataset.from_list([{"pid": "1", "decoded_image": {"bytes": png(), "path": None}}], features)
    [row] = list(prepare.encoded(data))
    assert prepare.image(BENCHMARKS["mathvista"], row, tmp_path) == png()
