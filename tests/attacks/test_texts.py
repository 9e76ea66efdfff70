"""Texts that people bring, files and endpoints: each becomes the right value, or one line that says where it stands."""

import gzip
import json
import tarfile
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

import hub_stand_in
from benchmark_fixtures import BENCHMARKS, CHARTS, Call, json_lines, png
from mmr1.benchmarks.base import Response
from mmr1.benchmarks.load import load_problems, load_responses
from mmr1.benchmarks.prepare import image
from mmr1.benchmarks.score import item_rows, judge_items
from mmr1.data import contracts, hub
from mmr1.data.chat import chat_turns, read_prompt
from mmr1.data.conversations import CONVERSATIONS, ConversationFile, write_conversations
from mmr1.data.files import conversation, problem
from mmr1.data.mmr1_rl import rl_problem
from mmr1.data.mmr1_sft import conversation as sft_conversation
from mmr1.data.mmr1_sft import iter_items
from mmr1.data.problems import BrokenRow, Problem, read_problems, write_problems
from mmr1.data.rows import whole
from mmr1.data.tar_files import ImageStore
from mmr1.models.checkpoints import load_processor
from mmr1.models.families.qwen2_5_vl import Qwen25VL
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, read_jsonl
from mmr1.rewards.verifier.verify import Verifier
from mmr1.rollout.endpoint import Endpoint

HALF = "cut \ud83d"  # half of an emoji, as JSON can hold it: "\ud83d"
LONG = "7" * 5000  # Python converts 4,300 digits
DEEP = "[" * 100_000 + "]" * 100_000
NAN = float("nan")
PAGE = "<!DOCTYPE html><html><title>Sign in</title></html>"
NFC, NFD = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")

ROW = {"id": "a", "question": "1 + 1?", "answer": "2", "response": "\\boxed{2}"}


def own(**changes: Any) -> Problem:
    """A row of one's own files as a problem."""
    return conversation(ROW | changes, "rows-00000", Path())[0]


# --- special tokens and marks


@pytest.mark.parametrize("token", Qwen25VL.SPECIAL)
def test_a_special_token_is_no_text(token: str) -> None:
    for field, value in {"question": "?", "answer": "", "response": "", "choices": ["x", ""]}.items():
        odd = ["x", f"a{token}"] if isinstance(value, list) else f"a {token}{value}"
        where = "choices[1]" if field == "choices" else field
        with pytest.raises(BrokenRow) as caught:
            own(**{field: odd})
        assert str(caught.value) == f"{where}: expected a text without a model's special tokens, found {token}"


def test_the_tokens_are_those_of_the_tokenizer(tiny_model_dir: Path) -> None:
    tokenizer = load_processor(tiny_model_dir).tokenizer
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    assert special == set(Qwen25VL.SPECIAL)


def test_a_mark_in_a_choice_is_refused_and_one_in_a_system_prompt_is_text() -> None:
    with pytest.raises(BrokenRow, match=r"^choices\[1\]: expected a text, found <image>, which marks an image"):
        own(choices=["a", "<image>"])
    asked = Problem("a", "s", "<image>Which?", (b"",), "1")
    for position in ("system", "user"):
        turns = chat_turns(asked, "Look at the <image>.", position)
        assert [part["type"] for part in turns[-1]["content"]].count("image") == 1


def test_a_table_made_elsewhere_with_a_special_token_is_one_line(
    call: Call, tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    path, broken = tmp_path / "p.parquet", replace(digit_problems[1], answer="<|image_pad|>")
    write_problems(path, [digit_problems[0], broken])
    with pytest.raises(UserError, match=r"p\.parquet: row 1: answer: .* found <\|image_pad\|>$"):
        read_problems(path)
    write_conversations(path, [(digit_problems[0], "1"), (digit_problems[1], "<|im_end|>")])
    with pytest.raises(UserError, match=r"p\.parquet: row 1: response: .* found <\|im_end\|>$"):
        ConversationFile(path, decoded=0)
    (tmp_path / "prompt.txt").write_text("Be brief.<|im_end|>")
    with pytest.raises(UserError, match=r"/prompt\.txt: expected a system prompt without .* found <\|im_end\|>$"):
        read_prompt(tmp_path / "prompt.txt")


# --- half of a surrogate pair


@pytest.mark.parametrize("field", ["id", "source", "question", "answer", "answer_type", "response"])
def test_half_of_a_surrogate_pair_is_a_broken_row(field: str) -> None:
    with pytest.raises(BrokenRow, match=rf"^{field}: expected Unicode, found half of a surrogate pair as character 4$"):
        own(**{field: HALF})


def test_half_of_a_surrogate_pair_is_found_in_choices_and_metadata() -> None:
    with pytest.raises(BrokenRow, match=r"^choices\[1\]: expected Unicode"):
        own(choices=["a", HALF])
    with pytest.raises(BrokenRow, match=r"^metadata: expected Unicode"):
        own(metadata={"note": HALF})
    with pytest.raises(BrokenRow, match=r"^question: expected Unicode"):
        rl_problem(0, {"problem": HALF, "answer": "1", "images": None})


def test_half_of_a_surrogate_pair_in_a_response_of_others_becomes_a_replacement_character(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "r.jsonl", [{"id": "a", "response": HALF + "\\boxed{2014}"}])
    (response,) = load_responses(path)["a"]
    assert response.text == "cut \ufffd\\boxed{2014}"


def test_bytes_that_are_not_utf_8_are_named_by_row_and_column(tmp_path: Path, digit_problems: list[Problem]) -> None:
    path = tmp_path / "c.parquet"
    write_conversations(path, [(one, "1") for one in digit_problems[:3]])
    table = pq.read_table(path)
    latin = pa.array([b"1", "é".encode("latin-1"), b"1"], pa.binary()).cast(pa.string(), safe=False)
    broken = table.set_column(table.schema.get_field_index("answer"), CONVERSATIONS.field("answer"), latin)
    pq.write_table(broken, path)
    message = r"c\.parquet: row 1: answer: expected a text in UTF-8"
    with pytest.raises(UserError, match=message):
        read_problems(path)
    with pytest.raises(UserError, match=message):
        ConversationFile(path)
    with pytest.raises(UserError, match=message):
        contracts.as_rows(path, 0, pq.read_table(path))


# --- byte-order marks, and files that are none


def marked(path: Path, text: str) -> Path:
    data = text.encode("utf-8-sig")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    row = json.dumps(CHARTS[0])
    assert read_json(marked(tmp_path / "a.json", row)) == CHARTS[0]
    assert read_prompt(marked(tmp_path / "prompt.txt", "Think.\n")) == "Think."
    assert list(iter_items(marked(tmp_path / "sft.json", f"[{row}]"))) == [CHARTS[0]]
    for name, text in {"a.jsonl": row, "a.jsonl.gz": row, "b.json": f"[{row}]", "b.json.gz": f"[{row}]"}.items():
        assert [one.id for one in load_problems(BENCHMARKS["chartqa"], marked(tmp_path / name, text))] == ["a"]


NO_JSON = {
    "a page of HTML": (PAGE, "expected JSON: Expecting value: line 1 column 1 (char 0), found '<!DOCTYPE html>"),
    "lists in lists": (DEEP, "expected JSON: lists or objects nested too deeply"),
    "half a file": ('{"a": [', "expected JSON: Expecting value"),
}


@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_no_json_is_one_line(tmp_path: Path, name: str) -> None:
    text, message = NO_JSON[name]
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    path.write_text("{}\n" + text)
    with pytest.raises(UserError) as caught:
        read_jsonl(path)
    assert str(caught.value).startswith(f"{path}: line 2: {message}")
    with pytest.raises(BrokenRow, match=r"^metadata: expected JSON: "):
        own(metadata=text)


def test_what_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("[é]".encode("latin-1"))
    for read in (read_json, read_jsonl, read_prompt):
        with pytest.raises(UserError, match=r"latin: expected .*'utf-8' codec can't decode byte 0xe9"):
            read(tmp_path / "latin")


def test_an_item_of_the_cold_start_that_is_not_utf_8_is_a_broken_row(tmp_path: Path) -> None:
    items = [{"conversations": [{"from": "human", "value": text}, ODD_TURNS[1]]} for text in ("ab", "\xe9", "c")]
    (tmp_path / "sft.json").write_bytes(json.dumps(items, ensure_ascii=False).encode("latin-1"))
    first, broken, last = iter_items(tmp_path / "sft.json")
    assert [sft_conversation(0, item, [], ImageStore(tmp_path))[0].question for item in (first, last)] == ["ab", "c"]
    with pytest.raises(BrokenRow, match=r"^question: expected Unicode"):
        sft_conversation(1, broken, [], ImageStore(tmp_path))


def test_a_deep_item_of_the_cold_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "sft.json").write_text(f'[{{}}, {{"a": {DEEP}}}]')
    with pytest.raises(UserError, match=r"sft\.json: item 1: expected JSON: lists or objects nested too deeply"):
        list(iter_items(tmp_path / "sft.json"))


# --- numbers


def test_a_number_of_5000_digits_is_its_digits(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"question": "2?", "answer": {LONG}, "metadata": {{"n": {LONG}}}}}\n')
    made = whole(problem(read_jsonl(path)[0], "rows-0", tmp_path))
    assert (made.answer, made.metadata) == (LONG, {"n": LONG})
    (tmp_path / "sft.json").write_text(f'[{{"a": {LONG}}}]')
    assert list(iter_items(tmp_path / "sft.json")) == [{"a": LONG}]


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=1, seconds=10) as running:
        yield running


ASKED = {
    "chartqa": {"query": "?", "label": ["7"], "human_or_machine": 0},
    "digits": {"id": "a", "question": "?", "answer": "7", "task": "sum"},
    "logicvista": {"imagename": "a.png", "question": "?", "answer": "A", "skill": ["x"]},
    "mathverse": {
        "sample_index": "1",
        "problem_index": "1",
        "problem_version": "Vision Only",
        "question": "?",
        "answer": "7",
        "question_type": "free-form",
        "metadata": {},
    },
    "mathvision": {"id": 1, "question": "?", "options": [], "answer": "7", "level": 1, "subject": "x"},
    "mathvista": {
        "pid": "1",
        "question": "?",
        "choices": None,
        "unit": None,
        "precision": 1.0,
        "answer": "7",
        "question_type": "free_form",
        "answer_type": "float",
        "metadata": {},
    },
    "own": {"id": "a", "question": "?", "answer": "7"},
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("said", [LONG, f"0.{LONG}", f"1/{LONG}", f"1e{LONG}", f"{LONG}%", "nan", "\ufeff", "\0"])
def test_an_odd_answer_is_judged(verifier: Verifier, name: str, said: str) -> None:
    asked = BENCHMARKS[name].to_problem(ASKED[name], 0)
    answers = [Response(f"So \\boxed{{{said}}}"), Response(said)]
    items = judge_items(BENCHMARKS[name], [(asked, one) for one in answers], verifier)
    assert not any(decision.correct for item in items for decision in item.decisions.values())
    for gold in (LONG, f"0.{LONG}"):
        judge_items(BENCHMARKS[name], [(replace(asked, answer=gold), one) for one in answers], verifier)
    assert len(item_rows(items)) == 2


# --- nulls, and what only looks like one


@pytest.mark.parametrize("null", [None, NAN, "", "nan", []])
def test_a_blank_of_any_kind_is_none(null: Any) -> None:
    logicvista = BENCHMARKS["logicvista"].to_problem(ASKED["logicvista"] | {"question": null, "answer": null}, 0)
    assert (logicvista.question, logicvista.answer, logicvista.choices) == ("<image>", "", None)
    mathverse = BENCHMARKS["mathverse"].to_problem(ASKED["mathverse"] | {"question": null, "metadata": null}, 0)
    assert (mathverse.question, mathverse.choices) == ("<image>", None)
    changed = {"choices": null, "precision": null, "unit": null, "metadata": null}
    mathvista = BENCHMARKS["mathvista"].to_problem(ASKED["mathvista"] | changed, 0)
    assert (mathvista.choices, mathvista.metadata["precision"], mathvista.metadata["unit"]) == (None, None, None)
    mathvision = BENCHMARKS["mathvision"].to_problem(ASKED["mathvision"] | {"options": null, "question": null}, 0)
    assert (mathvision.choices, mathvision.question) == (None, "<image>")


@pytest.mark.parametrize("null", [None, NAN])
def test_a_gold_that_is_null_is_refused_with_its_field(tmp_path: Path, null: Any) -> None:
    for name in ("mathverse", "mathvista", "mathvision"):
        path = json_lines(tmp_path / f"{name}.jsonl", [ASKED[name] | {"answer": null}])
        with pytest.raises(UserError, match=r"jsonl: row 0: answer: expected a text, found (None|nan)$"):
            load_problems(BENCHMARKS[name], path)
    path = json_lines(tmp_path / "chartqa.jsonl", [ASKED["chartqa"] | {"label": [null]}])
    with pytest.raises(UserError, match=r"row 0: label: expected a text, found (None|nan)$"):
        load_problems(BENCHMARKS["chartqa"], path)


def test_a_null_of_pandas_is_one_in_own_files() -> None:
    made = own(id=NAN, choices=NAN, metadata=NAN, source=NAN, images=NAN, answer_type=NAN, answer=NAN)
    assert made == Problem("rows-00000", "files", "1 + 1?", (), "2", "text", None, {})
    assert own(choices="").choices is None
    with pytest.raises(BrokenRow, match=r"^question: expected a text, found null$"):
        own(question=NAN)
    with pytest.raises(BrokenRow, match=r"^answer: expected a text, found float$"):
        own(answer=float("inf"))


def test_an_id_of_0_and_an_answer_of_0_are_there(tmp_path: Path) -> None:
    assert BENCHMARKS["logicvista"].to_problem(ASKED["logicvista"] | {"id": 0}, 5).id == "0"
    assert BENCHMARKS["chartqa"].to_problem(ASKED["chartqa"] | {"id": 0}, 5).id == "0"
    assert BENCHMARKS["chartqa"].to_problem(ASKED["chartqa"] | {"id": None}, 5).id == "5"
    assert BENCHMARKS["mathvista"].to_problem(ASKED["mathvista"] | {"pid": 0}, 5).id == "0"
    assert BENCHMARKS["mathvision"].to_problem(ASKED["mathvision"] | {"id": 0}, 5).id == "0"
    made = own(id=0, answer=0)
    assert (made.id, made.answer) == ("0", "0")
    assert rl_problem(0, {"problem": "1 - 1?", "answer": 0, "images": None}).answer == "0"
    responses = load_responses(json_lines(tmp_path / "r.jsonl", [{"id": 0, "response": "A"}]))
    assert responses == {"0": [Response("A")]}
    (tmp_path / "o.json").write_text(json.dumps({"0": {**ASKED["logicvista"], "id": None}}))
    assert [one.id for one in load_problems(BENCHMARKS["logicvista"], tmp_path / "o.json")] == ["0"]


# --- names in two forms of Unicode


def test_a_decomposed_name_is_the_composed_one(tmp_path: Path) -> None:
    (tmp_path / f"{NFD}.png").write_bytes(png())
    assert problem(ROW | {"images": [f"{NFC}.png"]}, "a", tmp_path).images == (png(),)
    assert image(BENCHMARKS["chartqa"], CHARTS[0] | {"image": f"{NFC}.png"}, tmp_path) == png()
    assert own(id=NFD).id == own(id=NFC).id

    problems = json_lines(tmp_path / "p.jsonl", [CHARTS[0] | {"id": NFD}])
    responses = load_responses(json_lines(tmp_path / "r.jsonl", [{"id": NFC, "response": "1"}]))
    assert [one.id for one in load_problems(BENCHMARKS["chartqa"], problems)] == list(responses)

    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        member = tarfile.TarInfo(f"images/{NFD}.png")
        member.size = len(png())
        tar.addfile(member, BytesIO(png()))
    store = ImageStore(tmp_path)
    turns = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "\\boxed{1}"}]
    for name in (f"images/{NFC}.png", f"elsewhere/images/{NFC}.png", f"{NFC}.png", f"images/{NFD}.png"):
        made, _ = sft_conversation(0, {"conversations": turns, "image": name}, ["image"], store)
        assert made.images == (png(),)
    store.close()


# --- values of another kind

ODD_TURNS = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "1"}]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"conversations": 5}, "conversations: expected a human's turn and an answer"),
        (
            {"conversations": [{"from": "human", "value": 1}, {"from": "gpt", "value": "1"}]},
            "conversations: expected te",
        ),
        ({"conversations": ODD_TURNS, "image": 5}, "image: expected names of images, found 5"),
        ({"conversations": ODD_TURNS, "image": [{"path": "a"}]}, "image: expected names of images"),
        ({"conversations": [{"from": "human", "value": HALF}, ODD_TURNS[1]]}, "question: expected Unicode"),
        ({"conversations": [{"from": "human", "value": "<|image_pad|>"}, ODD_TURNS[1]]}, "question: expected a text w"),
    ],
)
def test_an_odd_item_of_the_cold_start_is_a_broken_row(tmp_path: Path, item: dict[str, Any], reason: str) -> None:
    with pytest.raises(BrokenRow) as caught:
        sft_conversation(0, item, ["image"], ImageStore(tmp_path))
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metadata": {"when": b"\xff"}}, "metadata: expected JSON: "),
        ({"choices": [None]}, "choices: expected a list of texts"),
        ({"images": ["a\0b"]}, r"images\[0\]: expected bytes or a path"),
        ({"question": True}, "question: expected a text, found bool"),
    ],
)
def test_an_odd_value_of_own_files_is_a_broken_row(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BrokenRow, match=f"^{reason}"):
        own(**changes)


# --- endpoints


class Answers(BaseHTTPRequestHandler):
    """An endpoint that answers with status 200, whatever it says."""

    body: ClassVar[bytes] = b""
    kind: ClassVar[str] = "application/json"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    running.server_close()


@pytest.fixture
def ask(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """What an endpoint with such a body says to one question."""

    def asked(body: str, kind: str = "application/json") -> str:
        monkeypatch.setattr(Answers, "body", body.encode())
        monkeypatch.setattr(Answers, "kind", kind)
        with Endpoint(server, "m", "NO_KEY", retries=0) as endpoint:
            question = [{"role": "user", "content": "?"}]
            answers = endpoint.ask_all("endpoint", {"q": lambda: endpoint.chat(question)}, tmp_path / "cache.jsonl")
        return answers["q"][0]

    return asked


def completion(content: Any, **more: Any) -> str:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}} | more
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PAGE, "text/html"),
        (PAGE, "application/json"),
        (DEEP, "application/json"),
        ("", "application/json"),
        ("null", "application/json"),
        ("[]", "application/json"),
        ('"yes"', "application/json"),
        ('{"choices": null}', "application/json"),
        ('{"choices": []}', "application/json"),
        ('{"choices": ["yes"]}', "application/json"),
        ('{"choices": [{"message": null}]}', "application/json"),
        (completion(["a list"]), "application/json"),
        (completion("yes", finish_reason=5), "application/json"),
    ],
)
def test_an_endpoint_that_answers_with_something_else_is_one_line(
    ask: Callable[..., str], tmp_path: Path, body: str, kind: str
) -> None:
    with pytest.raises(UserError, match=r"^endpoint m at http://\S+: NoAnswer: expected .*; 0 of 1 answers are in"):
        ask(body, kind)
    assert (tmp_path / "cache.jsonl").read_text() == ""


def test_an_endpoints_answer_with_half_a_surrogate_pair_can_be_stored(ask: Callable[..., str], tmp_path: Path) -> None:
    assert ask(completion(HALF)) == "cut \ufffd"
    assert ask("\ufeff" + completion("4")) == "cut \ufffd", "what is in the cache is not asked again"
    (tmp_path / "cache.jsonl").unlink()
    assert ask("\ufeff" + completion("4")) == "4"
    (tmp_path / "cache.jsonl").unlink()
    assert ask(completion(None)) == ""


# --- hubs


@pytest.mark.parametrize("body", [PAGE, "", "null", "[]", "{}", '["a"]', DEEP])
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_hub_that_answers_with_something_else_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, kind: str
) -> None:
    """As a portal does that wants one to sign in: status 200."""
    monkeypatch.setattr(hub, "FIRST_WAIT", 0)
    with hub_stand_in.serving() as (url, served):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(served, "answer", lambda path, whole: (200, {"Content-Type": kind}, body.encode()))
        for revision in (None, "6628554"):
            with pytest.raises(UserError) as caught:
                hub.resolve("some/thing", "dataset", revision)
            assert "some/thing" in str(caught.value)
            assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=r"some/thing"):
            hub.download("some/thing", "dataset", hub_stand_in.COMMIT, (), tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out").exists()
