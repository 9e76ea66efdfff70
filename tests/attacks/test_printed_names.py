"""Names with markup, formulas and line ends in printed tables: in every format they are the text that they are."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mmr1.report.printed_tables import Table
from mmr1.report.table_formats import comma_separated, html_fragment, latex, markdown

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- ",
    "&lt;b&gt;",
    "[click](javascript:alert(1))",
    "![x](http://host/x.png)",
    "[x]: http://host",
    "[a][b]",
    "**bold** _slanted_ ~~gone~~ `code`",
    "$x$ \\(y\\) \\input{/etc/passwd}",
    "a | b",
    "a & b % c # d {e} ^f ~g",
    "[3pt] at the start",
    "*",
    "# heading",
    "- item",
    "1. item",
    "10) item",
    "===",
    "---",
    "```",
    "> said",
    "a\nb\r\nc\td\x00e\u2028f",
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "=HYPERLINK(\"http://host\",\"x\")",
    "\t=1",
    "\r=1",
    "＝1+1",
    "-",
    "+GRPO",
]  # fmt: skip

NUMBERS = ["-1", "+1.5", "-0.04", "-1e-06", "+.5", "-3%", "12", "0.0"]

# No control characters, which are spaces in print.
printable = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1)
names = st.sampled_from(HOSTILE) | printable | st.text("<>&[]()!*_`~$\\|#+-=1.:/ @", min_size=1)


def table(*texts: str) -> Table:
    """The same texts as title, header, cells of all columns, notes and fields."""
    rows = [[text, text] for text in texts]
    records = [{"row": text, "n": 1, "difference": "-1.5"} for text in texts]
    return Table(texts[0], [texts[0], texts[0]], rows, list(texts), records)


def shown(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


class Text(HTMLParser):
    """The text of each cell, note and caption of HTML, and the names of all tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in {"th", "td", "li", "figcaption", "h2"}:
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def said(self) -> list[str]:
        return [" ".join(text.split()) for text in self.texts]


@given(names)
def test_html(name: str) -> None:
    text = Text(html_fragment(table(name)))
    assert text.tags <= {"figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert text.said() == [shown(name)] * 6


@given(names)
def test_markdown(name: str) -> None:
    """As GitHub shows it."""
    page = MarkdownIt("js-default", {"html": True}).render(markdown(table(name)))
    text = Text(page)
    assert text.tags <= {"h2", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}, page
    assert text.said() == [shown(name)] * 6, page
    assert "$" not in markdown(table(name)).replace("\\$", "")


def plain(source: str) -> str:
    """What LaTeX prints of a text that it takes for text."""
    commands = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<",
                "textgreater": ">", "textbar": "|"}  # fmt: skip
    source = re.sub(r"\\(text\w+)\{\}", lambda match: commands[match[1]], source).replace(r"$\pm$", "±")
    return re.sub(r"^\{([*[])\}", r"\1", re.sub(r"\\([&%_#${}])", r"\1", source))


@given(names)
def test_latex(name: str) -> None:
    lines = latex(table(name)).splitlines()
    row = lines[lines.index(r"\midrule") + 1]
    assert not re.match(r"[\[*]", row)  # the command before would take it
    assert not re.search(r"(?<!\\)[%#_]|(?<!\\)\$(?!\\pm\$)(?<!\\pm\$)", row)
    first, second = re.split(r" & ", row.removesuffix(r" \\"))
    assert plain(first).replace("--", "–") == plain(second).replace("--", "–") == shown(name).replace("--", "–")


@given(names)
def test_a_spreadsheet_computes_nothing(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(comma_separated(table(name))))
    number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?%?", shown(name), re.IGNORECASE)
    assert number or not re.match(r"[=+\-@＝＋－＠\t\r\n]", row["row"])
    assert row["row"].removeprefix("'") == shown(name).removeprefix("'")
    assert (row["n"], row["difference"]) == ("1", "-1.5")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_stays_a_number(number: str) -> None:
    (row,) = csv.DictReader(io.StringIO(comma_separated(table(number))))
    assert row["row"] == number
    float(row["row"].removesuffix("%"))


@pytest.mark.parametrize("name", HOSTILE)
def test_every_name_that_was_tried(name: str) -> None:
    for check in (test_html, test_markdown, test_latex, test_a_spreadsheet_computes_nothing):
        check.hypothesis.inner_test(name)  # type: ignore[attr-defined]
