"""What asks an endpoint: the judge, and served models. It fails, repeats the key, and is gone on from its cache."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark_fixtures import ANSWERS, BENCHMARKS, CHARTS, Call, json_lines, png
from chat_endpoint import Endpoint, serving
from mmr1.benchmarks.base import Response
from mmr1.benchmarks.judge import KEY_VARIABLE, Judge
from mmr1.benchmarks.score import add_judge, judge_items, scores
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.errors import UserError
from mmr1.rewards.verifier.verify import Verifier
from mmr1.rollout.served import KEY_VARIABLE as ENDPOINT_KEY
from mmr1.seeds import derive

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    problems = json_lines(tmp_path / "problems.jsonl", CHARTS)
    rows = [{"id": name, "response": text} for name, text in ANSWERS.items()]
    return problems, json_lines(tmp_path / "answers.jsonl.gz", rows)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(KEY_VARIABLE, "sk-a-secret")
    monkeypatch.setenv(ENDPOINT_KEY, "sk-a-secret")
    with serving() as url:
        yield url


QUESTION = ("Who leads?", "Joe Biden", "President Biden")
OTHER = ("Who leads?", "Joe Biden", "Nobody")


def test_the_judge_answers_and_remembers(endpoint: str, tmp_path: Path) -> None:
    for _ in range(2):
        with Judge(endpoint, "m", tmp_path / "cache.jsonl", retries=1) as judge:
            assert judge.verdicts([QUESTION, OTHER, QUESTION]) == [True, False, True]
    assert len(Endpoint.requests) == 2
    assert Endpoint.requests[0]["key"] == "Bearer sk-a-secret"
    assert Endpoint.requests[0]["temperature"] == 0


def test_the_judge_tries_again(endpoint: str, tmp_path: Path) -> None:
    Endpoint.failures = 1
    with Judge(endpoint, "m", tmp_path / "cache.jsonl", retries=2) as judge:
        assert judge.verdicts([QUESTION]) == [True]
    assert len(Endpoint.requests) == 2


def test_a_judge_that_stays_down_fails_and_keeps_what_it_has(endpoint: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    with Judge(endpoint, "m", cache, retries=0) as judge:
        judge.verdicts([QUESTION])
    Endpoint.failures = 100
    with (
        Judge(endpoint, "m", cache, retries=0) as judge,
        pytest.raises(UserError, match="1 of 2 answers are in") as caught,
    ):
        judge.verdicts([QUESTION, OTHER])
    assert "sk-a-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(cache.read_text().splitlines()) == 1


def test_answers_that_were_under_way_when_another_failed_are_kept(endpoint: str, tmp_path: Path) -> None:
    Endpoint.failing = {"Nobody"}
    several = [OTHER, *((f"Who was number {index}?", "Joe Biden", "President Biden") for index in range(6))]
    with Judge(endpoint, "m", tmp_path / "c.jsonl", retries=0) as judge, pytest.raises(UserError, match=r"\d of 7"):
        judge.verdicts(several)
    kept = len((tmp_path / "c.jsonl").read_text().splitlines())
    Endpoint.failing, Endpoint.requests = set(), []
    with Judge(endpoint, "m", tmp_path / "c.jsonl", retries=0) as judge:
        assert judge.verdicts(several) == [False, *[True] * 6]
    assert len(Endpoint.requests) == 7 - kept


def test_a_line_that_a_killed_job_left_half_written_is_asked_again(endpoint: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    with Judge(endpoint, "m", cache, retries=0) as judge:
        judge.verdicts([QUESTION, OTHER])
    cache.write_bytes(cache.read_bytes()[:-10])
    with Judge(endpoint, "m", cache, retries=0) as judge:
        assert judge.verdicts([QUESTION, OTHER]) == [True, False]
    assert len(Endpoint.requests) == 3


def test_a_judge_that_says_neither_word_gives_no_verdict(endpoint: str, tmp_path: Path) -> None:
    Endpoint.reply = "maybe"
    with (
        Judge(endpoint, "m", tmp_path / "cache.jsonl", retries=0) as judge,
        pytest.raises(UserError, match="expected yes or no, found 'maybe'"),
    ):
        judge.verdicts([QUESTION])
    Endpoint.reply = "<think>Yes? No.</think>\n**No**"
    with Judge(endpoint, "m", tmp_path / "cache.jsonl", retries=0) as judge:
        assert judge.verdicts([QUESTION]) == [False]


@pytest.mark.parametrize("key", ["sk-schlüssel", "sk-one\nsk-two"])
def test_a_key_that_is_none_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(UserError, match=rf"^\${KEY_VARIABLE}: expected a key that can stand in a header") as caught:
        Judge("http://127.0.0.1:1/v1", "m", tmp_path / "cache.jsonl", retries=0)
    assert "sk-" not in str(caught.value)


def test_the_judge_is_asked_only_where_no_rule_could_decide() -> None:
    chartqa = BENCHMARKS["chartqa"]
    rows = [*CHARTS, {"id": "d", "query": "How many?", "label": ["5"], "human_or_machine": 0}]
    answers = {**ANSWERS, "d": "\\boxed{6}"}
    pairs = [(chartqa.to_problem(row, 0), Response(answers[row["id"]])) for row in rows]
    asked: list[tuple[str, str, str]] = []

    def ask(questions: Any) -> list[bool]:
        asked.extend(questions)
        return [True] * len(questions)

    with Verifier(1, 5) as verifier:
        items = add_judge(judge_items(chartqa, pairs, verifier), ask)
    assert [question[1:] for question in asked] == [("Joe Biden", "President Biden")]  # 6 for 5 is decided
    result = scores(chartqa, items)["scores"]
    assert (result["reader"]["correct"], result["judge"]["correct"]) == (2, 3)


# --- the programs


def test_the_key_reaches_no_file(
    call: Call, endpoint: str, files: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "records" / "score_benchmark" / "x.json"
    arguments = ["--problems", files[0], "--predictions", files[1], "--out", tmp_path / "s.json", "--record", record]
    judge = ["--judge", f"{{url: '{endpoint}', model: m}}", "--judge-cache", tmp_path / "cache.jsonl"]
    call("score_benchmark", "--benchmark", "chartqa", *arguments, *judge)
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["judge"]["correct"] == 3
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"sk-a-secret" in content for content in [*written, "".join(capfd.readouterr()).encode()])


def test_the_key_reaches_no_file_of_a_job_that_fails(endpoint: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    """The endpoint repeats the key in its errors; the log, the record's place and the start marker do not."""
    Endpoint.failures = 100
    record, attempt = tmp_path / "records" / "score_benchmark" / "x.json", tmp_path / "x.attempt.json"
    words = ["--problems", files[0], "--predictions", files[1], "--out", tmp_path / "s.json", "--record", record]
    judge = [
        "--judge",
        f"{{url: '{endpoint}', model: m}}",
        "--judge-cache",
        tmp_path / "c.jsonl",
        "--judge-retries",
        "0",
    ]
    command = [sys.executable, SCRIPTS / "score_benchmark.py", "--benchmark", "chartqa", *words, *judge]
    failed = subprocess.run([*command, "--attempt", attempt], capture_output=True)
    assert failed.returncode == 2
    assert b"0 of 1 answers are in" in failed.stderr
    assert not (tmp_path / "s.json").exists()  # nothing is scored by default
    assert json.loads(attempt.read_text())["state"] == "failed"
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"sk-a-secret" in content for content in [*written, failed.stdout, failed.stderr])


def test_a_served_model_answers_like_a_checkpoint(
    call: Call, endpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    problems = [
        Problem("1", "digits", "<image>\nThe sum?", (png(),), "8", "integer", None, {"task": "sum", "count": 2}),
        Problem("2", "digits", "Which?", (), "8", "integer", ("7", "8"), {"task": "sum", "count": 2}),
    ]
    write_problems(tmp_path / "p.parquet", problems)
    (tmp_path / "prompt.txt").write_text("Answer in a box.\n")
    Endpoint.reply = "\\boxed{8}"
    words = ["--url", endpoint, "--model", "m", "--problems", tmp_path / "p.parquet", "--system-prompt",
             tmp_path / "prompt.txt", "--n", "2", "--temperature", "0.6", "--max-tokens", "32", "--seed", "0",
             "--cache", tmp_path / "c.jsonl", "--out", tmp_path / "r.parquet", "--at-once", "1"]  # fmt: skip
    for _ in range(2):  # the second time from the cache
        call("ask_endpoint", *words, "--record", tmp_path / "records" / "ask_endpoint" / "x.json")
    assert len(Endpoint.requests) == 4
    first, last = Endpoint.requests[0], Endpoint.requests[-1]
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("m", 0.6, 32)
    assert first["seed"] == derive(0, "eval", 0, "1", 0)
    assert first["key"] == "Bearer sk-a-secret"
    assert first["messages"][0] == {"role": "system", "content": [{"type": "text", "text": "Answer in a box."}]}
    picture = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    assert first["messages"][1]["content"][0] == {"type": "image_url", "image_url": {"url": picture}}
    assert last["messages"][1]["content"] == [{"type": "text", "text": "Which?\nChoices:\n(A) 7\n(B) 8"}]
    arguments = ["--problems", tmp_path / "p.parquet", "--predictions", tmp_path / "r.parquet"]
    call("score_benchmark", "--benchmark", "digits", *arguments, "--out", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["reader"]["correct"] == 4
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"sk-a-secret" in content for content in [*written, "".join(capfd.readouterr()).encode()])


@pytest.mark.parametrize("program", ["ask_endpoint", "score_benchmark", "prepare_benchmark", "make_tables"])
def test_what_needs_no_model_loads_no_torch(program: str) -> None:
    """These run where Snakemake does, or many at a time."""
    code = f"import sys, {program}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0
