"""The scorers on what real models said and on real golds (read beside the repository, where they are there)."""

from pathlib import Path

import pytest

from benchmark_fixtures import BENCHMARKS
from mmr1.benchmarks.base import Response
from mmr1.benchmarks.load import load_problems, load_rows
from mmr1.benchmarks.rules.reader import gold_choices
from mmr1.benchmarks.score import judge_items
from mmr1.benchmarks.suite import mathvista
from mmr1.data.problems import Problem
from mmr1.rewards.verifier.verify import Verifier

SHARED = Path(__file__).parent.parent.parent / "shared"
PREDICTIONS, FILES = SHARED / "predictions", SHARED / "benchmarks"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here: no real data to compare with")

GOLDS = {
    "mathvision": [PREDICTIONS / "mathvision/Qwen-VL-Plus.jsonl.gz", FILES / "mathvision/testmini.jsonl"],
    "mathvista": [PREDICTIONS / "mathvista/claude.jsonl.gz", FILES / "mathvista_testmini_first500_no_images.json"],
    "mathverse": [FILES / "mathverse/text_only_half.json", FILES / "mathverse/testmini_sample.jsonl"],
    "logicvista": [FILES / "logicvista/dataset.json"],
    "chartqa": [FILES / "chartqa/test.jsonl"],
}
# Golds that the official procedure itself rejects, and why.
REJECTED = {
    # The gold is LaTeX that latex2sympy cannot read (a box, a degree sign, a symbol), and the answer is cleaned of it.
    "mathvision": {"2804", "2828", "2833", "2866", "2875", "2877"},
    # The choices are "(c)", "(a)", …: officially "(b)" is the letter B, whatever choice is called so.
    "mathvista": {"168", "849"},
    # It has neither question nor gold.
    "logicvista": {"v1_382"},
}
# MathVision 742: its right choice is the text "E", its choice E is another. The official procedure takes either.
LETTER_IS_A_TEXT = {("mathvision", "742", "E")}

# Published MathVista verdicts that int(float(x)) turns: the models answered "5.0" or "5.5" to an integer.
TURNED_BY_TRUNCATION = {
    "chatgpt_2shot_code": {"409", "429", "597", "799", "928", "959"},
    "gpt4_2shot_code": {"21", "289", "295", "472", "484", "508", "525", "720", "799", "904"},
    "idefics_9b_instruct": {"189", "729"},
    "mplugowl_7b_ft": {"525"},
}
# One model's verdicts were published after that change.
PUBLISHED_WITH_TRUNCATION = {"llavar"}


def models(benchmark: str) -> list[str]:
    return sorted(path.name.removesuffix(".jsonl.gz") for path in (PREDICTIONS / benchmark).glob("*.jsonl.gz"))


@pytest.mark.parametrize("model", models("mathvision"))
def test_mathvision_verdicts_are_the_published_ones(model: str) -> None:
    path = PREDICTIONS / "mathvision" / f"{model}.jsonl.gz"
    rows, benchmark = load_rows(path), BENCHMARKS["mathvision"]
    problems = load_problems(benchmark, path)
    found = [
        benchmark.official(problem, Response(row["response"])) for problem, row in zip(problems, rows, strict=True)
    ]
    assert len(rows) == 3040
    assert [one.correct for one in found] == [row["official_correct"] for row in rows]
    other = {
        row["id"] for one, row in zip(found, rows, strict=True) if (one.extracted or "") != row["official_extraction"]
    }
    assert other <= {"2394"}  # published with an extraction that is not in its response


@pytest.mark.parametrize("model", models("mathvista"))
def test_mathvista_verdicts_are_the_published_ones(model: str) -> None:
    path = PREDICTIONS / "mathvista" / f"{model}.jsonl.gz"
    rows, problems = load_rows(path), load_problems(BENCHMARKS["mathvista"], path)

    def turned(truncate: bool) -> set[str]:
        return {
            problem.id
            for problem, row in zip(problems, rows, strict=True)
            if mathvista.scored(problem, row["official_extraction"], truncate=truncate).correct
            != row["official_correct"]
        }

    assert len(rows) == 1000
    first = BENCHMARKS["mathvista"].more["official_int"]
    agreed = [
        first(problem, Response(row["response"], given=row["official_extraction"])).correct == row["official_correct"]
        for problem, row in zip(problems, rows, strict=True)
    ]
    assert sum(agreed) >= 995
    assert turned(truncate=True) == TURNED_BY_TRUNCATION.get(model, set())
    assert turned(truncate=model in PUBLISHED_WITH_TRUNCATION) == set()  # the revision that made them: all 1000


@pytest.mark.parametrize("model", models("logicvista"))
def test_logicvista_verdicts_are_the_published_ones_from_the_published_letters(model: str) -> None:
    benchmark = BENCHMARKS["logicvista"]
    rows = load_rows(PREDICTIONS / "logicvista" / f"{model}.jsonl.gz")
    assert len(rows) == 448
    for row in rows:
        gold = row["gold"].strip("[]").replace("'", "").upper()
        problem = benchmark.to_problem({"id": row["id"], "question": "", "answer": gold, "skill": []}, 0)
        assert (
            benchmark.official(problem, Response(row["raw"], given=row["extracted"])).correct == row["official_correct"]
        )


def test_every_disagreement_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "performance"))
    import evaluation_tables as tables

    vista = [tables.read_mathvista(path) for path in tables.files(SHARED, "mathvista")]
    logic = [tables.read_logicvista(path, SHARED) for path in tables.files(SHARED, "logicvista")]
    assert tables.DISAGREEMENTS.read_text().startswith(tables.disagreements(vista, logic)), (
        "run `python performance/evaluation_tables.py --write`"
    )


def test_the_reader_agrees_with_a_careful_one(monkeypatch: pytest.MonkeyPatch, verifier: Verifier) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "performance"))
    import evaluation_tables as tables

    hard = tables.read_judged(PREDICTIONS / "judged/judged.jsonl.gz", verifier)
    certain = [one for one in hard if not one.row["contestable"]]
    assert sum(one.differs() for one in certain) <= 0.05 * len(certain)
    for name in tables.JUDGED:
        items = tables.read_judged(PREDICTIONS / "judged" / name, verifier)
        assert sum(one.differs() for one in items) <= 0.02 * len(items), name


def boxed(problems: list[Problem], texts: list[str]) -> list[tuple[Problem, Response]]:
    return [(problem, Response(f"So \\boxed{{{text}}}")) for problem, text in zip(problems, texts, strict=True)]


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    with Verifier(workers=2, seconds=10) as running:
        yield running


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in GOLDS.items() for path in paths])
def test_a_gold_in_a_box_is_right(verifier: Verifier, name: str, path: Path) -> None:
    benchmark = BENCHMARKS[name]
    problems = load_problems(benchmark, path)
    items = judge_items(benchmark, boxed(problems, [problem.answer for problem in problems]), verifier)
    ids = {problem.id for problem in problems}
    for rule in items[0].decisions:
        wrong = {item.problem.id for item in items if not item.decisions[rule].correct}
        rejected = REJECTED.get(name, set()) if rule != "reader" or name == "logicvista" else set()
        assert wrong == rejected & ids, rule


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in GOLDS.items() for path in paths])
def test_a_wrong_letter_is_never_right(verifier: Verifier, name: str, path: Path) -> None:
    benchmark = BENCHMARKS[name]
    asked = []
    for problem in load_problems(benchmark, path):
        if not problem.choices:
            continue
        golds = gold_choices(problem)
        assert golds, problem.id
        right = {index for index, choice in enumerate(problem.choices) if choice == problem.choices[golds[0]]}
        asked += [(problem, "ABCDEFGHIJ"[index]) for index in range(len(problem.choices)) if index not in right]
    if name == "chartqa":
        assert not asked
        return
    items = judge_items(benchmark, boxed([one for one, _ in asked], [letter for _, letter in asked]), verifier)
    passed = {
        (name, item.problem.id, letter)
        for item, (_, letter) in zip(items, asked, strict=True)
        if any(decision.correct for decision in item.decisions.values())
    }
    assert passed <= LETTER_IS_A_TEXT


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in GOLDS.items() for path in paths])
@pytest.mark.parametrize("text", ["", "None", "?"])
def test_nothing_is_free(verifier: Verifier, name: str, path: Path, text: str) -> None:
    """Golds "A", "E", "No" and "False" gave points to a missing answer in the released reward."""
    benchmark = BENCHMARKS[name]
    problems = [problem for problem in load_problems(benchmark, path) if not problem.choices]
    if problems:
        items = judge_items(benchmark, boxed(problems, [text] * len(problems)), verifier)
        assert not [item.problem.id for item in items if item.decisions["reader"].correct]
