"""Measure the scorers against published verdicts on real model outputs, and write the tables of docs/evaluation.md.

    python performance/evaluation_tables.py --data ../shared [--write]

`--data` has `predictions/<benchmark>/*.jsonl.gz` (responses, published extraction and verdict) and `benchmarks/`
(golds). Without `--write` the tables are only printed. Disagreements go to docs/evaluation-disagreements.md.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from mmr1.benchmarks.base import Response
from mmr1.benchmarks.base import benchmark as benchmark_of
from mmr1.benchmarks.load import load_problems, load_rows
from mmr1.benchmarks.rules import mathvision_rules
from mmr1.benchmarks.rules.clean import STEPS, clean
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
    with Verifier(workers=2, seconds=10.0) as verifier:
        vision = [read_mathvision(path) for path in files(args.data, "mathvision")]
        vista = [read_mathvista(path) for path in files(args.data, "mathvista")]
        logic = [read_logicvista(path, args.data) for path in files(args.data, "logicvista")]
        tables = {
            "mathvision": mathvision_table(vision, verifier),
            "mathvista": mathvista_table(vista, verifier),
            "logicvista": logicvista_table(logic, verifier),
            **cleaning_tables(args.data, vision, vista, logic, verifier),
        }
        listed = disagreements(vista, logic)
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
        verdicts = correct(model.score(verifier), "official")
        rows.append([model.model, number(percent(model.published)), number(percent(verdicts)),
                     number(model.agreement(verdicts), 2)])  # fmt: skip
    return table(["model", "published", "ours (both scores)", "items that agree, %"], rows)


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


def cleaning_tables(
    data: Path, vision: Sequence[Outputs], vista: Sequence[Outputs], logic: Sequence[Outputs], verifier: Verifier
) -> dict[str, str]:
    """Both scores, and how far each agrees with the published verdicts, with one step left out: a table a benchmark.

    The last one has no published verdicts: the share of golds that are right when dressed as models dress values.
    """
    raw = (("`official`", "official", False), ("`reader`", "reader", False))
    given = ("`reader`, published extraction", "reader", True)
    tables = {
        "cleaning-mathvision": agreement_table(vision, raw[:1], verifier),
        "cleaning-mathvista": agreement_table(vista, (*raw, given), verifier),
        "cleaning-logicvista": agreement_table(logic, raw, verifier),
    }
    bare = {
        "mathverse": [*golds(data, "mathverse/text_only_half.json"), *golds(data, "mathverse/testmini_sample.jsonl")],
        "chartqa": golds(data, "chartqa/test.jsonl"),
    }
    rows = [
        [name, *(number(percent(undressed(*some, without, nearest, verifier)), 2) for some in bare.items())]
        for name, (without, nearest) in VARIANTS.items()
    ]
    tables["cleaning-golds"] = table(["", "MathVerse golds, dressed", "ChartQA golds, dressed"], rows)
    return tables


def one_by_one(steps: Iterable[str]) -> dict[str, tuple[frozenset[str], bool]]:
    """What to leave out, each alone and all at once, and whether an answer may go to the most similar choice."""
    variants = {"all steps": (frozenset[str](), True)}
    variants |= {f"without {name}": (frozenset({name}), True) for name in steps}
    return variants | {"without any": (frozenset(steps), True)}


VISION_VARIANTS = one_by_one(mathvision_rules.STEPS)
VARIANTS = {
    **one_by_one(STEPS),
    "all steps, without nearest choice": (frozenset[str](), False),
    "without any, without nearest choice": (frozenset(STEPS), False),
}


def agreement_table(models: Sequence[Outputs], scores: Sequence[tuple[str, str, bool]], verifier: Verifier) -> str:
    """Means over models, for each (title, rule, whether from the published extraction) of `scores`."""
    rows = []
    variants = VISION_VARIANTS if models[0].benchmark == "mathvision" else VARIANTS
    for name, (without, nearest) in variants.items():
        scored = {
            given: [model.score(verifier, given=given, without=without) for model in models]
            for given in sorted({given for _, _, given in scores})
        }
        row = [name]
        for _, rule, given in scores:
            verdicts = [correct(items, rule, nearest) for items in scored[given]]
            agreed = [model.agreement(verdict) for model, verdict in zip(models, verdicts, strict=True)]
            row += [number(mean(map(percent, verdicts)), 2), number(mean(agreed), 2)]
        rows.append(row)
    header = ["mean over models", *(cell for title, _, _ in scores for cell in (title, "agree, %"))]
    return table(header, rows)


def golds(data: Path, name: str) -> list[Problem]:
    benchmark = benchmark_of(name.split("/")[0])
    return load_problems(benchmark, data / "benchmarks" / name)


# How models dress a value: one answer in seven each.
DRESSES: tuple[Callable[[str], str], ...] = (
    lambda value: value,
    lambda value: f"\\text{{{value}}}",
    lambda value: f"${value}$.",
    lambda value: f"{value}\\text{{ cm}}",
    lambda value: f"{value}^\\circ",
    lambda value: f"x = {value}",
    lambda value: f"{value}\\%",
)


def undressed(
    benchmark: str, problems: Sequence[Problem], without: frozenset[str], nearest: bool, verifier: Verifier
) -> list[bool]:
    """Whether each gold's bare value, dressed as models dress values, is right; letters and words only as text."""
    pairs = []
    for index, problem in enumerate(problems):
        value = clean(problem.answer)
        numeric = value[-1:].isdigit() and "," not in value and "=" not in value
        dress = DRESSES[index % len(DRESSES)] if numeric and not problem.choices else DRESSES[index % 3]
        pairs.append((problem, Response(f"\\boxed{{{dress(value)}}}", without=without)))
    return correct(judge_items(benchmark_of(benchmark), pairs, verifier), "reader", nearest)


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


def correct(items: Sequence[Item], rule: str, nearest: bool = True) -> list[bool]:
    """A rule's verdicts; without `nearest`, what went to the most similar choice is wrong."""
    decisions = [item.decisions[rule] for item in items]
    return [one.correct and (nearest or not one.rule.startswith("nearest")) for one in decisions]


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
