"""The commands that the pages show: what stands in blocks without a language, and in backticks within a line.

Blocks of output, layouts and drawings are marked as `text`. A command in backticks that holds an ellipsis is
none, and neither is the name of a program alone.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from project import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELLS = ("", "bash", "console", "sh")
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TOOLS = "make snakemake python conda docker apptainer nvidia-smi scontrol squeue scancel sacct apt apt-get bash git"
INLINE = re.compile(rf"`((?:{TOOLS.replace(' ', '|')}|\.envs/\w+/bin/\w+) [^`…]+)`")
MENTION = re.compile(r"\S*python \S+\.py")  # a program's name alone


@dataclass(frozen=True)
class Shown:
    """Commands that belong together, and where they stand. Each is one line: continued ones are joined."""

    page: str
    line: int
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def shown() -> list[Shown]:
    """Every block of commands and every command in a line, page by page. The same words are named once."""
    everywhere = [one for page in PAGES for one in blocks(page)]
    known = {command for one in everywhere for command in one.commands}
    for page in PAGES:
        for one in in_lines(page):
            if not known.issuperset(one.commands):
                known.update(one.commands)
                everywhere.append(one)
    return everywhere


def blocks(page: Path) -> list[Shown]:
    """The blocks of commands of a page."""
    text = page.read_text()
    return [
        Shown(name(page), text[: match.start()].count("\n") + 2, commands(match["text"]))
        for match in BLOCK.finditer(text)
        if match["language"] in SHELLS
    ]


def commands(block: str) -> tuple[str, ...]:
    """The commands of a block: a line each, without the comments of the page."""
    lines = block.replace("\\\n", " ").splitlines()
    bare = (re.sub(r"\s+# .*$", "", line) for line in lines)
    return tuple(" ".join(line.split()) for line in bare if line.strip() and not line.startswith("#"))


def in_lines(page: Path) -> list[Shown]:
    """The commands in backticks outside a page's blocks."""
    text = BLOCK.sub(lambda match: "\n" * match[0].count("\n"), page.read_text())
    return [
        Shown(name(page), text[: match.start()].count("\n") + 1, (" ".join(match[1].split()),))
        for match in INLINE.finditer(text)
        if not MENTION.fullmatch(match[1])
    ]


def name(page: Path) -> str:
    """A page as the project names it."""
    return page.relative_to(ROOT).as_posix()
