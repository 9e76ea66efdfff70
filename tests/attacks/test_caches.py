"""Kept answers of an endpoint: damaged, cut off, of another question, in use, on a full disk."""

import json
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_endpoint import Endpoint, serving
from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError
from mmr1.rollout.endpoint import Endpoint as Client
from mmr1.rollout.served import KEY_VARIABLE, responses
from work_holder import held_elsewhere

QUESTIONS = [Problem(name, "judge", f"Is {name} Joe Biden?", (), "yes") for name in ("President Biden", "Nobody")]


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as one:
        yield one


def ask(url: str, cache: Path, model: str = "m") -> list[str]:
    with Client(url, model, KEY_VARIABLE, retries=0) as client:
        rows = responses(client, QUESTIONS, cache, None, "system", n=1, seed=0, temperature=0.0)
    return [row["text"] for row in rows]


def lines_of(cache: Path) -> list[bytes]:
    return cache.read_bytes().splitlines(keepends=True)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda line: line[:-9],
    "without its end": lambda line: line[:-1],
    "an answer turned round": lambda line: line.replace(b"Yes.", b"no"),
    "no JSON": lambda line: b"{" + line,
    "zeros": lambda line: bytes(len(line) - 1) + b"\n",
    "not UTF-8": lambda line: b"\xff\xfe" + line,
    "nested without end": lambda line: b"[" * 100_000 + b"\n",
    "a list": lambda line: b"[1, 2]\n",
    "of before there were hashes": lambda line: json.dumps({"asked": "a", "answer": True}).encode() + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_named_and_asked_again(
    url: str, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache.jsonl"
    assert ask(url, cache) == ["Yes.", "no"]
    yes, no = sorted(lines_of(cache), key=lambda line: b'"no"' in line)
    cache.write_bytes(no + DAMAGES[damage](yes))
    capsys.readouterr()
    assert ask(url, cache) == ["Yes.", "no"]
    assert len(Endpoint.requests) == 3
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert warnings[0].endswith(f"{cache}: 1 of 2 lines are damaged or cut off; asked again")
    assert sorted(lines_of(cache)) == sorted([yes, no])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of both answers."""
    cache = tmp_path_factory.mktemp("kept") / "cache.jsonl"
    with serving() as url:
        ask(url, cache)
    return cache


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_no_flipped_bit_changes_an_answer(kept: Path, place: int, bit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def chat(self: Client, messages: object, **sampling: float) -> tuple[str, str]:
        return ("Yes." if "President Biden" in str(messages) else "no"), "stop"

    monkeypatch.setattr(Client, "chat", chat)
    content = bytearray(kept.read_bytes())
    content[place % len(content)] ^= 1 << bit
    damaged = kept.with_name("damaged.jsonl")
    damaged.write_bytes(content)
    assert ask("http://127.0.0.1:1/v1", damaged) == ["Yes.", "no"]


def test_what_another_model_said_is_no_answer(url: str, tmp_path: Path) -> None:
    ask(url, tmp_path / "cache.jsonl")
    ask(url, tmp_path / "cache.jsonl", model="other")
    assert len(Endpoint.requests) == 4
    ask(url, tmp_path / "cache.jsonl")  # both are kept
    assert len(Endpoint.requests) == 4


def test_where_a_model_listens_is_no_other_question(url: str, tmp_path: Path) -> None:
    ask(url, tmp_path / "cache.jsonl")
    assert ask("http://127.0.0.1:1/v1", tmp_path / "cache.jsonl") == ["Yes.", "no"]


def test_two_programs_with_one_cache(url: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache.jsonl"
    with (
        held_elsewhere(cache) as other,
        pytest.raises(UserError, match=rf"{cache}: expected no other program there, found process {other.pid} on "),
    ):
        ask(url, cache)
    assert not Endpoint.requests
    assert ask(url, cache) == ["Yes.", "no"]
    assert [path.name for path in tmp_path.iterdir()] == ["cache.jsonl"]  # and no lock


def test_a_folder_in_place_of_a_cache(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path}: expected a file of answers: Is a directory$"):
        ask(url, tmp_path)


def test_on_a_full_disk_nothing_more_is_asked(tmp_path: Path) -> None:
    """Answers cost money; those under way are the last."""
    asked: list[int] = []

    def question(number: int) -> int:
        time.sleep(0.001)
        asked.append(number)
        return number

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with Client("http://127.0.0.1:1/v1", "m", "NO_SUCH_VARIABLE", at_once=1) as client:
            questions = {str(number): partial(question, number) for number in range(10_000)}
            with pytest.raises(UserError, match=rf"^{tmp_path}/cache.jsonl: no room on the disk \(File too large\)"):
                client.ask_all("endpoint", questions, tmp_path / "cache.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(asked) < 10_000
