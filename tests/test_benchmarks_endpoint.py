"""What asks an endpoint: for a benchmark's answers, or as a judge. It fails, repeats the key; a cache goes on."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmark_fixtures import ANSWERS, CHARTS, Call, json_lines, png
from chat_endpoint import Endpoint, serving
from mmr1.benchmarks.settings import JUDGE_KEY as KEY_VARIABLE
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.plumbing.errors import UserError
from mmr1.rollout.endpoint import Endpoint as Model
from mmr1.rollout.served import KEY_VARIABLE as ENDPOINT_KEY
from mmr1.rollout.served import responses
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


def answering(url: str, problems: Sequence[Problem], cache: Path, retries: int = 0) -> list[str]:
    """What the endpoint says to questions in words, of the words that are said again."""
    with Model(url, "m", KEY_VARIABLE, retries=retries) as model:
        rows = responses(model, problems, cache, None, "system", n=1, seed=0, temperature=0.0)
    return [row["text"] for row in rows]


def question(number: int, text: str) -> Problem:
    return Problem(str(number), "judge", text, (), "Joe Biden")


QUESTIONS = [question(0, "President Biden?"), question(1, "Nobody?")]


def test_an_endpoint_answers_and_is_not_asked_again(endpoint: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert answering(endpoint, QUESTIONS, tmp_path / "cache.jsonl") == ["Yes.", "no"]
    assert len(Endpoint.requests) == 2
    assert Endpoint.requests[0]["key"] == "Bearer sk-a-secret"
    assert Endpoint.requests[0]["temperature"] == 0


def test_an_endpoint_is_tried_again(endpoint: str, tmp_path: Path) -> None:
    Endpoint.failures = 1
    assert answering(endpoint, QUESTIONS[:1], tmp_path / "cache.jsonl", retries=2) == ["Yes."]
    assert len(Endpoint.requests) == 2


def test_an_endpoint_that_stays_down_fails_and_what_it_said_is_kept(endpoint: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    answering(endpoint, QUESTIONS[:1], cache)
    Endpoint.failures = 100
    with pytest.raises(UserError, match="1 of 2 answers are in") as caught:
        answering(endpoint, QUESTIONS, cache)
    assert "sk-a-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(cache.read_text().splitlines()) == 1


def test_answers_that_were_under_way_when_another_failed_are_kept(endpoint: str, tmp_path: Path) -> None:
    Endpoint.failing = {"Nobody"}
    several = [QUESTIONS[1], *(question(number, f"President Biden, number {number}?") for number in range(2, 8))]
    with pytest.raises(UserError, match=r"\d of 7"):
        answering(endpoint, several, tmp_path / "c.jsonl")
    kept = len((tmp_path / "c.jsonl").read_text().splitlines())
    Endpoint.failing, Endpoint.requests = set(), []
    assert answering(endpoint, several, tmp_path / "c.jsonl") == ["no", *["Yes."] * 6]
    assert len(Endpoint.requests) == 7 - kept


def test_a_line_that_a_killed_job_left_half_written_is_asked_again(endpoint: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    answering(endpoint, QUESTIONS, cache)
    cache.write_bytes(cache.read_bytes()[:-10])
    assert answering(endpoint, QUESTIONS, cache) == ["Yes.", "no"]
    assert len(Endpoint.requests) == 3


def test_an_answer_that_repeats_the_key_is_kept_without_it(endpoint: str, tmp_path: Path) -> None:
    Endpoint.reply = "Your key is sk-a-secret."
    assert answering(endpoint, QUESTIONS[:1], tmp_path / "cache.jsonl") == ["Your key is …."]
    assert "sk-a-secret" not in (tmp_path / "cache.jsonl").read_text()


@pytest.mark.parametrize("key", ["sk-schlüssel", "sk-one\nsk-two"])
def test_a_key_that_is_none_is_one_line_without_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(UserError, match=rf"^\${KEY_VARIABLE}: expected a key that can stand in a header") as caught:
        Model("http://127.0.0.1:1/v1", "m", KEY_VARIABLE, retries=0)
    assert "sk-" not in str(caught.value)


# --- the programs


def test_a_served_judge(
    call: Call, endpoint: str, files: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What no rule could decide is selected, asked about and scored; the key stands in no file."""
    about = ["--benchmark", "chartqa", "--problems", files[0], "--predictions", files[1]]
    call("select_undecided", *about, "--out", tmp_path / "u.parquet")
    assert [problem.id for problem in read_problems(tmp_path / "u.parquet")] == ["control-yes", "control-no", "c#0"]
    words = ["--url", endpoint, "--model", "m", "--key-variable", KEY_VARIABLE, "--temperature", "0", "--seed", "0"]
    paths = ["--problems", tmp_path / "u.parquet", "--cache", tmp_path / "c.jsonl", "--out", tmp_path / "r.parquet"]
    call("ask_endpoint", *words, *paths, "--record", tmp_path / "records" / "ask_judge" / "x.json")
    call("score_benchmark", *about, "--judge-replies", tmp_path / "r.parquet", "--out", tmp_path / "s.json")
    result = json.loads((tmp_path / "s.json").read_text())
    correct = {name: score["correct"] for name, score in result["scores"].items()}
    assert (correct["reader"], correct["judge"]) == (2, 3)  # "Grey" is Gray; who "President Biden" is a judge can say
    assert result["judge"] == {"asked": 1, "no_verdict": 0, "failed_controls": 1}  # this judge says no to all others
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"sk-a-secret" in content for content in [*written, "".join(capfd.readouterr()).encode()])


def test_the_key_reaches_no_file_of_a_job_that_fails(endpoint: str, tmp_path: Path) -> None:
    """The endpoint repeats the key in its errors; the log, the record's place and the start marker do not."""
    Endpoint.failures = 100
    write_problems(tmp_path / "u.parquet", QUESTIONS)
    record, attempt = tmp_path / "records" / "ask_judge" / "x.json", tmp_path / "x.attempt.json"
    words = ["--url", endpoint, "--model", "m", "--key-variable", KEY_VARIABLE, "--temperature", "0", "--seed", "0"]
    paths = ["--problems", tmp_path / "u.parquet", "--cache", tmp_path / "c.jsonl", "--out", tmp_path / "r.parquet"]
    command = [sys.executable, SCRIPTS / "ask_endpoint.py", *words, *paths, "--retries", "0", "--record", record]
    failed = subprocess.run([*command, "--attempt", attempt], capture_output=True)
    assert failed.returncode == 2
    assert b"0 of 2 answers are in" in failed.stderr
    assert not (tmp_path / "r.parquet").exists()  # no verdict by default
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


@pytest.mark.parametrize(
    "program",
    [
        "ask_endpoint",
        "select_undecided",
        "score_benchmark",
        "prepare_benchmark",
        "make_tables",
    ],
)
def test_what_needs_no_model_loads_no_torch(program: str) -> None:
    """These run where Snakemake does, or many at a time."""
    code = f"import sys, {program}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=False).returncode == 0
