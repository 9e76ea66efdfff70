"""A table as Markdown, CSV, LaTeX or an HTML fragment.

Names come from recipes, checkpoints and other systems: in each format they are text, and neither markup nor a formula.
"""

import csv
import html
import io
import re

from mmr1.report.printed_tables import Table

# Spreadsheets take a cell that begins so for a formula, unless it is a number.
_FORMULA = re.compile(r"[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")

_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {character: f"\\{character}" for character in "\\`*_|~$"}
# At the beginning of a line: headings, lists, rules, underlines of headings.
_BLOCK = re.compile(r"([#+=-]+|\d+(?=[.)]))(?=[.)]?(\s|$))")

_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
          "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}  # fmt: skip


def markdown(table: Table) -> str:
    """GitHub's Markdown: title, table, notes as a list."""
    lines = [
        f"## {_markdown_text(table.title)}",
        "",
        _row(table.header),
        f"| --- |{' ---: |' * (len(table.header) - 1)}",
    ]
    lines += [_row(row) for row in table.rows]
    lines += ["", *(f"- {_markdown_text(note)}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def comma_separated(table: Table) -> str:
    """One line per number, with its interval and the paper's. What a spreadsheet would compute begins with `'`."""
    buffer = io.StringIO()
    if table.records:
        writer = csv.DictWriter(buffer, table.records[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _csv_cell(value) for name, value in record.items()} for record in table.records)
    return buffer.getvalue()


def latex(table: Table) -> str:
    """A `table` environment for the booktabs package."""
    rows = [" & ".join(map(_latex_text, row)) + r" \\" for row in (table.header, *table.rows)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex_text(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {_latex_text(note)}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def html_fragment(table: Table) -> str:
    """A `figure` with a table and its notes, without styles: the report brings them."""

    def cells(row: list[str], tag: str) -> str:
        return "".join(f"<{tag}>{_html_text(cell)}</{tag}>" for cell in row)

    body = "\n".join(f"<tr><th>{_html_text(row[0])}</th>{cells(row[1:], 'td')}</tr>" for row in table.rows)
    notes = "\n".join(f"<li>{_html_text(note)}</li>" for note in table.notes)
    return (
        f'<figure class="table">\n<figcaption>{_html_text(table.title)}</figcaption>\n<table>\n'
        f"<thead><tr>{cells(table.header, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        f"<ul>\n{notes}\n</ul>\n</figure>\n"
    )


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(_markdown_text, cells))} |"


def _one_line(text: str) -> str:
    """A text without line ends and other control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _csv_cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = _one_line(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _markdown_text(text: str) -> str:
    text = _one_line(text)
    start = _BLOCK.match(text)
    text = "".join(_MARKDOWN.get(character, character) for character in text)
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)  # a link, or where one leads
    if start is None:
        return text
    return f"{text[: start.end()]}\\{text[start.end() :]}" if text[0].isdigit() else f"\\{text}"


def _latex_text(text: str) -> str:
    """A text between commands; where they take a star or brackets, braces keep these from them."""
    text = "".join(_LATEX.get(character, character) for character in _one_line(text))
    return f"{{{text[0]}}}{text[1:]}" if text.startswith(("[", "*")) else text


def _html_text(text: str) -> str:
    return html.escape(_one_line(text))
