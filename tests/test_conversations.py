"""Conversations that are read by the row: the same as all at once, with each mistake named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmr1.data import contracts, conversations
from mmr1.data.conversations import CONVERSATIONS, ConversationFile, conversation_writer, write_conversations
from mmr1.data.problems import Problem, read_problems
from mmr1.data.sources import digits
from mmr1.plumbing.errors import UserError

Pairs = list[tuple[Problem, str]]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    problems = digits.make_problems("train", 200, 0, digits.load(held_out=False))
    return [(problem, digits.worked_response(problem)) for problem in problems]


@pytest.fixture
def path(tmp_path: Path, pairs: Pairs) -> Path:
    write_conversations(tmp_path / "c.parquet", pairs)
    return tmp_path / "c.parquet"


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], object], schema: pa.Schema = CONVERSATIONS) -> None:
    """The file with other rows, in groups of 64 as before."""
    rows = pq.read_table(path).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=64)


def test_any_order_gives_the_rows_of_the_file(path: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(zip(read_problems(path), pq.read_table(path).column("response").to_pylist(), strict=True)) == pairs
    order = [199, 0, 64, 63, 128, 1, 198, 199]
    file = ConversationFile(path)
    assert [file[row] for row in order] == [pairs[row] for row in order]
    assert list(file) == pairs
    with pytest.raises(IndexError):
        file[200]
    monkeypatch.setattr(contracts, "KEPT_GROUPS", 1)  # every group is read anew
    file = ConversationFile(path)
    assert [file[row] for row in order] == [pairs[row] for row in order]


def test_groups_that_were_read_last_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = contracts.RowReader(path, CONVERSATIONS)
    monkeypatch.setattr(contracts, "KEPT_GROUPS", sum(reader.read_group(group).nbytes for group in (0, 1)))
    read, read_group = [], reader.read_group
    monkeypatch.setattr(reader, "read_group", lambda group: read.append(group) or read_group(group))
    for row in (0, 64, 1, 199, 2, 65):
        assert reader[row]["id"] == f"train-{row:05d}"
    assert read == [0, 1, 3, 1]


def test_groups_are_bounded_in_rows_and_in_bytes(tmp_path: Path, pairs: Pairs) -> None:
    large = replace(pairs[0][0], question="<image>?", images=(bytes(conversations.BYTES_A_GROUP),))
    with conversation_writer(tmp_path / "c.parquet") as add:
        for problem, response in pairs[:70]:
            add(problem, response)
        add(large, "7")
        add(*pairs[71])
    metadata = pq.read_metadata(tmp_path / "c.parquet")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [64, 7, 1]


def test_a_file_of_one_large_group_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "LARGEST_GROUP", 1000)
    with pytest.raises(UserError, match=r"c\.parquet: expected row groups of at most 0 MiB, .* smaller row_group_size"):
        ConversationFile(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[150].update(response=" "), "row 150: response: expected a text, found an empty string"),
        (lambda rows: rows[150].update(answer=" "), "row 150: answer: expected a gold answer, found an empty string"),
        (lambda rows: rows[150].update(id=""), "row 150: id: expected a name"),
        (lambda rows: rows[150].update(id="train-00003"), "row 150: id: 'train-00003' stands in row 3 already"),
        (lambda rows: rows[150].update(metadata="[]"), "row 150: metadata: expected a JSON object, found list"),
        (
            lambda rows: rows[150].update(question="<image>" * 9),
            r"row 150: question: expected one <image> mark per image, found 9 marks and \d images",
        ),
        (
            lambda rows: rows[150].update(images=[]),
            r"row 150: question: expected one <image> mark per image, found \d marks and 0 images",
        ),
        (
            lambda rows: rows[3].update(question="<image>", images=[b"PNG"]),
            r"row 3: images\[0\]: .* 3 bytes that do not",
        ),
        (lambda rows: rows.clear(), "expected at least one problem, found none"),
    ],
)
def test_a_mistake_is_named_before_training(
    path: Path, change: Callable[[list[dict[str, Any]]], object], message: str
) -> None:
    rewrite(path, change)
    with pytest.raises(UserError, match=rf"c\.parquet: {message}"):
        ConversationFile(path)


def test_a_null_is_named_by_its_row_in_the_file(path: Path) -> None:
    nullable = pa.schema([field.with_nullable(True) for field in CONVERSATIONS])
    rewrite(path, lambda rows: rows[150].update(response=None), nullable)
    with pytest.raises(UserError, match="row 150: response: expected a value, found null"):
        ConversationFile(path)


@pytest.mark.parametrize(
    ("images", "message"),
    [([b"PNG"], "expected an image, found 3 bytes that do not decode"), ([None], "expected an image, found null")],
)
def test_an_image_that_does_not_decode_is_named_by_a_check(path: Path, images: list[Any], message: str) -> None:
    rewrite(path, lambda rows: rows[150].update(question="<image>", images=images))
    file = ConversationFile(path)
    assert file[149][0].id == "train-00149"
    with pytest.raises(UserError, match=rf"c\.parquet: row 150: images\[0\]: {message}"):
        file.check(150)


def test_two_wrong_counts_of_images_that_add_up_are_named_when_they_are_read(path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[150].update(question="<image>", images=rows[0]["images"][:1] * 2)
        rows[151].update(question="<image><image>", images=rows[0]["images"][:1])

    rewrite(path, change)
    file = ConversationFile(path)
    with pytest.raises(UserError, match="row 150: question: expected one <image> mark per image, found 1 marks and 2"):
        file[150]


def test_damage_in_the_middle_of_a_file_is_named(path: Path) -> None:
    start = pq.read_metadata(path).row_group(2).column(CONVERSATIONS.get_field_index("images")).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    file = ConversationFile(path)
    with pytest.raises(UserError, match=r"c\.parquet: row group 2: expected a whole one, found damage: "):
        file[150]
