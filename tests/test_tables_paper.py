"""Tables 2 and 3 beside the paper's, from scores made by hand."""

import csv
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmr1.plumbing.errors import UserError
from mmr1.report import results
from mmr1.report.figures_index import FigureIndex
from mmr1.report.printed_figures import make as make_figure
from mmr1.report.printed_tables import AVERAGE, COLUMNS, Cell, average, make, paper_notes, read_paper
from mmr1.report.table_formats import comma_separated, html_fragment, latex, markdown
from mmr1.report.tables_index import Index
from synthetic_results import SyntheticResults

ROOT = Path(__file__).parent.parent
PAPER = read_paper(ROOT / "config" / "paper_tables.csv")


def scores(folder: Path, name: str, benchmark: str, accuracy: float, official: float | None = None) -> Path:
    """A scores.json with an interval of two points to each side."""

    def one(value: float) -> dict[str, Any]:
        return {"correct": round(value * 1000), "accuracy": value, "ci95": [value - 0.02, value + 0.02], "by": {}}

    both = {"official": one(accuracy if official is None else official), "reader": one(accuracy)}
    path = folder / f"{name}-{benchmark}.json"
    path.write_text(
        json.dumps(
            {"benchmark": benchmark, "n": 1000, "scores": both, "extraction_failures": 0, "truncated": 0},
        )
    )
    return path


def index(folder: Path, rows: dict[tuple[str, str, int | None], float], benchmarks: Any = COLUMNS) -> Index:
    """An index with one accuracy for all of a row's benchmarks."""
    evaluations = [
        {"model": model, "subject": subject, "seed": seed, "benchmark": benchmark, "checkpoint": f"{model}/{subject}",
         "scores": scores(folder, f"{model}-{subject}-{seed}", benchmark, accuracy)}
        for (model, subject, seed), accuracy in rows.items()
        for benchmark in benchmarks
    ]  # fmt: skip
    return Index.model_validate({"evaluations": evaluations, "settings": {"temperature": 0}})


def test_a_row_stands_beside_the_papers(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("3b", "vas", 1): 0.42}), PAPER)
    lines = {row[0]: row[1:] for row in table.rows}
    assert table.header == ["row", "MathVerse", "MathVista", "MathVision", "LogicVista", "ChartQA", "Average"]
    assert lines["vas (ours, reader = official)"][3] == "42.0 [40.0, 44.0]"
    assert lines["MMR1-3B (paper)"] == ["47.9", "67.1", "25.4", "42.0", "81.2", "52.7"]
    assert lines["difference"] == ["-5.9", "-25.1", "+16.6", "+0.0", "-39.2", "-10.7"]
    assert lines["paper's value in our interval"] == ["no", "no", "no", "yes", "no", "no"]
    assert lines["VL-Cogito-7B (paper)"][-1] == "58.2"
    assert "temperature: 0" in table.notes
    assert "vas: checkpoint 3b/vas" in table.notes


def test_table_3_has_the_cold_start_and_both_ways_of_training(tmp_path: Path) -> None:
    rows = {("3b", "base", None): 0.4, ("3b", "sft", None): 0.42, ("3b", "grpo", 1): 0.46, ("3b", "vas", 1): 0.48}
    labels = [row[0] for row in make("3", index(tmp_path, rows), PAPER).rows if row[0].endswith("(paper)")]
    assert labels == ["Qwen2.5-VL-3B (paper)", "+Cold-start (paper)", "+GRPO (paper)", "+VAS (paper)"]


def test_table_4_has_every_ablation_of_the_recipe_in_the_papers_order(tmp_path: Path) -> None:
    """One run stands beside the four rows that the paper's parts share."""
    recipe = yaml.safe_load((ROOT / "config/mmr1.yaml").read_text())
    runs = [run for run in recipe["runs"] if run not in ("grpo", "vas", "vas-1", "released-sign")]
    table = make("4", index(tmp_path, {("3b", run, 0): 0.5 for run in reversed(runs)}), PAPER)
    papers = [row[0].removesuffix(" (paper)") for row in table.rows if row[0].endswith("(paper)")]
    assert papers == [row for of, row in PAPER if of == "4"]
    ours = [row[0].partition(" (ours")[0] for row in table.rows if " (ours" in row[0]]
    assert len(ours) == len(papers)
    assert set(ours) == set(runs)
    assert [run for run, row in zip(ours, papers, strict=True) if row in ("mix=0.5", "update=28")] == ["ablation"] * 2
    assert sum(note.startswith("ablation: checkpoint") for note in table.notes) == 1


def test_another_checkpoint_stands_beside_the_row_it_is_named_after(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("7b", "VL-Cogito-7B", None): 0.6}), PAPER)
    assert [row[0] for row in table.rows[:2]] == [
        "VL-Cogito-7B (ours, reader = official)", "VL-Cogito-7B (paper)"
    ]  # fmt: skip


def test_a_checkpoint_from_elsewhere_says_what_differs_for_it(tmp_path: Path) -> None:
    made = index(tmp_path, {("3b", "vas", 1): 0.42, ("3b", "VL-Cogito-7B", None): 0.5}).model_dump()
    for one in made["evaluations"]:
        if one["subject"] == "VL-Cogito-7B":
            one |= {"label": "VL-Cogito-7B", "settings": {"engine": "endpoint"}, "checkpoint": "m at http://host/v1"}
    table = make("2", Index.model_validate(made), PAPER)
    assert "VL-Cogito-7B: checkpoint m at http://host/v1; engine endpoint" in table.notes
    records = list(csv.DictReader(io.StringIO(comma_separated(table))))
    [found] = [
        one for one in records if (one["row"], one["column"], one["score"]) == ("VL-Cogito-7B", AVERAGE, "reader")
    ]
    assert found["settings"] == "temperature: 0; engine: endpoint"
    assert found["checkpoint"] == "m at http://host/v1"
    assert found["note"] == "The paper prints 58.2 as the average of VL-Cogito-7B; its row has the mean 58.4."


def test_every_format_says_where_the_paper_disagrees_with_itself_and_how_answers_were_sampled(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("3b", "vas", 1): 0.42}), PAPER)
    for rendered in (markdown, comma_separated, latex, html_fragment):
        text = rendered(table)
        assert "58.2 as the average of VL-Cogito-7B; its row has the mean 58.4" in text
        assert "temperature: 0" in text
        assert "3b/vas" in text


def test_seeds_make_one_row_with_their_mean_and_spread(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("3b", "vas", 1): 0.40, ("3b", "vas", 2): 0.44}), PAPER)
    assert table.rows[0][1] == "42.0 ± 2.8 [40.0, 44.0]"
    assert any("standard deviation" in note for note in table.notes)


def test_official_scores_get_a_line_of_their_own_where_they_differ(tmp_path: Path) -> None:
    row = {"model": "tiny", "subject": "sft", "benchmark": "mathvista"}
    one = Index.model_validate({"evaluations": [{**row, "scores": scores(tmp_path, "a", "mathvista", 0.5, 0.6)}]})
    assert [line[0] for line in make("accuracy", one, PAPER).rows] == ["SFT (reader)", "SFT (official)"]


def test_what_a_judge_did_stands_under_the_table(tmp_path: Path) -> None:
    table_index = index(tmp_path, {("tiny", "base", None): 0.5, ("tiny", "sft", None): 0.6}, ["digits"])
    for one, failed in zip(table_index.evaluations, (0, 1), strict=True):
        content = json.loads(one.scores.read_text())
        content["scores"]["judge"] = content["scores"]["official"] | {"accuracy": 0.7}
        one.scores.write_text(json.dumps(content | {"judge": {"asked": 9, "no_verdict": 2, "failed_controls": failed}}))
    table = make("accuracy", table_index, PAPER)
    assert [row[0] for row in table.rows[:2]] == ["base (reader = official)", "base (judge)"]
    told = " ".join(table.notes)
    assert "verdicts on 18 answers that no rule could decide; 4 got none and are wrong" in told
    assert "failed a control question in 1 of 2 evaluations" in told


def test_digits_has_no_row_in_the_paper(tmp_path: Path) -> None:
    rows = {("tiny", "base", None): 0.01, ("tiny", "sft", None): 0.45, ("tiny", "vas", 1): 0.6}
    digits = index(tmp_path, rows, ["digits"])
    table = make("accuracy", digits, PAPER)
    assert table.header == ["row", "Digits"]
    assert [row[0] for row in table.rows] == [f"{name} (reader = official)" for name in ("base", "SFT", "vas")]
    assert not any("paper" in row[0] for row in table.rows)
    assert all(row[0].endswith("(paper)") for row in make("2", digits, PAPER).rows)


def test_a_row_without_one_benchmark_has_no_average(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("3b", "vas", 1): 0.5}, ["mathvista", "chartqa"]), PAPER)
    assert table.rows[0][1] == "–"
    assert table.rows[0][-1] == "–"


def test_the_papers_own_disagreements_are_said() -> None:
    told = " ".join(paper_notes("2", PAPER))
    assert "58.2 as the average of VL-Cogito-7B; its row has the mean 58.4" in told
    assert "LogicVista of MMR1-3B as 42.0 in Table 2 and, as +VAS, 43.1 in Table 3" in told
    assert "Vision-R1" not in told  # it has no average to check


def test_the_papers_numbers() -> None:
    assert PAPER["2", "MMR1-7B"][AVERAGE] == Decimal("58.4")
    assert PAPER["2", "Vision-R1-7B"]["mathvision"] is None
    assert {table for table, _ in PAPER} == {"2", "3", "4"}


def test_an_averages_interval_shrinks_with_independent_columns() -> None:
    cell = average([Cell(50, 46, 54), Cell(60, 56, 64)])
    assert cell.value == 55
    assert cell.low == pytest.approx(55 - 4 / 2**0.5)
    assert cell.high == pytest.approx(55 + 4 / 2**0.5)


def test_the_four_formats(tmp_path: Path) -> None:
    table = make("2", index(tmp_path, {("3b", "my_run & co", 1): 0.5, ("3b", "vas", 1): 0.42}), PAPER)
    assert "| 3B" not in markdown(table)
    assert markdown(table).count("\n| ") == len(table.rows) + 2
    assert r"\toprule" in latex(table)
    assert "&" not in latex(table).replace(" & ", "")
    assert html_fragment(table).count("<tr>") == len(table.rows) + 1
    records = list(csv.DictReader(io.StringIO(comma_separated(table))))
    [found] = [
        one for one in records if one["column"] == "logicvista" and one["score"] == "reader" and one["paper_row"]
    ]
    assert (found["accuracy"], found["paper"], found["paper_in_interval"]) == ("42.00", "42.0", "yes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "chartqa"}, "benchmark: expected mathvista, found chartqa"),
        ({"scores": None}, "expected"),
        ({"scores": {"official": {}, "paper": {}}}, "expected reader, found official, paper: .* score it again"),
    ],
)
def test_scores_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    made = index(tmp_path, {("3b", "vas", 1): 0.5}, ["mathvista"])
    path = made.evaluations[0].scores
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    with pytest.raises(UserError, match=message):
        make("2", made, PAPER)


def test_the_same_scores_twice_are_refused(tmp_path: Path) -> None:
    made = index(tmp_path, {("3b", "vas", 1): 0.5}, ["mathvista", "mathvista"])
    with pytest.raises(UserError, match="twice"):
        make("2", made, PAPER)


def test_the_program(tmp_path: Path) -> None:
    made = index(tmp_path, {("3b", "vas", 1): 0.5})
    (tmp_path / "index.json").write_text(made.model_dump_json())
    command = [sys.executable, ROOT / "scripts" / "make_tables.py", "--index", tmp_path / "index.json", "--table", "2"]
    subprocess.run([*command, "--markdown", tmp_path / "t.md", "--html", tmp_path / "t.html"], check=True)
    assert "MMR1-3B (paper)" in (tmp_path / "t.md").read_text()
    assert (tmp_path / "t.html").read_text().startswith("<figure")
    made.evaluations[0].scores.unlink()
    failed = subprocess.run([*command, "--markdown", tmp_path / "u.md"], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "u.md").exists()


def test_a_cell_is_the_reports(tmp_path: Path) -> None:
    """Of several seeds, too: one number and one interval, in the table as in the report."""
    folder = tmp_path / "digits"
    made = SyntheticResults(folder, seeds=(0, 1))
    (cell,) = (row[1:] for row in make("accuracy", tables_index(made), PAPER).rows if row[0].startswith("vas"))
    shown = results.accuracy(made.index, "tiny", "vas", "digits", "reader")
    assert shown is not None
    assert shown.seeds == 2
    spread = f"{100 * shown.spread:.1f}" if shown.spread is not None else ""
    assert cell == [f"{100 * shown.mean:.1f} ± {spread} [{100 * shown.low:.1f}, {100 * shown.high:.1f}]"]


def tables_index(made: SyntheticResults) -> Index:
    """The tables' index of what the report's is of."""
    kept = {"model", "subject", "seed", "benchmark", "scores", "items"}
    evaluations = [one.model_dump(include=kept) for one in made.index.evaluations]
    return Index.model_validate({"evaluations": evaluations, "benchmarks": made.index.benchmarks})


def test_on_benchmarks_of_our_own_the_papers_average_stands_beside(
    tmp_path: Path,
) -> None:
    rows = {("tiny", "vas", 0): 0.6, ("tiny", "uniform", 0): 0.5, ("tiny", "sft", None): 0.4}
    beside = {"tiny/vas": ["+VAS"], "tiny/uniform": ["+GRPO"], "tiny/sft": ["+Cold-start"]}
    made = index(tmp_path, rows, ["digits"]).model_copy(update={"paper_rows": beside})
    table = make("3", made, PAPER)
    assert table.header == ["row", "Digits", "paper: average of its five"]
    assert table.rows == [
        ["+Cold-start: SFT", "40.0 [38.0, 42.0]", "48.7"],
        ["+GRPO: uniform", "50.0 [48.0, 52.0]", "51.8"],
        ["+VAS: vas", "60.0 [58.0, 62.0]", "52.9"],
        ["Qwen2.5-VL-3B (paper)", "–", "48.7"],
    ]
    assert "compare differences between rows" in markdown(table)
    papers = {one["paper_row"] or one["row"]: one["paper"] for one in table.records if one["score"] == "paper"}
    assert papers["+VAS"] == Decimal("52.9")


def test_a_run_of_our_own_may_be_several_rows_of_table_4_and_one_that_the_paper_lacks(tmp_path: Path) -> None:
    rows = {("tiny", "vas", 0): 0.6, ("tiny", "update-5", 0): 0.5}
    beside = {"tiny/vas": ["mix=0.5", "update=20"], "tiny/update-5": ["update=5"]}
    table = make("4", index(tmp_path, rows, ["digits"]).model_copy(update={"paper_rows": beside}), PAPER)
    shown = {row[0]: row[1:] for row in table.rows}
    assert shown["mix=0.5: vas"] == ["60.0 [58.0, 62.0]", "51.7"]
    assert shown["update=20: vas"][1] == shown["update=5: update-5"][1] == "–"
    assert shown["mix=0.2 (paper)"] == ["–", "51.5"]


def test_figures_2_and_3_are_drawn_with_their_numbers(tmp_path: Path) -> None:
    trainings = SyntheticResults(tmp_path / "made", rounds=3, seeds=(0, 1)).index.trainings
    of_vas = [one for one in trainings if one.run == "vas"]
    for figure, chosen, quantities in (
        ("2", trainings, {"gradient_norm", "clip_fraction", "accuracy"}),
        ("3", of_vas, {"share", "moved"}),
    ):
        (tmp_path / "index.json").write_text(FigureIndex(trainings=tuple(chosen)).model_dump_json())
        outputs = {ending: tmp_path / f"{figure}.{ending}" for ending in ("svg", "png", "csv")}
        words = [word for ending, path in outputs.items() for word in (f"--{ending}", path)]
        program = [sys.executable, ROOT / "scripts/make_figures.py", "--index", tmp_path / "index.json"]
        done = subprocess.run([*program, "--figure", figure, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(outputs["csv"].open()))
        assert {one["quantity"] for one in rows} == quantities
        assert {one["seed"] for one in rows} == {"0", "1"}
        assert outputs["png"].read_bytes().startswith(b"\x89PNG")
        assert "<svg" in outputs["svg"].read_text()
    assert sum(float(one["value"]) for one in rows if one["quantity"] == "share") == pytest.approx(2 * 3)


def test_a_figure_of_scores_that_nobody_has_is_told(tmp_path: Path) -> None:
    trainings = SyntheticResults(tmp_path, rounds=1).index.trainings
    uniform = tuple(one for one in trainings if one.run == "grpo")
    with pytest.raises(UserError, match="figure 3: expected a run with scores"):
        make_figure("3", FigureIndex(trainings=uniform))
