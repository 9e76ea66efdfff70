"""Problems that break the contract are refused with file, row and field."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmr1.data import contracts
from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.data.sources import digits
from mmr1.plumbing.errors import UserError


@pytest.fixture
def problems() -> list[Problem]:
    return digits.make_problems("train", 8, 0, digits.load(held_out=False))


def test_problems_round_trip(tmp_path: Path, problems: list[Problem]) -> None:
    write_problems(tmp_path / "p.parquet", problems)
    assert read_problems(tmp_path / "p.parquet") == problems


def test_the_same_problems_make_the_same_bytes(tmp_path: Path, problems: list[Problem]) -> None:
    write_problems(tmp_path / "a.parquet", problems)
    write_problems(tmp_path / "b.parquet", problems)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"question": "<image><image>The sum?"},
            "row 1: question: expected one <image> mark per image, found 2 marks and 1",
        ),
        (
            {"images": (b"not an image",)},
            r"^\S+p\.parquet: row 1: images\[0\]: expected an image, found 12 bytes that do not decode "
            r"\(in none of the formats PNG, .*\)$",
        ),
        ({"answer": "  "}, "row 1: answer: expected a gold answer, found an empty string"),
        ({"id": ""}, "row 1: id: expected a name"),
        ({"id": "train-00000"}, "row 1: id: 'train-00000' stands in row 0 already"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, problems: list[Problem], change: dict, message: str) -> None:
    broken = [problems[0], replace(problems[1], **change)]
    write_problems(tmp_path / "p.parquet", broken)
    with pytest.raises(UserError, match=message):
        read_problems(tmp_path / "p.parquet")


def test_a_truncated_image_is_named(tmp_path: Path, problems: list[Problem]) -> None:
    image = problems[0].images[0]
    cut = replace(problems[0], images=(image[: len(image) // 2], *problems[0].images[1:]))
    write_problems(tmp_path / "p.parquet", [cut])
    with pytest.raises(UserError, match=r"p\.parquet: row 0: images\[0\]: expected an image, found \d+") as caught:
        read_problems(tmp_path / "p.parquet")
    assert " object at 0x" not in str(caught.value)


def test_a_missing_truncated_or_foreign_file_is_named(tmp_path: Path, problems: list[Problem]) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(UserError, match=r"p\.parquet: no such file"):
        read_problems(path)
    write_problems(path, problems)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"p\.parquet: not a complete Parquet file"):
        read_problems(path)
    write_problems(path, problems)
    pq.write_table(pq.read_table(path).drop_columns(["answer"]), path)
    with pytest.raises(UserError, match="expected a column answer"):
        read_problems(path)
    contracts.write(path, [], contracts.PROBLEMS)
    with pytest.raises(UserError, match="expected at least one problem"):
        read_problems(path)


def test_a_conversation_needs_a_response(tmp_path: Path, problems: list[Problem]) -> None:
    pairs = [(problem, digits.worked_response(problem)) for problem in problems]
    write_conversations(tmp_path / "c.parquet", pairs)
    assert list(ConversationFile(tmp_path / "c.parquet")) == pairs
    write_conversations(tmp_path / "c.parquet", [pairs[0], (pairs[1][0], " ")])
    with pytest.raises(UserError, match="row 1: response: expected a text"):
        list(ConversationFile(tmp_path / "c.parquet"))
