"""Keys in the environment, in URLs and in what a server says: none reaches a line, a marker, a record or a table."""

import argparse
import base64
import html
import json
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark_fixtures import Call
from chat_endpoint import Endpoint, serving
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import job
from mmr1.plumbing.secrets import blotted, blotted_values, check_url, has_secret
from mmr1.recipe import load_recipe
from mmr1.rollout.endpoint import Endpoint as Client
from mmr1.rollout.served import KEY_VARIABLE

KEY = 'sk-"a/secret+key=&<1>'

# What a server may make of the key when it repeats it.
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": json.dumps,
    "as JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "as JSON in ASCII escapes": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "as PHP's JSON": lambda key: json.dumps(key).replace("/", "\\/"),
    "in a URL": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "in a URL, twice": lambda key: quote(quote(key, safe=""), safe=""),
    "in HTML": html.escape,
    "in HTML, by number": lambda key: "".join(f"&#x{ord(one):X};" for one in key),
    "in base64": lambda key: base64.b64encode(key.encode()).decode(),
    "in base64 after the word Bearer": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "in base64 as a password": lambda key: base64.b64encode(f"me:{key}\n".encode()).decode(),
    "in base64 for URLs": lambda key: base64.urlsafe_b64encode(f"x{key}".encode()).decode(),
    "in hexadecimal": lambda key: key.encode().hex().upper(),
    "as Python shows bytes": lambda key: "".join(f"\\x{byte:02x}" for byte in key.encode()),
}


def traces(key: str) -> list[str]:
    """What must not be left of a key: any four characters of it, or of a form that has no letter of it."""
    return [key[start : start + 4] for start in range(len(key) - 3)]


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_blotted_out_in_whatever_form(form: str) -> None:
    shown = FORMS[form](KEY)
    told = blotted(f"before {shown} after", [KEY])
    assert told.startswith("before ")
    assert told.endswith(" after")
    assert "…" in told
    assert not any(trace in told for trace in traces(KEY))
    assert not any(shown[start : start + 12] in told for start in range(len(shown) - 11))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=60).map(str.strip))
def test_any_key_that_can_stand_in_a_header_is_found_in_all_forms(key: str) -> None:
    if len(key) >= 8:
        for form in FORMS.values():
            assert form(key).strip('"') not in blotted(f"[{form(key)}]", [key])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://TOKEN@host/v1", "http://…@host/v1"),
        ("https://me:pass@word@host:5000/", "https://…@host:5000/"),
        ("postgresql://u:p@db/x?sslmode=off", "postgresql://…@db/x?sslmode=off"),
        ("http://h/v1?password=a%20b&x=1", "http://h/v1?password=…&x=1"),
        ("see http://h/?x=1&api_key=abc, then", "see http://h/?x=1&api_key=… then"),
        ("http://h/?access_token=abc#top", "http://h/?access_token=…#top"),
        ("http://h/?X-Amz-Signature=abc", "http://h/?X-Amz-Signature=…"),
        ("http://h/?apikey=abc;token=def", "http://h/?apikey=…;token=…"),
        ("mail me@host about http://host/a@b", "mail me@host about http://host/a@b"),
        ("http://h/?tokens=3&monkey=4&keyword=5", "http://h/?tokens=3&monkey=4&keyword=5"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
    ],
)
def test_what_stands_in_urls(text: str, shown: str) -> None:
    assert blotted(text) == shown
    assert has_secret(text) == (text != shown)


@pytest.mark.parametrize(
    "name", ["ENDPOINT_API_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "CLIENT_SECRET"]
)
def test_what_the_environment_holds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, " a-long-value\n")
    monkeypatch.setenv("SHORT_TOKEN", "true")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-or-true")
    told = blotted_values({"a": ["a-long-value", 1, None], "b": {"c": "true, false-or-true, %61-long-value"}})
    assert told == {"a": ["…", 1, None], "b": {"c": "true, false-or-true, …"}}


# --- where it could end up


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return KEY


def all_files(folder: Path) -> str:
    return "\n".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


def clean(text: str) -> bool:
    """Whether nothing of the key stands in a text, in no form."""
    return not any(form(KEY).strip('"')[:12] in text for form in FORMS.values())


@pytest.mark.parametrize("form", FORMS)
def test_an_endpoint_that_repeats_the_key_when_it_fails(
    secret: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as url, Client(url, "m", KEY_VARIABLE, retries=0) as client:
        Endpoint.failures = 1
        monkeypatch.setattr(Endpoint, "echo", staticmethod(lambda text: FORMS[form](text.removeprefix("Bearer "))))
        question = {"a": lambda: client.chat([{"role": "user", "content": "?"}])}
        with pytest.raises(UserError) as caught:
            client.ask_all("endpoint", question, tmp_path / "cache.jsonl")
    assert "…" in str(caught.value)
    assert clean(str(caught.value))


def test_an_endpoint_that_answers_with_the_key(
    call: Call, secret: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the cache nor the table, and so neither scores nor report nor MLflow."""
    write_problems(tmp_path / "p.parquet", [Problem("1", "digits", "?", (), "8", "integer", None, {})])
    words = ["--model", "m", "--problems", tmp_path / "p.parquet", "--temperature", "0", "--seed", "0"]
    paths = ["--cache", tmp_path / "c.jsonl", "--out", tmp_path / "r.parquet"]
    records = ["--record", tmp_path / "records" / "ask_endpoint" / "x.json", "--attempt", tmp_path / "x.attempt.json"]
    with serving() as url:
        Endpoint.reply = " ".join(form(KEY) for form in FORMS.values())
        call("ask_endpoint", "--url", url, *words, *paths, *records)
    assert Endpoint.requests[0]["key"] == f"Bearer {KEY}"
    assert clean(all_files(tmp_path) + "".join(capfd.readouterr()))


@pytest.mark.parametrize("url", ["http://sk-1234@127.0.0.1:1/v1", "http://127.0.0.1:1/v1?api_key=sk-1234"])
def test_a_url_with_a_key_starts_no_job(
    call: Call, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", "m", "--problems", "p", "--temperature", "0", "--seed", "0", "--cache", "c", "--out", "o"]
    with pytest.raises(SystemExit) as ended:
        run(lambda: call("ask_endpoint", "--url", url, *words, "--attempt", tmp_path / "x.attempt.json"))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--url: found a user name, password or key in it; give it in ${KEY_VARIABLE}, for URLs are recorded" in line
    assert not list(tmp_path.iterdir())


def test_a_key_in_the_settings_is_not_repeated_by_what_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://me:sk-1234@host/v1?token=sk-1234"
    evaluation = {"benchmarks": ["digits"], "judge": {"url": url, "model": "m"}}
    with pytest.raises(SystemExit):
        run(lambda: load_recipe({"evaluation": evaluation}))
    told = capsys.readouterr().err
    assert "evaluation.judge.url: expected a URL" in told
    assert "sk-1234" not in told


def test_a_tracking_uri_with_a_key_is_refused_without_it() -> None:
    for uri in ("http://me@host:5000", "http://me:sk-1234@host", "https://host/?password=sk-1234"):
        with pytest.raises(UserError, match=r"^--tracking-uri: found a user name, password or key in it; give it in "):
            check_url("--tracking-uri", uri, "MLFLOW_TRACKING_PASSWORD")


def test_a_job_that_is_given_a_secret_or_fails_on_one_records_none(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters, notes, the command line, the marker, the log, and a traceback of what is no user's mistake."""
    monkeypatch.setattr(sys, "argv", ["generate.py", "--header", f"Bearer {KEY}", "--url", "http://me:sk-1234@host"])
    args = argparse.Namespace(
        record=tmp_path / "records" / "generate" / "x.json", attempt=tmp_path / "x.attempt.json", header=KEY
    )
    (tmp_path / "out").touch()

    def work(fails: bool) -> None:
        with job(args, inputs={}, outputs={"out": tmp_path / "out"}) as one:
            one.notes["url"] = f"http://host/?token={KEY}"
            log(f"asking http://{KEY}@host")
            if fails:
                raise ValueError(f"header {json.dumps(KEY)} refused")

    work(fails=False)
    assert "generate" in args.record.read_text()
    assert clean(all_files(tmp_path))
    assert "sk-1234" not in all_files(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(lambda: work(fails=True))
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ValueError: header" in told
    assert clean(all_files(tmp_path) + told)
