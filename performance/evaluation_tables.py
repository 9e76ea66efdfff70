"""Measure the scorers against published verdicts on real model outputs, and write the tables of docs/evaluation.md.

    python performance/evaluation_tables.py --data ../shared [--write]

`--data` has `predictions/<benchmark>/*.jsonl.gz` (responses, published extraction and verdict) and `benchmarks/`
(golds). Without `--write` the tables are only printed. Disagreements go to docs/evaluation-disagreements.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from mmr1.benchmarks.base import Decision, Response
from mmr1.benchmarks.base import benchmark as benchmark_of
from mmr1.benchmarks.load import load_problems, load_rows
from mmr1.benchmarks.rules import mathvision_rules
from mmr1.benchmarks.score import Item, judge_items
from mmr1.benchmarks.suite import mathvista
from mmr1.data.problems import Problem
from mmr1.rewards.verifier.verify import Verifier

ROOT = Path(__file__).parent.parent
DOCUMENT, DISAGREEMENTS = ROOT / "docs" / "evaluation.md", ROOT / "docs" / "evaluation-disagreements.md"

VISTA_REASON = """# Where our official verdicts differ from the published ones

Written by `performance/evaluation_tables.py`. MathVision has none.

## MathVista, from the published extraction

All of one kind: the published verdict was made with `int(text)`, which refuses `5.0`; the procedure has been
`int(float(text))` since, which takes 5.0 and truncates 5.5. Under `official_int` none of these differs. The second
table has what differs there: the verdicts of a model that were published after the change.

| model | item | gold | extraction | published | ours |
| --- | --- | --- | --- | --- | --- |"""
VISTA_INT_REASON = """
| model | item | gold | extraction | published | ours, `official_int` |
| --- | --- | --- | --- | --- | --- |"""
LOGIC_REASON = """
## LogicVista, from the raw text

The published letters are a language model's, which infers them from the meaning, and the questions are at hand for a
quarter of the items only. Ours are read by rules: where the text names no letter, or names another one first, the two
differ. From the published letters no item differs.

| model | item | gold | published letters | ours | reason |
| --- | --- | --- | --- | --- | --- |"""


VISION_REASON = """
## MathVision, `reader` against the published verdicts

The published procedure compares texts. Where it refuses an answer that is right it is for a unit, for a text behind the
letter, for a choice's text or value in place of its letter, or for LaTeX around a letter.

| model | item | gold | published | `reader` | our rule | the end of what we read |
| --- | --- | --- | --- | --- | --- | --- |"""
JUDGED = ("logicvista_vlm.jsonl.gz", "mathvista_qwen2.5-vl-7b.jsonl.gz")  # by a language model's extraction
JUDGED_REASON = """
## Judged responses, under `reader`

| benchmark | item | gold | verdict | our rule | the end of what we read | their reason |
| --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True)
class Outputs:
    """One model's published responses to a benchmark, with the published extraction and verdict of each."""

    benchmark: str
    model: str
    problems: list[Problem]
    texts: list[str]
    extractions: list[str]
    published: list[bool]

    def score(self, verifier: Verifier, *, given: bool = False, without: frozenset[str] = frozenset()) -> list[Item]:
        """Our verdicts, from the raw text or, if `given`, from the published extraction."""
        pairs = [
            (problem, Response(text, extraction if given else None, without=without))
            for problem, text, extraction in zip(self.problems, self.texts, self.extractions, strict=True)
        ]
        return judge_items(benchmark_of(self.benchmark), pairs, verifier)

    def agreement(self, verdicts: Sequence[bool]) -> float:
        """The share of items on which we and the published verdict agree, in percent."""
        return percent([ours == theirs for ours, theirs in zip(verdicts, self.published, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    args = parser.parse_args()
    if not (args.data / "predictions").is_dir():
        print(f"{args.data}: no published outputs to compare with, see --help")
        return
    with Verifier(workers=2, seconds=10.0) as verifier:
        vision = [read_mathvision(path) for path in files(args.data, "mathvision")]
        vista = [read_mathvista(path) for path in files(args.data, "mathvista")]
        logic = [read_logicvista(path, args.data) for path in files(args.data, "logicvista")]
        tables = {
            "mathvision": mathvision_table(vision, verifier),
            "mathvista": mathvista_table(vista, verifier),
            "logicvista": logicvista_table(logic, verifier),
            "steps-mathvision": steps_table(vision, verifier),
        }
        hard = read_judged(args.data / "predictions/judged/judged.jsonl.gz", verifier)
        judged = [one for name in JUDGED for one in read_judged(args.data / "predictions/judged" / name, verifier)]
        tables |= {"judged": judged_table(hard), "judged-models": judged_models_table(judged)}
        differing = [(model, *one) for model in vision for one in differences(model, verifier)]
        tables["mathvision-reader"] = vision_reader_table(differing)
        listed = disagreements(vista, logic) + vision_disagreements(differing) + judged_disagreements([*hard, *judged])
        print(f"time-outs of math-verify: {verifier.timeouts}", file=sys.stderr)
    for name, table in tables.items():
        print(f"### {name}\n\n{table}\n")
    if args.write:
        write(DOCUMENT, tables)
        DISAGREEMENTS.write_text(listed)


def files(data: Path, benchmark: str) -> list[Path]:
    return sorted((data / "predictions" / benchmark).glob("*.jsonl.gz"))


def read_mathvision(path: Path) -> Outputs:
    rows, problems = load_rows(path), load_problems(benchmark_of("mathvision"), path)
    return outputs("mathvision", path, problems, rows, "response", "official_extraction")


def read_mathvista(path: Path) -> Outputs:
    rows, problems = load_rows(path), load_problems(benchmark_of("mathvista"), path)
    return outputs("mathvista", path, problems, rows, "response", "official_extraction")


def read_logicvista(path: Path, data: Path) -> Outputs:
    """The golds stand with the predictions; questions (and so choices) are there for a part of them only."""
    rows, benchmark = load_rows(path), benchmark_of("logicvista")
    known = {problem.id: problem for problem in load_problems(benchmark, data / "benchmarks/logicvista/dataset.json")}
    problems = []
    for number, row in enumerate(rows):
        gold = row["gold"].strip("[]").replace("'", "").upper()
        bare = benchmark.to_problem({"id": row["id"], "question": "", "answer": gold, "skill": []}, number)
        problems.append(known.get(row["id"], bare))
    return outputs("logicvista", path, problems, rows, "raw", "extracted")


def outputs(
    benchmark: str, path: Path, problems: list[Problem], rows: list[dict[str, Any]], text: str, extraction: str
) -> Outputs:
    model = path.name.removesuffix(".jsonl.gz")
    columns = ([row[name] for row in rows] for name in (text, extraction, "official_correct"))
    return Outputs(benchmark, model, problems, *columns)


def mathvision_table(models: Sequence[Outputs], verifier: Verifier) -> str:
    rows = []
    for model in models:
        items = model.score(verifier)
        verdicts, reader = correct(items, "official"), correct(items, "reader")
        cells = [percent(model.published), percent(verdicts), model.agreement(verdicts)]
        rows.append([model.model, *(number(one, 2) for one in (*cells, percent(reader), model.agreement(reader)))])
    return table(["model", "published", "`official`", "agree, %", "`reader`", "agree, %"], rows)


def differences(model: Outputs, verifier: Verifier) -> list[tuple[Problem, bool, Decision]]:
    """The items of which `reader` thinks otherwise than the published verdict: the problem, that verdict, ours."""
    rows = zip(model.problems, model.published, model.score(verifier), strict=True)
    return [
        (problem, theirs, item.decisions["reader"])
        for problem, theirs, item in rows
        if item.decisions["reader"].correct != theirs
    ]


def vision_reader_table(differing: Sequence[tuple[Outputs, Problem, bool, Decision]]) -> str:
    """What made `reader` think otherwise: how many answers it takes by which rule, and how many it refuses."""
    rows = []
    for rule in sorted({decision.rule for *_, decision in differing}):
        some = [theirs for _, _, theirs, decision in differing if decision.rule == rule]
        rows.append([rule, str(len(some) - sum(some)), str(sum(some))])
    total = [theirs for _, _, theirs, _ in differing]
    rows.append(["all", str(len(total) - sum(total)), str(sum(total))])
    return table(["`reader`'s rule", "right, published as wrong", "wrong, published as right"], rows)


def vision_disagreements(differing: Sequence[tuple[Outputs, Problem, bool, Decision]]) -> str:
    """Every item of MathVision on which `reader` differs from the published verdict."""
    lines = [VISION_REASON]
    for model, problem, theirs, decision in differing:
        read = " ".join((decision.extracted or "none").split())[-60:].replace("|", "\\|")
        gold = problem.answer.replace("|", "\\|")
        cells = (model.model, problem.id, gold, *("right" if one else "wrong" for one in (theirs, decision.correct)))
        lines.append(f"| {' | '.join(cells)} | {decision.rule} | {read} |")
    return "\n".join(lines) + "\n"


def mathvista_table(models: Sequence[Outputs], verifier: Verifier) -> str:
    rows = []
    for model in models:
        given, raw = model.score(verifier, given=True), model.score(verifier)
        now, first = correct(given, "official"), correct(given, "official_int")
        rows.append([
            model.model, number(percent(model.published)), number(percent(now)), number(model.agreement(now)),
            number(percent(first)), number(model.agreement(first)), number(percent(correct(raw, "official"))),
            number(percent(correct(raw, "reader"))), number(model.agreement(correct(raw, "reader"))),
        ])  # fmt: skip
    header = ["model", "published", "`official`", "agree, %", "`official_int`", "agree, %", "`official`, raw text",
              "`reader`, raw text", "agree, %"]  # fmt: skip
    return table(header, rows)


def logicvista_table(models: Sequence[Outputs], verifier: Verifier) -> str:
    rows = []
    for model in models:
        given = correct(model.score(verifier, given=True), "official")
        raw = model.score(verifier)
        rows.append([
            model.model, number(percent(model.published)), number(model.agreement(given)),
            number(percent(correct(raw, "official"))), number(model.agreement(correct(raw, "official"))),
            number(percent(correct(raw, "reader"))), number(model.agreement(correct(raw, "reader"))),
        ])  # fmt: skip
    header = ["model", "published", "agree from published letters, %", "official, raw text", "agree, %",
              "reader, raw text", "agree, %"]  # fmt: skip
    return table(header, rows)


def steps_table(models: Sequence[Outputs], verifier: Verifier) -> str:
    """MathVision's own score with one step of its published cleaning left out, each alone and all at once."""
    steps = mathvision_rules.STEPS
    variants = {"all steps": frozenset[str](), **{f"without {name}": frozenset({name}) for name in steps}}
    rows = []
    for name, without in {**variants, "without any": frozenset(steps)}.items():
        verdicts = [correct(model.score(verifier, without=without), "official") for model in models]
        agreed = [model.agreement(verdict) for model, verdict in zip(models, verdicts, strict=True)]
        rows.append([name, number(mean(map(percent, verdicts)), 2), number(mean(agreed), 2)])
    return table(["mean over models", "`official`", "agree, %"], rows)


# --- Outputs with verdicts of a careful reader, or of a language model's extraction: predictions/judged/


@dataclass(frozen=True)
class Judged:
    """A response with a verdict on it, and what our rules make of it."""

    row: dict[str, Any]
    item: Item

    def differs(self, rule: str = "reader") -> bool:
        return self.item.decisions[rule].correct != self.row["verdict"]


def read_judged(path: Path, verifier: Verifier) -> list[Judged]:
    """The rows of a file of judged responses; a row has the benchmark's own form in `problem`, or its fields beside."""
    rows, judged = load_rows(path), []
    for name in dict.fromkeys(row["benchmark"] for row in rows):
        some = [row for row in rows if row["benchmark"] == name]
        benchmark = benchmark_of(name)
        pairs = [
            (benchmark.to_problem(_own_row(row), number), Response(row["response"], rollout=number))
            for number, row in enumerate(some)
        ]
        judged += [Judged(row, item) for row, item in zip(some, judge_items(benchmark, pairs, verifier), strict=True)]
    return judged


def _own_row(row: dict[str, Any]) -> dict[str, Any]:
    own = row.get("problem") or {**row, "pid": row["id"], "answer": row["gold"], "skill": []}
    defaults = {"problem_version": "Text Lite", "metadata": {}, "sample_index": row["id"], "answer": row["gold"]}
    return {**defaults, "label": [row["gold"]], **own}


def judged_table(items: Sequence[Judged]) -> str:
    """Agreement of `reader` by kind: wrongly refused and wrongly passed, of the items that are not contestable."""
    rows = []
    for group in [*sorted({one.row["group"] for one in items}), "all"]:
        some = [one for one in items if group in (one.row["group"], "all") and not one.row["contestable"]]
        contested = sum(group in (one.row["group"], "all") and one.row["contestable"] for one in items)
        refused = sum(one.differs() and one.row["verdict"] for one in some)
        passed = sum(one.differs() and not one.row["verdict"] for one in some)
        agree = 100 * (1 - (refused + passed) / len(some)) if some else 100.0
        rows.append([group, str(len(some)), str(refused), str(passed), number(agree), str(contested)])
    header = ["kind", "items", "right, refused", "wrong, passed", "agree, %", "contestable beside them"]
    return table(header, rows)


def judged_models_table(items: Sequence[Judged]) -> str:
    rows = []
    for name, model in dict.fromkeys((one.row["benchmark"], one.row["model"]) for one in items):
        some = [one for one in items if (one.row["benchmark"], one.row["model"]) == (name, model)]
        cells = [number(percent([not one.differs(rule) for one in some])) for rule in ("official", "reader")]
        refused = sum(one.differs() and one.row["verdict"] for one in some)
        rows.append(
            [name, model, str(len(some)), *cells, str(refused), str(sum(one.differs() for one in some) - refused)]
        )
    header = [
        "benchmark",
        "model",
        "items",
        "`official`, agree, %",
        "`reader`, agree, %",
        "right, refused",
        "wrong, passed",
    ]
    return table(header, rows)


def judged_disagreements(items: Sequence[Judged]) -> str:
    """Every judged item on which `reader` differs, and why."""
    lines = [JUDGED_REASON]
    for one in items:
        if one.differs():
            decision, row = one.item.decisions["reader"], one.row
            read = " ".join((decision.extracted or "none").split())[-60:].replace("|", "\\|")
            why = row.get("reason") or f"theirs read {row.get('extraction')}"
            contestable = ", contestable" if row.get("contestable") else ""
            gold = row["gold"].replace("|", "\\|")
            lines.append(
                f"| {row['benchmark']} | {row['id']} | {gold} | {'right' if row['verdict'] else 'wrong'}{contestable} "
                f"| {decision.rule} | {read} | {why} |"
            )
    return "\n".join(lines) + "\n"


def disagreements(vista: Sequence[Outputs], logic: Sequence[Outputs]) -> str:
    """Every item on which our official verdict differs from the published one, with the reason."""
    lines = [VISTA_REASON]
    lines += [*vista_disagreements(vista, truncate=True), VISTA_INT_REASON]
    lines += [*vista_disagreements(vista, truncate=False), LOGIC_REASON]
    for model in logic:
        rows = zip(model.problems, model.texts, model.extractions, model.published, strict=True)
        for problem, text, letters, theirs in rows:
            decision = benchmark_of("logicvista").official(problem, Response(text))
            if decision.correct != theirs:
                published = letters.strip("[]").replace("'", "")
                ours = (decision.extracted or "").replace("zzzzz", "none")
                reason = logic_reason(published, ours)
                lines.append(f"| {model.model} | {problem.id} | {problem.answer} | {published} | {ours} | {reason} |")
    return "\n".join(lines) + "\n"


def vista_disagreements(models: Sequence[Outputs], truncate: bool) -> Iterator[str]:
    """A line for each item on which `official` (without `truncate`: `official_int`) differs from what was published."""
    for model in models:
        for problem, text, theirs in zip(model.problems, model.extractions, model.published, strict=True):
            ours = mathvista.scored(problem, text, truncate=truncate).correct
            if ours != theirs:
                shown = text if len(text) < 20 else f"{text[:12]}… ({len(text)} characters)"
                yield f"| {model.model} | {problem.id} | {problem.answer} | {shown} | {theirs} | {ours} |"


def logic_reason(published: str, ours: str) -> str:
    """Why our letters are others than the published ones."""
    if ours == "none":
        return "the text names no option; the published letter was inferred"
    if "zzzzz" in published:
        return "the text names an option in passing, which the published extraction did not take"
    if "," in published:
        return "the published extraction took several letters, ours the one that is stated or marked"
    return "the text names another option or a number first"


def correct(items: Sequence[Item], rule: str) -> list[bool]:
    """A rule's verdicts."""
    return [item.decisions[rule].correct for item in items]


def percent(verdicts: Sequence[bool]) -> float:
    return 100 * sum(verdicts) / len(verdicts)


def number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(document: Path, tables: dict[str, str]) -> None:
    """Put each table into a page, between the markers of its name."""
    text = document.read_text()
    for name, made in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{made}\n{end}{rest.split(end)[1]}"
    document.write_text(text)


if __name__ == "__main__":
    main()
