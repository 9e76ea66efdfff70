"""Reading what is scored: problems and responses, in the project's tables or in the files that others publish."""

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmr1.benchmarks.base import Benchmark, Response, Row
from mmr1.data import contracts
from mmr1.data.problems import Problem, check_ids, read_problems
from mmr1.data.rows import SURROGATE, is_null, one_form
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import UTF_8, parse_json, read_json, read_jsonl


def load_problems(benchmark: Benchmark, path: Path) -> list[Problem]:
    """The problems of a benchmark, without images.

    `path` is a `problems.parquet`, or the benchmark's own file: a JSON list, a JSON object of rows by id, or JSON lines
    (also .gz). Raises UserError naming file, row and field.
    """
    if path.suffix == ".parquet":
        problems = read_problems(path, images=False, allow_empty_answer=True)
        for number, problem in enumerate(problems):
            if problem.source != benchmark.name:
                raise UserError(f"{path}: row {number}: source: expected {benchmark.name}, found {problem.source}")
    else:
        problems = [to_problem(benchmark, path, row, number) for number, row in enumerate(load_rows(path))]
    if not problems:
        raise UserError(f"{path}: expected at least one problem, found none")
    check_ids(path, problems)
    return benchmark.complete(problems)


def to_problem(benchmark: Benchmark, path: Path, row: Row, number: int) -> Problem:
    """A row as a problem; a UserError names the file and the row."""
    try:
        problem = benchmark.to_problem(row, number)
        return replace(problem, id=one_form(problem.id))
    except UserError as error:
        raise UserError(f"{path}: row {number}: {error}") from None
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path}: row {number}: not a row of {benchmark.name}: {error!r}") from None


def load_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON list, of a JSON object of rows by id (the `id` of a row that has none), or JSON lines."""
    names = path.name.removesuffix(".gz")
    if names.endswith(".jsonl"):
        return read_jsonl(path)
    content = _read_json(path)
    if isinstance(content, dict):
        rows: Iterable[Any] = (_named(name, row) for name, row in content.items())
    elif isinstance(content, list):
        rows = content
    else:
        raise UserError(f"{path}: expected a list or an object of rows, found {type(content).__name__}")
    checked = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UserError(f"{path}: row {number}: expected an object, found {type(row).__name__}")
        checked.append(row)
    return checked


def _named(name: str, row: Any) -> Any:
    """A row of an object by ids, which are the ids of rows that have none of their own."""
    return row | {"id": name} if isinstance(row, dict) and is_null(row.get("id")) else row


def load_responses(
    path: Path, response_field: str = "response", extraction_field: str | None = None
) -> dict[str, list[Response]]:
    """The response or responses to each problem, by problem id, in the file's order.

    `path` is a rollouts table, or JSON lines (also .gz) of `{"id": …, "response": …}`, which may have `finish_reason`.
    `extraction_field` names the field of an extraction that someone else made. Raises UserError naming file, row and
    field. In JSON lines an id may stand once only: twice would be a mistake in joining files. Half a surrogate pair,
    which JSON can hold (an emoji that was cut) and no table can, becomes U+FFFD.
    """
    if path.suffix == ".parquet":
        table = contracts.read(path, contracts.ROLLOUTS).select(["problem_id", "rollout", "text", "finish_reason"])
        named = [
            (row["problem_id"], Response(row["text"], None, row["finish_reason"], rollout=row["rollout"]))
            for row in table.to_pylist()
        ]
    else:
        rows = load_rows(path)
        named = [_response(path, number, row, response_field, extraction_field) for number, row in enumerate(rows)]
    responses: dict[str, list[Response]] = {}
    for number, (name, response) in enumerate(named):
        others = responses.setdefault(one_form(name), [])
        if any(other.rollout == response.rollout for other in others):
            raise UserError(f"{path}: row {number}: {name!r}: expected one response, found a second one")
        others.append(response)
    return responses


def _response(
    path: Path, number: int, row: Row, response_field: str, extraction_field: str | None
) -> tuple[str, Response]:
    def field(name: str) -> str:
        if not isinstance(row.get(name), str):
            raise UserError(f"{path}: row {number}: {name}: expected a text, found {row.get(name)!r:.60}")
        return SURROGATE.sub("\ufffd", row[name])

    name, reason = row.get("id"), row.get("finish_reason")
    given = field(extraction_field) if extraction_field else None
    response = Response(field(response_field), given, None if reason is None else str(reason))
    numbered = isinstance(name, int) and not isinstance(name, bool)  # as MathVision's are
    return str(name) if numbered else field("id"), response


def _read_json(path: Path) -> Any:
    if path.suffix != ".gz":
        return read_json(path)
    try:
        return parse_json(gzip.decompress(path.read_bytes()).decode(UTF_8))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: expected JSON: {error}") from None
