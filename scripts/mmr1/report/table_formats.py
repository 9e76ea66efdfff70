"""A table as Markdown, CSV, LaTeX or an HTML fragment."""

import csv
import html
import io

from mmr1.report.printed_tables import Table

_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--"}  # fmt: skip


def markdown(table: Table) -> str:
    """GitHub's Markdown: title, table, notes as a list."""
    lines = [f"## {table.title}", "", _row(table.header), _row(["---", *(["---:"] * (len(table.header) - 1))])]
    lines += [_row(row) for row in table.rows]
    lines += ["", *(f"- {_markdown_text(note)}" for note in table.notes)]
    return "\n".join(lines).rstrip() + "\n"


def comma_separated(table: Table) -> str:
    """One line a number, with its interval and what the paper has."""
    buffer = io.StringIO()
    if table.records:
        writer = csv.DictWriter(buffer, table.records[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.records)
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
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    body = "\n".join(f"<tr><th>{html.escape(row[0])}</th>{cells(row[1:], 'td')}</tr>" for row in table.rows)
    notes = "\n".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return (
        f'<figure class="table">\n<figcaption>{html.escape(table.title)}</figcaption>\n<table>\n'
        f"<thead><tr>{cells(table.header, 'th')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
        f"<ul>\n{notes}\n</ul>\n</figure>\n"
    )


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(map(_markdown_text, cells))} |"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
