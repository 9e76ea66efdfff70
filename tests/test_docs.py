"""What pages name is there: files, folders, and the sections that links point to."""

import re
from pathlib import Path

import pytest

from project import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = [
    path.as_posix() for folder in ("scripts", "tests", "performance", "envs") for path in (ROOT / folder).rglob("*.py")
]


def text(page: Path) -> str:
    """A page without the examples that a reader writes: Python blocks, and the paragraphs that introduce them."""
    return re.sub(r"(?:^[^\n]+\n)*\n?^```python\n.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    paths = set(re.findall(r"\b(?:scripts|tests|performance|workflow)/[\w./-]*\w/?", text(page)))
    assert not {path for path in paths if "NAME" not in path and not (ROOT / path).exists()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    modules = set(re.findall(r"`([\w/]+\.py)`", text(page)))
    assert not {name for name in modules if "NAME" not in name and not any(p.endswith(f"/{name}") for p in PROGRAMS)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", text(page)):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        assert not heading or heading in headings(linked), f"{target}#{heading}"
