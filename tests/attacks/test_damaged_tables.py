"""One bit of a table is another one: the reader refuses the file by its name, or reads the very same values."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from mmr1.data import contracts
from mmr1.data.conversations import CONVERSATIONS, conversation_writer
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.errors import UserError
from mmr1.vas.read import SCORES

FLIPS = 40  # per table and reader


def write_sft(path: Path, problems: list[Problem]) -> None:
    with conversation_writer(path) as add:
        for problem in problems:
            add(problem, f"The answer is \\boxed{{{problem.answer}}}.")


def rollout(i: int) -> dict[str, object]:
    text = {"token_ids": list(range(i % 30)), "text": f"{i} und so fört " * (i % 5), "finish_reason": "stop"}
    return {"problem_id": f"train-{i // 8}", "rollout": i % 8, "seed": i * 7919**3, "logprob": -i / 7, **text}


def reward(i: int) -> dict[str, object]:
    verdict = {"accuracy": float(i % 3 == 0), "format": 1.0, "extracted": None if i % 5 else "7", "reason": "same"}
    return {"problem_id": f"train-{i // 8}", "rollout": i % 8, "step": i // 16, "slot": i % 16, **verdict}


def score(i: int) -> dict[str, object]:
    numbers = {"pass_rate": i / 100, "ovs": i / 400, "tds": 1 / (i + 1), "vps": i / 500}
    return {"problem_id": f"train-{i}", "n": 8, **numbers, "scored_at": 4, "diversity": "self_bleu_123"}


def slot(i: int) -> dict[str, object]:
    drawn = {"ovs": i / 400, "weight": None if i % 2 else i / 5000}
    return {"step": i // 4, "slot": i % 4, "problem_id": f"train-{i}", "origin": "weighted", **drawn}


TABLES: dict[str, tuple[pa.Schema, Callable[[Path, list[Problem]], None]]] = {
    "problems": (contracts.PROBLEMS, write_problems),
    "sft": (CONVERSATIONS, write_sft),
    **{
        name: (schema, lambda path, _, schema=schema, row=row: contracts.write(path, map(row, range(100)), schema))
        for name, schema, row in [
            ("rollouts", contracts.ROLLOUTS, rollout),
            ("train_rewards", contracts.TRAINING_REWARDS, reward),
            ("scores", SCORES, score),
            ("schedule", contracts.SCHEDULE, slot),
        ]
    },
}


def whole(path: Path, schema: pa.Schema) -> list[dict]:
    return contracts.read(path, schema).to_pylist()


def in_batches(path: Path, schema: pa.Schema) -> list[dict]:
    return [row for table in contracts.iter_batches(path, schema, 7) for row in table.to_pylist()]


def by_number(path: Path, schema: pa.Schema) -> list[dict]:
    rows = contracts.RowReader(path, schema)
    return [rows[number] for number in range(len(rows))]


@pytest.mark.parametrize("read", [whole, in_batches, by_number])
@pytest.mark.parametrize("name", TABLES)
def test_a_flipped_bit_of_a_table_is_refused_or_changes_no_value(
    name: str, read: Callable[[Path, pa.Schema], list[dict]], tmp_path: Path, digit_problems: list[Problem]
) -> None:
    """Bits all over the file, as many in its footer, which no checksum covers."""
    schema, write = TABLES[name]
    path = tmp_path / f"{name}.parquet"
    write(path, digit_problems)
    data, rows = path.read_bytes(), read(path, schema)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    draw = random.Random(f"{name} {read.__name__}")
    for number in range(FLIPS):
        at = draw.randrange(footer if number % 2 else 0, len(data))
        flipped = bytearray(data)
        flipped[at] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        message = None
        try:
            found = read(path, schema)
        except UserError as error:
            message = str(error)
        if message is None:
            assert found == rows, f"byte {at} of {len(data)}: another value, and no error"
        else:
            assert message.startswith(f"{path}: "), at
            assert "\n" not in message, at
    path.write_bytes(data)
    assert read(path, schema) == rows, "the table as it was is read"


def test_what_others_wrote_without_checksums_is_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "scores.parquet"
    pq.write_table(pa.Table.from_pylist([score(i) for i in range(9)], schema=SCORES), path)
    assert whole(path, SCORES) == [score(i) for i in range(9)]


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "golds.parquet"
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    pq.write_table(pa.table({"id": text}), path)
    with pytest.raises(UserError, match=r"golds\.parquet: row 0: id: expected a text in UTF-8"):
        whole(path, pa.schema([("id", pa.string())]))
