"""Data of one's own: every kind of file becomes the tables of the contract; what breaks it is told by row and field."""

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from benchmark_fixtures import Call, json_lines, png
from forking import ForkingServer
from mmr1.data.conversations import ConversationFile
from mmr1.data.files import open_rows
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.data.sources import digits
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.plumbing.settings import merged
from mmr1.recipe import check_files, load_recipe
from project import ROOT, copy_project, snakemake

FILES = "tests/recipes/files.yaml"


def problems(name: str, size: int) -> list[Problem]:
    return digits.make_problems(name, size, seed=0, digits=digits.load(held_out=False))


def lines(path: Path, made: list[Problem], **fields: Any) -> Path:
    """Problems as JSON lines, with their images in files beside them; `fields` are functions of a problem."""
    rows = []
    for one in made:
        names = [f"images/{one.id}-{index}.png" for index in range(len(one.images))]
        for name, data in zip(names, one.images, strict=True):
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (path.parent / name).write_bytes(data)
        row = {"id": one.id, "question": one.question, "answer": one.answer, "images": names}
        rows.append(row | {field: value(one) for field, value in fields.items()})
    return json_lines(path, rows)


def saved(path: Path, made: list[Problem]) -> Path:
    """Problems as the Hugging Face library saves a data set, under the column names of MMR1-RL."""
    rows = [
        {
            "problem": one.question,
            "answer": one.answer,
            "images": [{"bytes": data, "path": None} for data in one.images],
        }
        for one in made
    ]
    data = datasets.Dataset.from_list(rows)
    data.cast_column("images", datasets.Sequence(datasets.Image())).save_to_disk(path)
    return path


def prepare(call: Call, folder: Path, files: dict[str, Any], **settings: Any) -> Path:
    """Run the program; every table lies in the folder under its name."""
    values = {"files": {name: str(path) for name, path in files.items()} | settings.pop("more", {})} | settings
    tables = [name for name in files if name != "sft_validation"] + (["sft_validation"] if "sft" in files else [])
    tables += [f"{name}_rejects" for name in files]
    words = [word for name in tables for word in (f"--{name.replace('_', '-')}", folder / f"{name}.parquet")]
    call(
        "prepare_data", "--settings", json.dumps(values), *words, "--record", folder / "records/prepare_data/data.json"
    )
    return folder


def test_every_kind_of_file_holds_the_same_problems(call: Call, tmp_path: Path) -> None:
    made = problems("mine", 12)
    write_problems(tmp_path / "ready.parquet", made)
    kinds = {
        "ready": tmp_path / "ready.parquet",
        "lines": lines(tmp_path / "rows.jsonl", made),
        "saved": saved(tmp_path / "saved", made),
    }
    (tmp_path / "repository/data").mkdir(parents=True)
    write_problems(tmp_path / "repository/data/train-00000.parquet", made[:5])
    write_problems(tmp_path / "repository/data/train-00001.parquet", made[5:])
    kinds["repository"] = tmp_path / "repository"
    for kind, path in kinds.items():
        written = read_problems(prepare(call, tmp_path / kind, {"problems": path}) / "problems.parquet")
        assert [(one.question, one.images, one.answer) for one in written] == [
            (one.question, one.images, one.answer) for one in made
        ], kind
        if kind != "saved":  # which has no ids of its own
            assert [one.id for one in written] == [one.id for one in made]
    assert written == made, "a ready table stays as it is"


def test_what_a_row_leaves_out_has_a_meaning(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(28))
    rows = [
        {"question": "How many?", "image": "a.png", "answer": 4},
        {"id": 0, "problem": "Which? <image>", "images": ["a.png"], "answer": "B", "choices": ["one", "two"]},
        {"question": "No image.", "answer": "x", "choices": [], "metadata": {"level": 1}, "source": "book"},
    ]
    table = read_problems(prepare(call, tmp_path, {"test": json_lines(tmp_path / "rows.jsonl", rows)}) / "test.parquet")
    assert [one.id for one in table] == ["rows-00000", "0", "rows-00002"]
    assert table[0].question == "<image>\nHow many?"
    assert [one.choices for one in table] == [None, ("one", "two"), None]
    assert [one.metadata for one in table] == [
        {"source": "files"},
        {"source": "files"},
        {"source": "book", "level": 1},
    ]
    assert {one.source for one in table} == {"own"}, "the benchmark whose problems they are"


BROKEN = {
    "question: expected a text, found no such field": {"question": ...},
    "answer: expected a text, found an empty one": {"answer": " "},
    "answer: expected a text, found null": {"answer": None},
    "images: expected a list, found str": {"images": "a.png"},
    "images[0]: expected an image file, found none at ": {"images": ["nowhere.png"]},
    "images[0]: expected an image, found 2 bytes that do not decode (in none ": {"images": ["no.png"]},
    "question: expected one <image> mark per image, found 2 marks and 1 images": {"question": "<image><image>?"},
    "choices: expected a list of texts, found 'A'": {"choices": "A"},
    "metadata: expected an object, found list": {"metadata": [1]},
    "id: expected another one than in line 1, found 'good'": {"id": "good"},
}


def test_each_row_that_breaks_the_contract_is_told_in_a_line(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(png(28))
    (tmp_path / "no.png").write_bytes(b"no")
    good = {"id": "good", "question": "<image>?", "answer": "4", "images": ["a.png"]}
    rows = [good]
    for number, change in enumerate(BROKEN.values()):
        row = good | {"id": str(number)} | change
        rows.append({name: value for name, value in row.items() if value is not ...})
    path = json_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError) as caught:
        prepare(call, tmp_path / "refused", {"problems": path})
    assert str(caught.value).startswith(f"{path}: line 2: question: expected a text, found no such field")
    listed = tmp_path / "refused/problems_rejects.failed.parquet"
    assert str(caught.value).endswith(f"({len(BROKEN)} such rows, 0 may be left out; {listed} lists them)")
    assert pq.read_table(listed).num_rows == len(BROKEN)
    told = capsys.readouterr().err
    for number, reason in enumerate(BROKEN, 2):
        assert f"{path}: line {number}: {reason}" in told
    assert not (tmp_path / "refused/problems.parquet").exists()

    prepare(call, tmp_path / "allowed", {"problems": path}, more={"max_dropped": len(BROKEN)})
    assert [one.id for one in read_problems(tmp_path / "allowed/problems.parquet")] == ["good"]
    noted = read_json(tmp_path / "allowed/records/prepare_data/data.json")["notes"]["left_out"]["problems"]
    assert sum(noted["dropped_by_reason"].values()) == len(BROKEN)
    rows = pq.read_table(tmp_path / "allowed/problems_rejects.parquet").to_pylist()
    assert [row["item"] for row in rows] == [*range(1, len(BROKEN) + 1)]
    for row, reason in zip(rows, BROKEN, strict=True):
        assert row["detail"].startswith(reason.partition(", found ")[2].strip())


def test_conversations_are_held_out_by_number_by_share_or_by_file(call: Call, tmp_path: Path) -> None:
    made = problems("sft", 40)
    path = lines(tmp_path / "sft.jsonl", made, response=digits.worked_response)
    other = lines(tmp_path / "other.jsonl", problems("other", 3), response=digits.worked_response)
    sizes: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({"sft": path}, (38, 2)),
        ({"sft": path, "more": {"sft_validation": 10}}, (30, 10)),
        ({"sft": path, "sft_validation": other}, (40, 3)),
    ]
    for number, (files, expected) in enumerate(sizes):
        folder = prepare(call, tmp_path / str(number), {k: v for k, v in files.items() if k != "more"},
                         more=files.get("more", {}))  # fmt: skip
        train, held_out = (list(ConversationFile(folder / f"{name}.parquet")) for name in ("sft", "sft_validation"))
        assert (len(train), len(held_out)) == expected
        assert not {one.id for one, _ in train} & {one.id for one, _ in held_out}
    with pytest.raises(
        UserError, match=r"sft\.jsonl: sft_validation: expected fewer than its 40 conversations, found 40"
    ):
        prepare(call, tmp_path / "all", {"sft": path}, more={"sft_validation": 40})


def test_a_conversation_without_an_answer_has_the_one_of_its_response(call: Call, tmp_path: Path) -> None:
    rows = [{"question": f"{number}?", "response": f"So \\boxed{{{number}}}."} for number in range(4)]
    folder = prepare(call, tmp_path, {"sft": json_lines(tmp_path / "sft.jsonl", rows)})
    pairs = [pair for name in ("sft", "sft_validation") for pair in ConversationFile(folder / f"{name}.parquet")]
    assert sorted(one.answer for one, _ in pairs) == ["0", "1", "2", "3"]


def test_a_limit_takes_the_first_rows(call: Call, tmp_path: Path) -> None:
    files = {
        "problems": lines(tmp_path / "problems.jsonl", problems("rl", 12)),
        "sft": lines(tmp_path / "sft.jsonl", problems("sft", 40), response=digits.worked_response),
    }
    prepare(call, tmp_path, files, more={"sft_validation": 10}, limit=4)
    assert [one.id for one in read_problems(tmp_path / "problems.parquet")] == [f"rl-{n:05d}" for n in range(4)]
    both = [list(ConversationFile(tmp_path / f"{name}.parquet")) for name in ("sft", "sft_validation")]
    assert [len(one) for one in both] == [4, 4]
    assert {one.id for rows in both for one, _ in rows} == {f"sft-{n:05d}" for n in range(8)}


@pytest.mark.parametrize("name", ["rows.csv", "empty", "rows"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=rf"{name}: (expected|no such)"):
        open_rows(tmp_path / name)


def test_a_file_that_is_not_there_is_told_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=r"^data\.files\.problems: mine/problems\.parquet: no such file or folder$"):
        check_files(load_recipe(yaml.safe_load((ROOT / FILES).read_text())))


PAGES = [(ROOT / name).read_text() for name in ("docs/own-data.md", "README.md")]
SHOWN = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]


@pytest.mark.parametrize("shown", [block for block in SHOWN if re.search("files:|base:|checkpoint:|limit:", block)])
def test_what_the_pages_show_is_a_recipe(shown: str) -> None:
    """Beside the digits recipe, whose data, models and runs it takes the place of; batches as small as a limit asks."""
    values = yaml.safe_load(shown)
    recipe = yaml.safe_load((ROOT / "config/digits.yaml").read_text())
    recipe = {name: value for name, value in recipe.items() if name not in values or name in ("sft", "evaluation")}
    if "limit" in values and "files" in values.get("data", {}):
        values |= {"schedule": recipe.pop("schedule") | {"batch_size": 8}, "sft": {"batch_size": 8}}
    load_recipe(merged(recipe, values))


@pytest.mark.slow
@pytest.mark.timeout(20 * 60)
def test_a_recipe_of_own_files_runs_whole(server: ForkingServer, tmp_path: Path) -> None:
    project = copy_project(tmp_path)
    mine = project / "mine"
    mine.mkdir()
    write_problems(mine / "problems.parquet", problems("rl", 16))
    lines(mine / "sft.jsonl", problems("sft", 40), response=digits.worked_response)
    saved(mine / "validation", problems("validation", 4))
    held_out = digits.make_problems("test", 8, seed=0, digits=digits.load(held_out=True))
    lines(mine / "test.jsonl", held_out, metadata=lambda one: one.metadata)
    snakemake(project, "all", recipe=FILES, PATH=server.path)
    results = project / "results/files"
    assert read_json(results / "tiny/eval/vas-seed0/own/scores.json")["n"] == 8
    assert "Own problems" in (results / "report.html").read_text()
    record = read_json(results / "records/prepare_data/data.json")
    assert {Path(file["path"]).name for file in record["key"]["inputs"]["problems"]} == {"problems.parquet"}
    assert "Nothing to be done" in snakemake(project, "all", recipe=FILES)
    lines(mine / "sft.jsonl", problems("sft", 41), response=digits.worked_response)
    assert "train_sft" in snakemake(project, "-n", "all", recipe=FILES)
