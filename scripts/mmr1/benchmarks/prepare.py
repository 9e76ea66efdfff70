"""From a benchmark's source, on the hub or in local files, to problems with images."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mmr1.benchmarks.base import Benchmark, Row, Source, with_image
from mmr1.benchmarks.load import to_problem
from mmr1.data.problems import Problem
from mmr1.data.rows import file_of
from mmr1.plumbing.errors import UserError

Prompt = Literal["bare", "official"]


def problems(benchmark: Benchmark, where: Path, rows: Iterable[Row], prompt: Prompt, folder: Path) -> list[Problem]:
    """The problems of some rows, with their images.

    `prompt` "bare" keeps the question and its choices, for the paper's system prompt (Table 8); "official" is the text
    as the benchmark itself asks it. Image paths in rows are relative to `folder`. `where` is named in errors.
    """
    made = []
    for number, row in enumerate(rows):
        problem = to_problem(benchmark, where, row, number)
        if prompt == "official":
            try:
                asked = with_image(benchmark.official_prompt(row))
            except UserError as error:
                raise UserError(f"{where}: row {number}: {error} (which holds the official prompt)") from None
            problem = replace(problem, question=asked, metadata=problem.metadata | {"choices_in_question": True})
        try:
            made.append(replace(problem, images=(image(benchmark, row, folder),)))
        except UserError as error:
            raise UserError(f"{where}: row {number}: {error}") from None
    return benchmark.complete(made)


def image(benchmark: Benchmark, row: Row, folder: Path) -> bytes:
    """The encoded bytes of a row's image: embedded, or a file under `folder`."""
    preferred = benchmark.source.image if benchmark.source else "image"
    for name in (preferred, "image", "imagename"):
        cell = row.get(name)
        if isinstance(cell, dict) and cell.get("bytes"):
            return cell["bytes"]
        path = cell.get("path") if isinstance(cell, dict) else cell
        if isinstance(path, str) and path:
            if file := file_of(folder, path) or file_of(folder, Path(path).name):
                return file.read_bytes()
            raise UserError(f"{name}: expected an image file {path} under {folder}, found none")
    raise UserError(f"{preferred}: expected an image, found none (columns: {', '.join(row)})")


def hub_rows(source: Source, commit: str, copy: Path) -> Iterator[dict[str, Any]]:
    """The rows of a data set at a commit; images stay encoded.

    The Arrow copy that is read is made anew in the folder `copy`, for nothing could be compared with an older one.
    Raises UserError if the hub does not give the rows, or another number of them than expected, and if a file in the
    client's cache is not what the hub has.
    """
    from datasets import load_dataset

    from mmr1.data.hub import check_cache, reached

    wanted = {"split": source.split, "revision": commit, "cache_dir": str(copy)}
    data = reached(source.repository, lambda: load_dataset(source.repository, source.config, **wanted))
    check_cache(source.repository, "dataset", commit)
    if len(data) != source.rows:
        raise UserError(f"{source.repository}@{commit}: expected {source.rows} rows, found {len(data)}")
    return iter(encoded(data))


def encoded(data: Any) -> Any:
    """A `datasets.Dataset` whose images are left as they were encoded."""
    from datasets import Image

    for name, feature in data.features.items():
        if isinstance(feature, Image):
            data = data.cast_column(name, Image(decode=False))
    return data


def limited(rows: Iterable[Row], limit: int | None) -> Iterable[Row]:
    """The first `limit` rows, or all."""
    return rows if limit is None else itertools.islice(rows, limit)
