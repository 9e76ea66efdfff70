"""Rows of a file that somebody brings, checked one by one.

A row has `question` (or `problem`), `answer`, and may have `images` (or `image`), `id`, `source`, `choices`,
`answer_type`, `metadata`; a conversation has `response`, too, and needs no `answer`. An image is encoded bytes, a
mapping with `bytes` or `path` as Hugging Face data sets have it, or a path relative to the file. A question without
`<image>` marks has its images in front.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.answers.response import extract_answer
from mmr1.data import contracts
from mmr1.data.conversations import conversation_writer
from mmr1.data.problems import BrokenRow, Problem, problem_rows
from mmr1.data.rejects import Rejects
from mmr1.data.rows import file_of, in_blocks, is_null, marked, one_form, text_of, whole
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import parse_json, read_jsonl
from mmr1.plumbing.progress import log
from mmr1.seeds import generator

Row = Mapping[str, Any]

ROWS_AT_A_TIME = 64
TOLD = 20  # broken rows that are told a line each, before the first of them ends the job
HELD_OUT = 20  # one of so many conversations, where the recipe does not say how many


class Reader:
    """The rows of a file or folder, in order, as problems; broken ones are told in a line each, and are `rejects`."""

    def __init__(self, path: Path | None, rejects: Rejects) -> None:
        """Raises UserError for a path that holds no rows of a known kind."""
        assert path is not None  # the source asks for tables whose file is named
        self.path = path
        self.rejects = rejects
        self.size, self._rows = open_rows(path)
        if not self.size:
            raise UserError(f"{path}: expected at least one row, found none")

    def problems(self) -> Iterator[tuple[int, Problem]]:
        """Each problem with the number of its row, without the broken ones: `rejects.settle` says if too many."""
        return self._read(lambda row, name: whole(problem(row, name, self._folder)))

    def conversations(self) -> Iterator[tuple[int, tuple[Problem, str]]]:
        """The same of problems with the responses to learn."""
        return self._read(lambda row, name: conversation(row, name, self._folder))

    @property
    def _folder(self) -> Path:
        return self.path if self.path.is_dir() else self.path.parent

    def _read(self, make: Callable[[Row, str], Any]) -> Iterator[tuple[int, Any]]:
        seen: dict[str, str] = {}
        for number, (where, row) in enumerate(self._rows()):
            name = f"{self.path.name.partition('.')[0]}-{number:05d}"
            try:
                made = make(row, name)
                name = (made[0] if isinstance(made, tuple) else made).id
                if name in seen:
                    raise BrokenRow(f"id: expected another one than in {seen[name]}, found {name!r}")
            except BrokenRow as reason:
                file, place = where.rsplit(": ", 1)
                self.rejects.add(file, place, number, name, reason)
                if self.rejects.limit < self.rejects.broken <= self.rejects.limit + TOLD:
                    log(f"{where}: {reason}")
            else:
                seen[name] = where.removeprefix(f"{self.path}: ")
                yield number, made


def write_problem_file(reader: Reader, path: Path, limit: int | None, source: str | None) -> int:
    """Write a file's problems, or its first `limit`, under another `source` if one is named; returns their number."""
    kept = 0
    problems = (named(one, source) for _, one in reader.problems())
    with contracts.writer(path, contracts.PROBLEMS) as table:
        for block in in_blocks(islice(problems, limit), ROWS_AT_A_TIME):
            table.write_table(pa.Table.from_pylist(problem_rows(block), schema=contracts.PROBLEMS))
            kept += len(block)
        reader.rejects.settle()
        if not kept:
            raise UserError(f"{reader.path}: nothing is left of {reader.size} rows")
    return kept


def write_conversation_files(
    reader: Reader, held_out: Reader | int | None, paths: tuple[Path, Path], seed: int, limit: int | None
) -> tuple[int, int]:
    """Write conversations and held-out ones: those of a second file, or as many as are drawn by the seed.

    Under a `limit` the file is taken as if it ended after as many and those that are held out of them.
    """
    train, validation = paths
    if isinstance(held_out, Reader):
        kept = write_all_conversations(reader, train, limit)
        return kept, write_all_conversations(held_out, validation, limit)
    count = max(1, reader.size // HELD_OUT) if held_out is None else held_out
    count = count if limit is None else min(count, limit)
    total = reader.size if limit is None else min(reader.size, limit + count)
    if count >= total:
        raise UserError(f"{reader.path}: sft_validation: expected fewer than its {total} conversations, found {count}")
    chosen = {int(number) for number in generator(seed, "sft_validation").choice(total, count, replace=False)}
    counts = [0, 0]
    with conversation_writer(train) as add, conversation_writer(validation) as hold_out:
        for number, (one, response) in reader.conversations():
            if number >= total:
                break
            (hold_out if number in chosen else add)(one, response)
            counts[number in chosen] += 1
        reader.rejects.settle()
        if 0 in counts:
            raise UserError(f"{reader.path}: nothing is left to train on, or nothing to hold out")
    return counts[0], counts[1]


def write_all_conversations(reader: Reader, path: Path, limit: int | None) -> int:
    """Write a file's conversations, or its first `limit`; returns their number."""
    kept = 0
    with conversation_writer(path) as add:
        for _, (one, response) in islice(reader.conversations(), limit):
            add(one, response)
            kept += 1
        reader.rejects.settle()
    return kept


def open_rows(path: Path) -> tuple[int, Callable[[], Iterator[tuple[str, Row]]]]:
    """How many rows a file or folder has, and a function that goes through them, each with where it stands.

    Raises UserError for what is none of the kinds that `mmr1.data.sources.files` names.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return _saved(path)
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise UserError(f"{path}: expected a saved Hugging Face data set or Parquet files, found neither")
        return _parquet(files)
    if path.suffix == ".parquet":
        return _parquet([path])
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        rows = read_jsonl(path)
        return len(rows), lambda: ((f"{path}: line {number}", row) for number, row in enumerate(rows, 1))
    raise UserError(f"{path}: expected .parquet, .jsonl, .jsonl.gz or a folder, found {path.suffix or 'no ending'}")


def problem(row: Row, name: str, folder: Path, answer: str | None = None) -> Problem:
    """A row as a problem, called `name` if it has no id; `answer` stands in for one that the row does not have.

    Raises BrokenRow, with the field, for what breaks the contract.
    """
    asked = "problem" if is_null(row.get("question")) and "problem" in row else "question"
    shown = "image" if is_null(row.get("images")) and not is_null(row.get("image")) else "images"
    images = [_image(f"{shown}[{index}]", one, folder) for index, one in enumerate(_listed(shown, row.get(shown)))]
    question = text_of(row, asked, blank=bool(images))
    try:
        question = marked(question, len(images))
    except BrokenRow as reason:
        raise BrokenRow(f"{asked}: {reason}") from None
    return Problem(
        id=one_form(name if is_null(row.get("id")) else text_of(row, "id")),
        source="files" if is_null(row.get("source")) else text_of(row, "source"),
        question=question,
        images=tuple(images),
        answer=answer if answer is not None and not _given(row, "answer") else text_of(row, "answer"),
        answer_type="text" if is_null(row.get("answer_type")) else text_of(row, "answer_type"),
        choices=_choices(row.get("choices")),
        metadata=_metadata(row.get("metadata")),
    )


def conversation(row: Row, name: str, folder: Path) -> tuple[Problem, str]:
    """A row as a problem and the response to learn, whose boxed answer stands in for one that the row does not have."""
    response = text_of(row, "response")
    boxed = extract_answer(response)[0] or response.strip().splitlines()[-1]
    return whole(problem(row, name, folder, boxed), response), response


def named(one: Problem, source: str | None) -> Problem:
    """The problem under another source; the one that it had stays in its metadata."""
    if source is None:
        return one
    return Problem(**{**vars(one), "source": source, "metadata": {"source": one.source} | one.metadata})


def _parquet(files: list[Path]) -> tuple[int, Callable[[], Iterator[tuple[str, Row]]]]:
    opened = [(path, contracts.open_any(path)) for path in files]

    def rows() -> Iterator[tuple[str, Row]]:
        for path, file in opened:
            number = 0
            for batch in contracts.batches(path, file, ROWS_AT_A_TIME):
                for row in contracts.as_rows(path, number, batch):
                    yield f"{path}: row {number}", row
                    number += 1

    return sum(file.metadata.num_rows for _, file in opened), rows


def _saved(path: Path) -> tuple[int, Callable[[], Iterator[tuple[str, Row]]]]:
    from datasets import DatasetDict, load_from_disk

    data = load_from_disk(str(path))
    if isinstance(data, DatasetDict):
        if len(data) != 1:
            raise UserError(f"{path}: expected one split, found {', '.join(data)}: name the folder of one")
        data = next(iter(data.values()))
    # As Arrow holds them, images stay encoded. A cast would do that, too, and write a cache into this folder.
    stored = data.with_format("arrow")

    def rows() -> Iterator[tuple[str, Row]]:
        blocks = enumerate(stored.iter(ROWS_AT_A_TIME))
        read = (contracts.as_rows(path, number * ROWS_AT_A_TIME, block) for number, block in blocks)
        return ((f"{path}: row {number}", row) for number, row in enumerate(chain.from_iterable(read)))

    return len(data), rows


def _given(row: Row, field: str) -> bool:
    return not is_null(row.get(field)) and bool(str(row[field]).strip())


def _listed(field: str, given: Any) -> list[Any]:
    if is_null(given):
        return []
    if field == "image":
        return [given]
    if not isinstance(given, list):
        raise BrokenRow(f"{field}: expected a list, found {type(given).__name__}")
    return given


def _image(field: str, given: Any, folder: Path) -> bytes:
    """An image's encoded bytes."""
    data, path = (given.get("bytes"), given.get("path")) if isinstance(given, dict) else (None, given)
    data = given if isinstance(given, bytes) else data
    if data:
        return bytes(data)
    if not isinstance(path, str) or not path or "\0" in path:
        raise BrokenRow(f"{field}: expected bytes or a path, found {'null' if is_null(given) else given!r:.60}")
    file = file_of(folder, path)
    if file is None:
        raise BrokenRow(f"{field}: expected an image file, found none at {folder / path}")
    return file.read_bytes()


def _choices(given: Any) -> tuple[str, ...] | None:
    if is_null(given) or given in ([], ""):
        return None
    if not isinstance(given, list) or not all(isinstance(one, str | int | float) and not is_null(one) for one in given):
        raise BrokenRow(f"choices: expected a list of texts, found {given!r:.60}")
    return tuple(map(str, given))


def _metadata(given: Any) -> dict[str, Any]:
    try:
        given = parse_json(given) if isinstance(given, str) else given
        json.dumps(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokenRow(f"metadata: expected JSON: {error}") from None
    if is_null(given):
        return {}
    if not isinstance(given, dict):
        raise BrokenRow(f"metadata: expected an object, found {type(given).__name__}")
    return dict(given)
