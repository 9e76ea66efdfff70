"""Tables 2, 3 and 4 beside the paper's: our rows, the paper's, the difference, and whether it lies in our interval.

Numbers are accuracies in percent. Intervals are over problems (`mmr1.report.accuracy`). An average's interval combines
those of its columns as independent (MOVER, Zou and Donner 2008).
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from mmr1.benchmarks.settings import PAPER_BENCHMARKS as COLUMNS
from mmr1.plugins import load
from mmr1.plumbing.errors import UserError
from mmr1.report.accuracy import accuracy_of, read_scores
from mmr1.report.paper_rows import PAPER_ROWS
from mmr1.report.tables_index import Evaluation, Index

AVERAGE = "average"
SCORES = ("reader", "official", "judge")  # in the order of a row's lines; docs/evaluation.md says what each is
Name = Literal["2", "3", "4", "accuracy"]

# The same model under two names: where the tables disagree, a note says so.
SAME = (("2", "MMR1-3B"), ("3", "+VAS"))


@dataclass(frozen=True)
class Cell:
    """An accuracy in percent with its 95% interval, over `n` responses per seed; `spread` is over seeds, if several."""

    value: float
    low: float
    high: float
    n: int = 0
    seeds: int = 1
    spread: float | None = None


@dataclass(frozen=True)
class Ours:
    """One of our rows: `cells[score][column]`, and the paper's row that it stands beside, if any."""

    label: str
    cells: Mapping[str, Mapping[str, Cell]]
    checkpoints: tuple[str, ...]
    paper_row: str | None
    settings: Mapping[str, str | int | float]


@dataclass(frozen=True)
class Table:
    """A table as text: the header, the rows (each of the header's length), and notes to print under it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]
    records: list[dict[str, Any]]  # one per number, for CSV


Paper = Mapping[tuple[str, str], Mapping[str, Decimal | None]]


def read_paper(path: str | Path) -> Paper:
    """The paper's numbers by (table, row) and column. Raises UserError naming the line and the field."""
    try:
        lines = [line for line in Path(path).read_text().splitlines() if not line.startswith("#")]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    printed: dict[tuple[str, str], dict[str, Decimal | None]] = {}
    for number, row in enumerate(csv.DictReader(lines)):
        missing = [name for name in ("table", "row", *COLUMNS, AVERAGE) if row.get(name) is None]
        if missing:
            raise UserError(f"{path}: row {number}: {missing[0]}: expected a value, found none")
        values = {}
        for name in (*COLUMNS, AVERAGE):
            try:
                values[name] = None if row[name] == "NA" else Decimal(row[name])
            except ArithmeticError:
                raise UserError(f"{path}: row {number}: {name}: expected a number or NA, found {row[name]!r}") from None
        printed[row["table"], row["row"]] = values
    return printed


def our_rows(index: Index, table: Name) -> list[Ours]:
    """Our rows for a table, in the index's order, each with the paper's row that it stands beside, if any.

    A subject that is several rows of the paper has a row for each. One without a row by the maps may have it by its
    name: other checkpoints are named like rows of Table 2.
    """
    groups: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in index.evaluations:
        groups.setdefault((evaluation.model, evaluation.subject), []).append(evaluation)
    several = len({model for model, _ in groups}) > 1
    rows = []
    for (model, subject), evaluations in groups.items():
        chosen = index.paper_rows.get(f"{model}/{subject}")
        chosen = (chosen,) if isinstance(chosen, str) else chosen
        beside = chosen or PAPER_ROWS.get((table, model, subject), (subject,))
        named = f"{index.label(model)} {index.label(subject)}" if several else index.label(subject)
        first = evaluations[0]
        checkpoints = tuple(dict.fromkeys(one.checkpoint for one in evaluations if one.checkpoint))
        label, cells = first.label or named, _cells(evaluations, index.benchmarks)
        for paper_row in (None,) if table == "accuracy" else beside:
            rows.append(Ours(label, cells, checkpoints, paper_row, first.settings))
    return rows


def make(table: Name, index: Index, paper: Paper) -> Table:
    """Table "2", "3" or "4" beside the paper's, or "accuracy": our rows only, over whatever benchmarks there are.

    Where none of the paper's benchmarks was answered, our columns are our benchmarks, and the paper's is its average.
    """
    limited = _limited(index)
    if table != "accuracy" and not {one.benchmark for one in index.evaluations} & {*COLUMNS}:
        return _elsewhere(table, index, paper, limited)
    rows = our_rows(index, table)
    columns = list(COLUMNS) if table != "accuracy" else _benchmarks(index)
    if table != "accuracy":
        order = [name for of, name in paper if of == table]
        rows = [row for row in rows if row.paper_row in order]
        if table == "4":  # its parts vary one setting each: by these, not by our runs
            rows.sort(key=lambda row: order.index(row.paper_row or ""))
    shown_average = len(columns) > 1
    header = ["row", *(index.label(name) for name in columns), *(["Average"] if shown_average else [])]
    shown = [*columns, *([AVERAGE] if shown_average else [])]
    lines: list[list[str]] = []
    records: list[dict[str, Any]] = []
    for row in rows:
        printed = paper.get((table, row.paper_row or ""), {})
        lines += _lines(row, shown, printed, "" if table == "accuracy" else "ours")
        records += _records(table, row, shown, printed, index.settings)
    matched = {row.paper_row for row in rows}
    for (of, name), values in paper.items():
        if of == table and name not in matched:
            lines.append([f"{name} (paper)", *(_text(values[column]) for column in shown)])
            records += [_record(table, name, "paper", column, paper=values[column]) for column in shown]
    title = "Accuracy" if table == "accuracy" else f"Table {table}, beside the paper's"
    notes = [
        *limited,
        *_settings(index, rows, columns),
        *_judge(index),
        *([] if table == "accuracy" else paper_notes(table, paper)),
    ]
    for record in records:
        record["note"] = _paper_note(table, record, paper)
    return Table(title, header, lines, notes, records)


def _elsewhere(table: Name, index: Index, paper: Paper, limited: list[str]) -> Table:
    """The paper's rows with ours on benchmarks of our own: numbers stand beside each other, and are not compared."""
    mapped = [one for one in index.evaluations if f"{one.model}/{one.subject}" in index.paper_rows]
    columns, rows = _benchmarks(index), our_rows(index.model_copy(update={"evaluations": mapped}), table)
    lines: list[list[str]] = []
    records: list[dict[str, Any]] = []
    places = {name: number for number, (of, name) in enumerate(paper) if of == table}
    for row in sorted(rows, key=lambda row: places.get(row.paper_row or "", len(places))):
        name = row.paper_row or row.label
        printed = paper.get((table, name), {}).get(AVERAGE)
        cells = row.cells.get("reader", {})
        lines.append([f"{name}: {row.label}", *(_cell_text(cells.get(one)) for one in columns), _text(printed)])
        records += _records(table, row, columns, {}, index.settings)
        records.append(_record(table, row.label, "paper", AVERAGE, paper=printed, beside=name))
    matched = {row.paper_row for row in rows}
    for name in (name for name in places if name not in matched):
        printed = paper[table, name][AVERAGE]
        lines.append([f"{name} (paper)", *("–" for _ in columns), _text(printed)])
        records.append(_record(table, name, "paper", AVERAGE, paper=printed))
    header = ["row", *(index.label(name) for name in columns), "paper: average of its five"]
    notes = [
        *limited,
        "The paper's numbers are of other models on other benchmarks: compare differences between rows, not rows.",
        *_settings(index, rows, columns),
    ]
    return Table(f"Table {table}, on benchmarks of our own", header, lines, notes, records)


def paper_notes(table: str, paper: Paper) -> list[str]:
    """Where the paper's own numbers do not agree: averages that are not their row's mean, one model in two tables."""
    notes = [note for of, name in paper if of == table and (note := _average_note(name, paper[of, name]))]
    (one, first), (other, second) = SAME
    if table in (one, other) and (one, first) in paper and (other, second) in paper:
        for column in (*COLUMNS, AVERAGE):
            values_of = paper[one, first][column], paper[other, second][column]
            if values_of[0] != values_of[1]:
                label = "the average" if column == AVERAGE else load("benchmarks/suite", column).TITLE
                notes.append(
                    f"The paper gives {label} of {first} as {values_of[0]} in Table {one} and, as {second}, "
                    f"{values_of[1]} in Table {other}."
                )
    return notes


def _average_note(name: str, values: Mapping[str, Decimal | None]) -> str:
    """What is to be said of a printed average that is not its row's mean; nothing of others."""
    numbers = [number for column in COLUMNS if (number := values[column]) is not None]
    printed = values[AVERAGE]
    if printed is None or len(numbers) < len(COLUMNS):
        return ""
    rounded = (sum(numbers, Decimal(0)) / len(numbers)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return (
        ""
        if rounded == printed
        else f"The paper prints {printed} as the average of {name}; its row has the mean {rounded}."
    )


def _paper_note(table: str, record: Mapping[str, Any], paper: Paper) -> str:
    """The note on the paper's number that a record holds."""
    name = record["paper_row"] or record["row"]
    known = record["column"] == AVERAGE and record["paper"] != "" and (table, name) in paper
    return _average_note(name, paper[table, name]) if known else ""


def average(cells: Sequence[Cell]) -> Cell:
    """The mean of independent columns; its interval adds up their squared distances (MOVER)."""
    value = mean(cell.value for cell in cells)
    below = math.sqrt(sum((cell.value - cell.low) ** 2 for cell in cells)) / len(cells)
    above = math.sqrt(sum((cell.high - cell.value) ** 2 for cell in cells)) / len(cells)
    return Cell(value, value - below, value + above, sum(cell.n for cell in cells), min(cell.seeds for cell in cells))


def _cells(evaluations: Sequence[Evaluation], problems: Mapping[str, Path]) -> dict[str, dict[str, Cell]]:
    """Cells by score and column. A score counts only where each of the row's benchmarks has it."""
    by_benchmark: dict[str, list[Evaluation]] = {}
    seen: set[tuple[str, int | None]] = set()
    for one in evaluations:
        if (one.benchmark, one.seed) in seen:
            raise UserError(f"{one.scores}: {one.model} {one.subject} has {one.benchmark}, seed {one.seed}, twice")
        seen.add((one.benchmark, one.seed))
        by_benchmark.setdefault(one.benchmark, []).append(one)
    read = [read_scores(one)["scores"] for one in evaluations]
    return {
        kind: {name: _cell(several, kind, problems.get(name)) for name, several in by_benchmark.items()}
        for kind in SCORES
        if all(kind in scores for scores in read)
    }


def _cell(several: Sequence[Evaluation], kind: str, problems: Path | None) -> Cell:
    """The cell of a subject's seeds; without verdicts per item the mean of their intervals."""
    accuracy = accuracy_of(several, kind, problems)
    low, high = accuracy.low, accuracy.high
    if low is None or high is None:
        low, high = (mean(read_scores(one)["scores"][kind]["ci95"][side] for one in several) for side in (0, 1))
    spread = None if accuracy.spread is None else 100 * accuracy.spread
    return Cell(100 * accuracy.mean, 100 * low, 100 * high, accuracy.n, accuracy.seeds, spread)


def _limited(index: Index) -> list[str]:
    """A note where scores are of a run over the first problems only. Raises UserError for such scores beside others."""
    first = index.evaluations[0]
    expected = read_scores(first).get("limited")
    for one in index.evaluations:
        if (limited := read_scores(one).get("limited")) != expected:
            raise UserError(
                f"{one.scores}: limited: expected {expected or 'a whole run'}, as in {first.scores}, "
                f"found {limited or 'a whole run'}: they are no rows of one table"
            )
    return [f"Only the first problems were taken ({expected}): a first look, and no result."] if expected else []


def _judge(index: Index) -> list[str]:
    """What a judge did, where there is one, and whether it knows what any judge must."""
    counts = [scores["judge"] for one in index.evaluations if "judge" in (scores := read_scores(one))]
    if not counts:
        return []
    asked, silent = (sum(count[name] for count in counts) for name in ("asked", "no_verdict"))
    failed = sum(count["failed_controls"] > 0 for count in counts)
    notes = [
        f"judge: reader, and a language model's verdicts on {asked} answers that no rule could decide; "
        f"{silent} got none and are wrong."
    ]
    if failed:
        notes.append(f"The judge failed a control question in {failed} of {len(counts)} evaluations: do not trust it.")
    return notes


def _benchmarks(index: Index) -> list[str]:
    evaluated = dict.fromkeys(evaluation.benchmark for evaluation in index.evaluations)
    return [*(name for name in COLUMNS if name in evaluated), *(name for name in evaluated if name not in COLUMNS)]


def _with_average(cells: Mapping[str, Cell], shown: Sequence[str]) -> dict[str, Cell]:
    columns = [name for name in shown if name != AVERAGE]
    complete = AVERAGE in shown and all(name in cells for name in columns)
    return {**cells, **({AVERAGE: average([cells[name] for name in columns])} if complete else {})}


def _lines(row: Ours, shown: Sequence[str], printed: Mapping[str, Decimal | None], whose: str) -> list[list[str]]:
    """A row's lines: one per score, or one for several that agree everywhere; beside the paper's row the reader's."""
    lines = []
    cells_of = {score: _with_average(cells, shown) for score, cells in row.cells.items()}
    for score, cells in cells_of.items():
        alike = [other for other in cells_of if cells_of[other] == cells]
        if score == alike[0]:
            told = ", ".join(word for word in (whose, " = ".join(alike)) if word)
            lines.append([f"{row.label} ({told})", *(_cell_text(cells.get(name)) for name in shown)])
    if printed:
        reader = cells_of.get("reader", {})
        lines.append([f"{row.paper_row} (paper)", *(_text(printed[name]) for name in shown)])
        lines.append(["difference", *(_difference(reader.get(name), printed[name]) for name in shown)])
        lines.append(["paper's value in our interval", *(_inside(reader.get(name), printed[name]) for name in shown)])
    return lines


def _records(
    table: str,
    row: Ours,
    shown: Sequence[str],
    printed: Mapping[str, Decimal | None],
    usual: Mapping[str, str | int | float],
) -> list[dict[str, Any]]:
    how = {
        "checkpoint": ", ".join(row.checkpoints),
        "settings": "; ".join(f"{name}: {value}" for name, value in {**usual, **row.settings}.items()),
    }
    return [
        _record(table, row.label, score, name, _with_average(cells, shown).get(name), printed.get(name), row.paper_row)
        | how
        for score, cells in row.cells.items()
        for name in shown
    ]


def _record(
    table: str,
    label: str,
    score: str,
    column: str,
    ours: Cell | None = None,
    paper: Decimal | None = None,
    beside: str | None = None,
) -> dict[str, Any]:
    both = ours is not None and paper is not None
    return {
        "table": table,
        "row": label,
        "score": score,
        "column": column,
        "accuracy": "" if ours is None else f"{ours.value:.2f}",
        "low": "" if ours is None else f"{ours.low:.2f}",
        "high": "" if ours is None else f"{ours.high:.2f}",
        "n": "" if ours is None else ours.n,
        "seeds": "" if ours is None else ours.seeds,
        "seed_sd": "" if ours is None or ours.spread is None else f"{ours.spread:.2f}",
        "paper_row": beside or "",
        "paper": "" if paper is None else paper,
        "difference": _difference(ours, paper) if both else "",
        "paper_in_interval": _inside(ours, paper) if both else "",
        "checkpoint": "",
        "settings": "",
    }


def _settings(index: Index, rows: Sequence[Ours], columns: Sequence[str]) -> list[str]:
    notes = []
    counts = {
        name: {cells[name].n for row in rows for cells in row.cells.values() if name in cells} for name in columns
    }
    if any(counts.values()):
        sizes = (
            f"{index.label(name)} {'/'.join(map(str, sorted(sizes_of)))}"
            for name, sizes_of in counts.items()
            if sizes_of
        )
        notes.append(f"Responses per row and seed: {', '.join(sizes)}.")
    if any(cell.seeds > 1 for row in rows for cells in row.cells.values() for cell in cells.values()):
        notes.append("± is the standard deviation over seeds, which the intervals do not cover.")
    notes += [f"{name}: {value}" for name, value in index.settings.items()]
    for row in rows:
        told = [f"checkpoint {', '.join(row.checkpoints)}"] if row.checkpoints else []
        told += [f"{name} {value}" for name, value in row.settings.items()]
        notes += [f"{row.label}: {'; '.join(told)}"] if told else []
    if rows:
        notes.append("In brackets: 95% interval over problems.")
        notes.append(
            "reader: §6.1's steps as a careful reader carries them out; the paper's values stand beside it. "
            "official: each benchmark's published procedure."
        )
    return list(dict.fromkeys(notes))  # a checkpoint may be several rows


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    spread = f" ± {cell.spread:.1f}" if cell.spread is not None else ""
    return f"{cell.value:.1f}{spread} [{cell.low:.1f}, {cell.high:.1f}]"


def _text(value: Decimal | None) -> str:
    return "–" if value is None else str(value)


def _difference(cell: Cell | None, paper: Decimal | None) -> str:
    return "–" if cell is None or paper is None else f"{cell.value - float(paper):+.1f}"


def _inside(cell: Cell | None, paper: Decimal | None) -> str:
    return "–" if cell is None or paper is None else ("yes" if cell.low <= float(paper) <= cell.high else "no")
