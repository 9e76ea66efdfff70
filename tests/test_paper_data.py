"""The paper's data sets in miniature, made here with the columns that their cards give, and broken in several ways."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from forking import ForkingServer
from mmr1.data.conversations import ConversationFile
from mmr1.data.images import open_image
from mmr1.data.long_prompts import fitting
from mmr1.data.mmr1_rl import with_letter
from mmr1.data.mmr1_sft import image_keys, iter_items
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.data.rejects import LeftOut
from mmr1.data.rows import BrokenRow, marked
from mmr1.data.tar_files import ImageStore
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.errors import UserError

ROOT = Path(__file__).parents[1]


def png(color: int = 0) -> bytes:
    """A small image."""
    data = io.BytesIO()
    Image.new("RGB", (28, 28), (color, 0, 0)).save(data, "PNG")
    return data.getvalue()


def call(program: str, *words: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, f"scripts/{program}.py", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


# --- RL ---


def rl_row(**changes: Any) -> dict[str, Any]:
    row = {"problem": "<image>What is it?", "answer": "4", "images": [{"bytes": png(), "path": "a.png"}]}
    return row | changes


def prepare_rl(
    server: ForkingServer, folder: Path, model: Path, rows: list[dict[str, Any]], *words: object
) -> subprocess.CompletedProcess[str]:
    """Run the program on a data set of two files, as the real one has."""
    (folder / "rl").mkdir(parents=True)
    schema = pa.schema([
        ("problem", pa.string()), ("answer", pa.string()),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
    ])  # fmt: skip
    for index, part in enumerate((rows[:2], rows[2:])):
        pq.write_table(pa.Table.from_pylist(part, schema=schema), folder / f"rl/train-{index:05d}.parquet")
    choice = Problem("1", "mathvista", "<image>", (png(),), "blue", choices=("red", "blue"))
    number = Problem("2", "mathvista", "<image>", (png(),), "1.5")
    without_gold = Problem("3", "logicvista", "<image>", (png(),), "")
    write_problems(folder / "benchmark.parquet", [choice, number, without_gold])
    return call(
        "prepare_mmr1", "--rl", folder / "rl", "--rows", len(rows), "--processor", model, "--max-prompt-tokens", 60,
        "--benchmark", folder / "benchmark.parquet", "--out", folder / "problems.parquet",
        "--validation", folder / "validation.parquet", "--record", folder / "records/prepare_mmr1/data.json", *words,
        python=server.python,
    )  # fmt: skip


def test_rl_rows_become_problems_in_their_order(server: ForkingServer, tmp_path: Path, tiny_model_dir: Path) -> None:
    rows = [rl_row(), rl_row(problem="No mark.", images=[{"bytes": png(1)}, {"bytes": png(2)}]), rl_row(answer=" x=2 ")]
    done = prepare_rl(server, tmp_path, tiny_model_dir, rows)
    assert done.returncode == 0, done.stderr
    assert "benchmark.parquet: 1 of 3 items have no gold, and validate nothing" in done.stderr
    metrics = json.loads((tmp_path / "records/prepare_mmr1/data.json").read_text())["metrics"]
    assert (metrics["validation"], metrics["validation_without_gold"], metrics["unreadable_golds"]) == (2, 1, 0)
    problems = read_problems(tmp_path / "problems.parquet")
    assert [problem.id for problem in problems] == ["rl-00000", "rl-00001", "rl-00002"]
    assert [problem.answer for problem in problems] == ["4", "4", "x=2"]
    assert problems[1].question == "<image><image>\nNo mark."
    assert problems[1].images == (png(1), png(2))
    assert [problem.answer for problem in read_problems(tmp_path / "validation.parquet")] == ["B", "1.5"]


BROKEN = {
    "answer: expected a text, found an empty one": rl_row(answer=" "),
    "expected one <image> mark per image, found 2 marks and 1 images": rl_row(problem="<image><image>?"),
    "images[0]: expected encoded bytes, found none": rl_row(images=[{"bytes": None, "path": "a.png"}]),
    "images[0]: expected an image, found 5 bytes that do not decode": rl_row(images=[{"bytes": b"nopng"}]),
    "expected a prompt of at most 60 tokens, found": rl_row(problem="<image>" + "long " * 50),
}


def test_broken_rl_rows_are_named_and_may_be_left_out_up_to_a_bound(
    server: ForkingServer, tmp_path: Path, tiny_model_dir: Path
) -> None:
    rows = [rl_row(), *BROKEN.values(), rl_row(answer="last")]
    refuse = ("--long-prompts", "refuse", "--rejects")
    table = tmp_path / "allowed/rejects.parquet"
    done = prepare_rl(server, tmp_path / "allowed", tiny_model_dir, rows, *refuse, table, "--max-dropped", len(BROKEN))
    assert done.returncode == 0, done.stderr
    problems = read_problems(tmp_path / "allowed/problems.parquet")
    assert [problem.id for problem in problems] == ["rl-00000", f"rl-{len(rows) - 1:05d}"], "numbers do not move"
    noted = json.loads((tmp_path / "allowed/records/prepare_mmr1/data.json").read_text())["notes"]["dropped"]
    assert [row["row"] for row in noted] == [1, 2, 3, 4, 5]
    for row, reason in zip(noted, BROKEN, strict=True):
        assert row["reason"].startswith(reason)
    listed = pq.read_table(table).to_pylist()
    assert [(row["item"], row["id"]) for row in listed] == [(n, f"rl-{n:05d}") for n in range(1, 6)]
    assert [Path(row["file"]).name for row in listed] == ["train-00000.parquet"] + ["train-00001.parquet"] * 4
    assert listed[1]["reason"] == "expected one <image> mark per image"
    assert listed[1]["detail"] == "2 marks and 1 images"

    table = tmp_path / "refused/rejects.parquet"
    done = prepare_rl(server, tmp_path / "refused", tiny_model_dir, rows, *refuse, table, "--max-dropped", 1)
    assert done.returncode == 2
    assert "train-00000.parquet: row 1: answer: expected a text, found an empty one" in done.stderr
    assert "(5 such rows, 1 may be left out; " in done.stderr, "it goes through all of them"
    assert not (tmp_path / "refused/problems.parquet").exists()
    assert pq.read_table(tmp_path / "refused/rejects.failed.parquet").to_pylist()[1:] == [
        row | {"file": row["file"].replace("allowed", "refused")} for row in listed[1:]
    ]


def noise(height: int, width: int) -> bytes:
    """A photograph's worth of pixels."""
    data = io.BytesIO()
    Image.effect_noise((width, height), 50).save(data, "PNG")
    return data.getvalue()


def test_prompts_that_are_too_long_are_shrunk_or_left_out_as_the_recipe_says(
    server: ForkingServer, tmp_path: Path, tiny_model_dir: Path
) -> None:
    """A tiny image of 112 × 112 has 16 visual tokens; two of them and the chat format's words are more than 60."""
    two = rl_row(problem="<image><image>" + "x" * 30, images=[{"bytes": noise(112, 112)}, {"bytes": noise(56, 112)}])
    words = rl_row(problem="<image>" + "long " * 50)
    rows = [rl_row(), two, words]
    record, metrics = "records/prepare_mmr1/data.json", {}
    for rule in ("shrink", "drop"):
        folder = tmp_path / rule
        done = prepare_rl(
            server, folder, tiny_model_dir, rows, "--long-prompts", rule, "--rejects", folder / "rejects.parquet"
        )
        assert done.returncode == 0, done.stderr
        metrics[rule] = json.loads((folder / record).read_text())["metrics"]
    assert (metrics["shrink"]["shrunk"], metrics["shrink"]["dropped"], metrics["drop"]["dropped"]) == (1, 1, 2)
    shrunk = read_problems(tmp_path / "shrink/problems.parquet")[1]
    encoder = PromptEncoder(load_processor(tiny_model_dir))
    assert 50 <= len(encoder.encode(shrunk).input_ids) <= 60
    sizes = [(image.height, image.width) for image in map(open_image, shrunk.images)]
    assert shrunk.metadata["shrunk"] == {"from": [[112, 112], [56, 112]], "to": [list(size) for size in sizes]}
    assert sizes[0][0] == sizes[0][1] == sizes[1][1], "one factor for both images"
    (row,) = pq.read_table(tmp_path / "shrink/rejects.parquet").to_pylist()
    assert (row["item"], row["reason"]) == (2, "expected a prompt of at most 60 tokens")


def test_two_images_of_a_megapixel_fit_the_papers_bound(tiny_model_dir: Path) -> None:
    """They have 1,323 tokens each and the chat format's, against a bound of 2,048 for all of a prompt."""
    encoder = PromptEncoder(load_processor(tiny_model_dir), None, "system", 7056, 1048576)
    pair = Problem("1", "s", "<image><image>Which?", (noise(756, 1372), noise(1512, 2744)), "1")
    long = encoder.length(pair)
    assert 2646 < long < 2700
    shorter = fitting(pair, encoder, 2048, "shrink")
    assert 1900 < encoder.length(shorter) <= 2048, "no smaller than it must be"
    first, second = (open_image(data).width for data in shorter.images)
    assert first == pytest.approx(second, rel=0.01), "both are scaled from what the processor shows"
    with pytest.raises(LeftOut, match=rf"at most 2048 tokens, found {long}"):
        fitting(pair, encoder, 2048, "drop")
    with pytest.raises(BrokenRow):
        fitting(pair, encoder, 2048, "refuse")
    assert fitting(pair, encoder, long, "drop") is pair


def test_a_limit_takes_the_first_rows_of_both_sets(server: ForkingServer, tmp_path: Path, tiny_model_dir: Path) -> None:
    rows = [rl_row(answer=str(number)) for number in range(5)]
    done = prepare_rl(server, tmp_path / "rl", tiny_model_dir, rows, "--limit", 2)
    assert done.returncode == 0, done.stderr
    assert [problem.answer for problem in read_problems(tmp_path / "rl/problems.parquet")] == ["0", "1"]

    items = [chat(f"Question {number}", f"\\boxed{{{number}}}") for number in range(9)]
    done = prepare_sft(sft_folder(tmp_path / "sft", items, {}), 9, "--limit", 3, "--validation-size", 2)
    assert done.returncode == 0, done.stderr
    train, held_out = (list(ConversationFile(tmp_path / f"{name}.parquet")) for name in ("sft", "validation"))
    assert (len(train), len(held_out)) == (3, 2)
    assert {problem.id for problem, _ in train + held_out} == {f"sft-{number:07d}" for number in range(5)}


def test_the_rl_set_must_have_its_number_of_rows(server: ForkingServer, tmp_path: Path, tiny_model_dir: Path) -> None:
    done = prepare_rl(server, tmp_path, tiny_model_dir, [rl_row(), rl_row()], "--rows", 3)
    assert done.returncode == 2
    assert "expected 3 rows, found 2" in done.stderr
    assert not (tmp_path / "problems.parquet").exists()


def test_marks_are_put_in_front_only_where_there_is_none() -> None:
    assert marked("Text only.", 0) == "Text only."
    assert marked("See <image>.", 1) == "See <image>."
    assert marked("See.", 1) == "<image>\nSee."
    with pytest.raises(BrokenRow):
        marked("See <image>.", 0)
    with pytest.raises(BrokenRow):
        marked(" ", 0)


@pytest.mark.parametrize(
    ("answer", "choices", "letter"),
    [("b", ("a", "b"), "B"), ("E", ("E", "F"), "A"), ("B", ("x", "y"), "B"), ("7", None, "7")],
)
def test_validation_asks_for_the_letter_of_a_choice(answer: str, choices: tuple[str, ...] | None, letter: str) -> None:
    assert with_letter(Problem("1", "s", "?", (), answer, choices=choices)).answer == letter


def test_a_gold_that_is_no_choice_is_refused() -> None:
    with pytest.raises(UserError, match="expected one of"):
        with_letter(Problem("1", "s", "?", (), "green", choices=("red", "blue")))


# --- SFT ---


def chat(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}], **more}


def sft_folder(folder: Path, items: list[Any], tars: dict[str, list[str]]) -> Path:
    """`sft.json` and tars of images, whose pixels tell them apart."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sft.json").write_text(json.dumps(items))
    (folder / "dataset_infos.json").write_text("{}")
    number = 0
    for name, members in tars.items():
        with tarfile.open(folder / name, "w") as tar:
            for member in members:
                data, number = png(number), number + 1
                header = tarfile.TarInfo(member)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    return folder


def prepare_sft(folder: Path, rows: int, *words: object) -> subprocess.CompletedProcess[str]:
    return call(
        "prepare_mmr1_sft", "--sft", folder, "--rows", rows, "--validation-size", 1,
        "--out", folder.parent / "sft.parquet", "--validation", folder.parent / "validation.parquet", *words,
    )  # fmt: skip


TARS = {"part_0000.tar": ["images/a.png", "images/b.png"], "part_0001.tar": ["./images/c.png"]}


def test_conversations_find_their_images_in_whichever_tar_they_are(tmp_path: Path) -> None:
    items = [
        chat("<image>First?", "<think>1</think><answer>\\boxed{1}</answer>", images=["images/a.png"]),
        chat("Without.", "So it is 2.\nTwo", images=[]),
        chat("<image><image>Both?", "\\boxed{3}", images=["images/c.png", "images/b.png"]),
        chat("No mark.", "\\boxed{4}", images="c.png"),
    ]
    done = prepare_sft(sft_folder(tmp_path / "sft", items, TARS), 4, "--seed", 1)
    assert done.returncode == 0, done.stderr
    train, held_out = (list(ConversationFile(tmp_path / f"{name}.parquet")) for name in ("sft", "validation"))
    assert (len(train), len(held_out)) == (3, 1)
    rows = {problem.id: (problem, response) for problem, response in train + held_out}
    assert sorted(rows) == [f"sft-{number:07d}" for number in range(4)]
    first, without, both, no_mark = (rows[name] for name in sorted(rows))
    assert first[1] == items[0]["conversations"][1]["value"]
    assert (first[0].images, first[0].answer) == ((png(0),), "1")
    assert (without[0].images, without[0].answer) == ((), "Two")
    assert both[0].images == (png(2), png(1))
    assert no_mark[0].question == "<image>\nNo mark."
    assert no_mark[0].images == (png(2),)


def test_which_are_held_out_depends_on_the_seed_only(tmp_path: Path) -> None:
    items = [chat(f"Question {number}", f"\\boxed{{{number}}}") for number in range(20)]
    folder = sft_folder(tmp_path / "sft", items, {})
    chosen = []
    for seed in (0, 0, 1):
        assert prepare_sft(folder, 20, "--seed", seed).returncode == 0
        chosen.append([problem.id for problem, _ in ConversationFile(tmp_path / "validation.parquet")])
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (
            chat("<image>?", "\\boxed{1}", images=["images/missing.png"]),
            "expected a file of the tars, found none called images/missing.png",
        ),
        (chat("<image>?", " ", images=["images/a.png"]), "expected texts in `value`"),
        (
            {"conversations": [{"from": "human", "value": "?"}]},
            "expected a human's turn and an answer, found ['human']",
        ),
        (chat("<image><image>?", "\\boxed{1}", images=["images/a.png"]), "found 2 marks and 1 images"),
    ],
)
def test_a_broken_conversation_is_named(tmp_path: Path, item: dict[str, Any], reason: str) -> None:
    good = chat("<image>?", "\\boxed{1}", images=["images/a.png"])
    folder = sft_folder(tmp_path / "sft", [good] * 1000 + [item], TARS)
    done = prepare_sft(folder, 1001)
    assert done.returncode == 2
    assert "sft.json: item 1000: " in done.stderr
    assert reason in done.stderr
    assert not (tmp_path / "sft.parquet").exists()


def test_the_keys_that_name_images_are_found_in_the_data(tmp_path: Path) -> None:
    def keys(items: list[Any]) -> set[str]:
        return set(image_keys(items, ImageStore(folder))) - {"image", "images"}

    folder = sft_folder(tmp_path, [], TARS)
    (tmp_path / "notes.json").write_text("{}")
    pictured = chat("<image>?", "x", picture="images/a.png", source="web")
    assert keys([pictured]) == {"picture"}
    assert keys([chat("?", "x", source="web")] * 1500 + [pictured]) == {"picture"}, "texts come first"
    assert keys([pictured, chat("<image>?", "x", picture="lost.png")]) == {"picture"}, "one is missing"
    assert keys([pictured, pictured, chat("<image>?", "x", source="a.png")]) == {"picture"}, "a source that is a name"
    assert keys([chat("?", "x"), 5, "text"]) == set()


def test_items_are_read_one_at_a_time_whatever_their_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [{"text": 'é[{,}]\\"' * length, "number": length} for length in (0, 1, 500, 3)]
    (tmp_path / "list.json").write_text(json.dumps(items, indent=1, ensure_ascii=False))
    for size in (1, 7, 1 << 20):
        monkeypatch.setattr("mmr1.data.mmr1_sft.CHARACTERS_AT_A_TIME", size)
        assert list(iter_items(tmp_path / "list.json")) == items


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}', "item 1: expected JSON"),
        ("{}", "a JSON list"),
    ],
)
def test_a_list_that_is_cut_off_or_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(UserError, match=message):
        list(iter_items(tmp_path / "list.json"))


def test_a_damaged_tar_is_refused(tmp_path: Path) -> None:
    folder = sft_folder(tmp_path / "cut", [], {"part_0000.tar": ["a.png", "b.png"]})
    (folder / "part_0000.tar").write_bytes((folder / "part_0000.tar").read_bytes()[:1600])
    with pytest.raises(UserError, match=r"part_0000\.tar: not a complete tar"):
        ImageStore(folder)
