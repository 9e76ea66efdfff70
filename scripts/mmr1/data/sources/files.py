"""Your own files: problems for RL, conversations for SFT, and what is held out of both.

A file is Parquet with the columns of `mmr1.data.contracts`, or JSON lines with images beside them, or a folder: a saved
Hugging Face data set (`save_to_disk`), or Parquet files. `mmr1.data.files` says what a row may hold. Each row that
breaks the contract is told in a line; `max_dropped` of each file may be left out, and are listed with their reasons.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field

from mmr1.plumbing.settings import Section

TITLE = "Own files"
BENCHMARK = "own"
LICENCE = "yours to say."
EXAMPLE = """
data:
  files: {problems: mine/problems.jsonl, sft: mine/sft.jsonl, validation: mine/held_out.jsonl, test: mine/test.jsonl}
evaluation: {benchmarks: [own]}
"""


class Settings(Section):
    """The files, seen from the working directory; a table whose file is left out is not made."""

    problems: Path | None = Field(None, description="the RL pool")
    validation: Path | None = Field(None, description="problems for the validation curve of RL")
    sft: Path | None = Field(None, description="conversations: problems, each with the response to learn")
    sft_validation: int | Path | None = Field(
        None,
        description="conversations held out of SFT: a file of them, or how many of `sft` are drawn by the seed (a "
        "twentieth by default)",
    )
    test: Path | None = Field(None, description="problems for evaluation: those of the benchmark `own`")
    max_dropped: int = Field(0, ge=0, description="how many broken rows of a file may be left out; a table lists each")


def rows(settings: Settings) -> dict[str, tuple[str, int | None]]:
    """The tables that there are files for; how long each is, only its file knows."""
    made = [name for name in ("problems", "validation", "sft", "test") if getattr(settings, name) is not None]
    return {name: (name, None) for name in [*made, *(["sft_validation"] if "sft" in made else [])]}


def inputs(settings: Settings) -> dict[str, Path]:
    """The files by their keys."""
    values = {name: getattr(settings, name) for name in ("problems", "validation", "sft", "sft_validation", "test")}
    return {name: path for name, path in values.items() if isinstance(path, Path)}


def rejected(settings: Settings) -> list[str]:
    """The tables whose file may hold broken rows: each has a table of those beside it."""
    return list(inputs(settings))


def write(
    settings: Settings, tables: Mapping[str, Path], seed: int, limits: Mapping[str, int | None]
) -> dict[str, Any]:
    """Check every row and write the tables."""
    from mmr1.data.files import Reader, write_conversation_files, write_problem_file
    from mmr1.data.rejects import reject_table

    made: dict[str, Any] = {}
    with ExitStack() as stack:
        rejects = {
            name: stack.enter_context(reject_table(tables.get(f"{name}_rejects"), settings.max_dropped))
            for name in rejected(settings)
        }
        for name in ("problems", "validation", "test"):
            if name in tables:
                reader = Reader(getattr(settings, name), rejects[name])
                source = BENCHMARK if name == "test" else None
                made[name] = write_problem_file(reader, tables[name], limits.get(name), source)
        if "sft" in tables:
            reader = Reader(settings.sft, rejects["sft"])
            paths = tables["sft"], tables["sft_validation"]
            given = settings.sft_validation
            held_out = Reader(given, rejects["sft_validation"]) if isinstance(given, Path) else given
            sizes = write_conversation_files(reader, held_out, paths, seed, limits.get("sft"))
            made["sft"], made["sft_validation"] = sizes
    return made | {"left_out": {name: one.notes() for name, one in rejects.items() if len(one)}}
