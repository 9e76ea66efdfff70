"""Near-duplicates of the benchmarks' questions in training data: what counts as one, what is listed and dropped."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.near_duplicates import Questions, look, plain_text
from mmr1.data.problems import Problem, read_problems, write_problems
from project import ROOT, snakemake


def drawing(seed: int) -> Image.Image:
    """A figure of a few shapes."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (320, 240), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, width, height = (int(value) for value in random.integers((0, 0, 20, 20), (240, 180, 120, 100)))
        colour = tuple(int(value) for value in random.integers(0, 200, 3))
        pen.ellipse((x, y, x + width, y + height), fill=colour)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


FIGURE, OTHER = encoded(drawing(0)), encoded(drawing(1))
SMALLER = encoded(drawing(0).resize((200, 150)), "JPEG", quality=60)
ASKED = "How many circles are there in the figure? "
ITEM = Problem("b1", "bench", f"<image>{ASKED}", (FIGURE,), "6")
TEXT = Problem("b2", "bench", "A train leaves at nine and arrives at ten: how long is its journey?", (), "1")


def kinds(problem: Problem) -> list[tuple[str, str, str]]:
    return Questions({"bench": [ITEM, TEXT]}).like(problem)


@pytest.mark.parametrize(
    ("question", "images", "kind"),
    [
        ("<image> how many CIRCLES are there, in the figure", (SMALLER,), "same"),
        ("<image>What is drawn here?", (SMALLER,), "images"),
        (f"<image>{ASKED}", (OTHER,), "text"),
        (f"<image>{ASKED}<image>", (OTHER, FIGURE), "same"),
        ("a train leaves at nine, and arrives at ten. How long is its journey", (), "same"),
        ("<image>A train leaves at nine and arrives at ten: how long is its journey?", (OTHER,), "text"),
        ("<image>How many squares are there in the figure?", (OTHER,), None),
    ],
)
def test_a_question_and_its_images_are_compared(question: str, images: tuple[bytes, ...], kind: str | None) -> None:
    assert [found[2] for found in kinds(Problem("1", "s", question, images, "6"))] == ([kind] if kind else [])


def test_images_are_alike_whatever_their_size_and_format_and_others_are_not() -> None:
    looks = [look(encoded(drawing(seed))) for seed in range(40)]
    apart = [int(np.bitwise_count(a.bits ^ b.bits)) for n, a in enumerate(looks) for b in looks[:n] if a and b]
    assert min(apart) > 4
    same = look(SMALLER)
    assert same is not None
    assert looks[0] is not None
    assert int(np.bitwise_count(same.bits ^ looks[0].bits)) <= 4
    assert look(encoded(Image.new("RGB", (50, 50), "white"))) is None, "one colour is like none"
    assert look(b"no image") is None


def test_short_texts_alone_say_nothing() -> None:
    short = replace(TEXT, question="What is 1 + 1?")
    assert Questions({"bench": [short]}).like(replace(short, id="1")) == []
    assert plain_text("<image>What is ½ × Ａ?") == "whatis12a"


def call(program: str, *words: object) -> None:
    done = subprocess.run(
        [sys.executable, f"scripts/{program}.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_they_are_listed_and_dropped_from_both_tables(tmp_path: Path) -> None:
    good = [Problem(f"p{number}", "s", f"<image>Area {number}?", (OTHER,), "1") for number in range(70)]
    same, picture = replace(ITEM, id="leak", images=(SMALLER,)), replace(good[0], id="picture", images=(FIGURE,))
    problems = [*good, same, picture]
    write_problems(tmp_path / "problems.parquet", problems)
    write_conversations(tmp_path / "sft.parquet", [(problem, "\\boxed{1}") for problem in problems[::-1]])
    write_problems(tmp_path / "bench.parquet", [ITEM, TEXT])
    listed = tmp_path / "duplicates.parquet"
    call(
        "find_duplicates", "--tables", tmp_path / "problems.parquet", tmp_path / "sft.parquet", "--workers", 2,
        "--benchmarks", tmp_path / "bench.parquet", "--out", listed,
    )  # fmt: skip
    expected = [("leak", "bench", "b1", "same"), ("picture", "bench", "b1", "images")]
    rows = [tuple(row.values()) for row in pq.read_table(listed).to_pylist()]
    assert rows == [("problems", *row) for row in expected] + [("sft", *row) for row in expected[::-1]]
    for name in ("problems", "sft"):
        table, out = tmp_path / f"{name}.parquet", tmp_path / f"kept/{name}.parquet"
        call("drop_duplicates", "--table", table, "--duplicates", listed, "--out", out)
    assert read_problems(tmp_path / "kept/problems.parquet") == [*good, picture]
    kept = list(ConversationFile(tmp_path / "kept/sft.parquet", None))
    assert [problem.id for problem, _ in kept] == ["picture", *(problem.id for problem in good[::-1])]


def test_dropping_stands_between_what_is_made_and_what_is_trained_on() -> None:
    """Of digits, without running anything."""
    assert "drop_duplicates" not in snakemake(ROOT, "-n", "train")
    dropping = snakemake(ROOT, "-n", "train", "--config", "data={near_duplicates: drop}", "redo=true")
    for rule, count in {"find_duplicates": 1, "drop_duplicates": 2}.items():
        assert re.search(rf"^{rule} +{count}$", dropping, re.MULTILINE)
