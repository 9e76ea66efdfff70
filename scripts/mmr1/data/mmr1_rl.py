"""The paper's RL set: rows of `MMR1/MMR1-RL` as problems."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmr1.data import contracts
from mmr1.data.problems import BrokenRow, Problem
from mmr1.data.rejects import LeftOut, Rejects
from mmr1.data.rows import marked, text_of, whole
from mmr1.plumbing.errors import UserError

# What the source has; the images of a row are encoded bytes beside the path that they had.
COLUMNS = ("problem", "answer", "images")
ROWS_AT_A_TIME = 64


def source_files(folder: Path) -> list[Path]:
    """The Parquet files of the data set, in the order of their names. Raises UserError for a folder without any."""
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise UserError(f"{folder}: expected Parquet files of the RL set, found none")
    return files


def rl_rows(folder: Path) -> Iterator[tuple[int, Path, int, dict[str, Any]]]:
    """Each row of the data set with its number over all files, and its file and number there."""
    number = 0
    for path in source_files(folder):
        file = contracts.open_any(path)
        for name in COLUMNS:
            if name not in file.schema_arrow.names:
                raise UserError(f"{path}: expected a column {name}, found {', '.join(file.schema_arrow.names)}")
        in_file = 0
        for batch in contracts.batches(path, file, ROWS_AT_A_TIME, list(COLUMNS)):
            for row in contracts.as_rows(path, in_file, batch):
                yield number, path, in_file, row
                number, in_file = number + 1, in_file + 1


def rl_problem(number: int, row: dict[str, Any]) -> Problem:
    """A row as a problem. Its id is its number, so that leaving a row out moves no other. Raises BrokenRow."""
    images = []
    for index, image in enumerate(row["images"] or []):
        data = image.get("bytes") if isinstance(image, dict) else None
        if not data:
            raise BrokenRow(f"images[{index}]: expected encoded bytes, found none")
        images.append(data)
    return whole(
        Problem(
            id=problem_id(number),
            source="MMR1/MMR1-RL",
            question=marked(text_of(row, "problem", blank=True), len(images)),
            images=tuple(images),
            answer=text_of(row, "answer").strip(),
        )
    )


def problem_id(number: int) -> str:
    """What the row of that number is called."""
    return f"rl-{number:05d}"


def with_letter(problem: Problem) -> Problem:
    """A benchmark's problem as RL asks it: the gold of a multiple choice is the letter that the prompt asks for.

    Raises UserError if the gold is none of the choices.
    """
    if not problem.choices or (len(problem.answer) == 1 and problem.answer not in problem.choices):
        return problem
    if problem.answer not in problem.choices:
        raise UserError(f"{problem.id}: answer: expected one of {problem.choices}, found {problem.answer!r}")
    return replace(problem, answer=chr(ord("A") + problem.choices.index(problem.answer)))


def kept_problems(folder: Path, rejects: Rejects, fit: Callable[[Problem], Problem]) -> Iterator[Problem]:
    """The problems of the RL set in their order, as `fit` makes them short enough.

    Broken rows are rejects, and so is what `fit` raises BrokenRow or LeftOut for.
    """
    for number, path, row_of_file, row in rl_rows(folder):
        try:
            problem = fit(rl_problem(number, row))
        except (BrokenRow, LeftOut) as reason:
            rejects.add(path, f"row {row_of_file}", number, problem_id(number), reason)
        else:
            yield problem
