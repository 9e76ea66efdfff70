"""Every benchmark's own file, odd items included, from its rows to the report; the real ones where they are here."""

from pathlib import Path
from typing import Any

import pytest

from benchmark_fixtures import CHARTS, Call, json_lines, png
from mmr1.benchmarks.load import load_rows
from mmr1.data import contracts
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.plumbing.files import read_json
from mmr1.report.index import Evaluation, Index
from mmr1.report.results import accuracy
from mmr1.report.samples import samples
from test_benchmarks_real import FILES

REAL = {
    "mathvision": ("mathvision/testmini.jsonl", ["4"]),
    "mathvista": ("mathvista_testmini_first500_no_images.json", ["1"]),
    "mathverse": ("mathverse/testmini_sample.jsonl", []),
    "mathverse, without images": ("mathverse/text_only_half.json", []),
    "logicvista": ("logicvista/dataset.json", ["v1_382", "v1_220", "v1_1", "v1_20"]),
    "chartqa": ("chartqa/test.jsonl", []),
}
# What the real files have in a few rows each, in every way in which a table may write it.
LOGIC = {"imagename": "v1_1.png", "question": "Which? (A) a (B) b", "answer": "A", "skill": ["spatial"]}
VERSE = {"problem_index": "1", "problem_version": "Text Lite", "question_type": "multi-choice", "metadata": {}}
VISTA = {"unit": None, "precision": None, "question_type": "free_form", "answer_type": "integer", "metadata": {}}
ODD: dict[str, list[dict[str, Any]]] = {
    "logicvista": [
        LOGIC,
        LOGIC | {"imagename": "v1_382.png", "question": "", "answer": ""},
        LOGIC | {"imagename": "v1_383.png", "question": None, "answer": None},
        LOGIC | {"imagename": "v1_384.png", "question": float("nan"), "answer": float("nan")},
        LOGIC | {"imagename": "v1_2.png", "answer": "A, B"},
    ],
    "mathverse": [
        VERSE | {"sample_index": "1", "question": "Which?\nChoices:\nA:1\nB:2", "answer": "A"},
        VERSE | {"sample_index": "2", "question": "", "answer": "A", "problem_version": "Vision Only"},
        VERSE | {"sample_index": "3", "question": None, "answer": "A", "problem_version": "Vision Only"},
    ],
    "mathvista": [
        VISTA | {"pid": "0", "question": "How many?", "choices": None, "answer": "5"},
        VISTA | {"pid": "1", "question": "How many?", "choices": [], "answer": "5"},
        VISTA | {"pid": "2", "question": "How many?", "choices": float("nan"), "answer": "5"},
    ],
    "mathvision": [{"id": 0, "question": "<image1>", "options": [], "answer": "5", "level": 1, "subject": "counting"}],
    "chartqa": [row | {"id": number} for number, row in enumerate(CHARTS)],
}


def with_images(rows: list[dict[str, Any]], images: Path, folder: Path) -> list[dict[str, Any]]:
    """The rows, with a picture of ours where theirs is not here."""
    (folder / "ours.png").write_bytes(png(28))
    placed = []
    for row in rows:
        name = row.get("image") or f"images/{row.get('imagename', '')}"
        path = images / name
        placed.append({**row, "image": str(path if path.is_file() else folder / "ours.png")})
    return placed


def sampled(call: Call, model: Path, problems: list[Problem], folder: Path) -> list[dict[str, Any]]:
    """What a model of random weights answers to some problems: the prompts are the real ones."""
    write_problems(folder / "few.parquet", problems)
    words = ["--n", "1", "--temperature", "0", "--max-tokens", "2", "--seed", "0"]
    out = folder / "few_answers.parquet"
    call("generate", "--model", model, "--problems", folder / "few.parquet", "--out", out, *words,
         "--purpose", "eval", "--engine", "transformers")  # fmt: skip
    return contracts.read(out, contracts.ROLLOUTS).to_pylist()


def check_whole(
    call: Call, model: Path, benchmark: str, rows: list[dict[str, Any]], asked: list[str], folder: Path
) -> None:
    """Prepare, sample, score and show: golds in a box are what `vas` answers, nothing is what `sft` does."""
    path = folder / "problems.parquet"
    own = json_lines(folder / "rows.jsonl", rows)
    call("prepare_benchmark", "--benchmark", benchmark, "--local", own, "--out", path)
    problems = read_problems(path, allow_empty_answer=True)
    assert len(problems) == len(rows)
    few = [one for one in problems if one.id in asked or not one.answer] or problems[:2]
    texts = {
        "sft": {row["problem_id"]: row["text"] for row in sampled(call, model, few, folder)},
        "vas": {one.id: f"So \\boxed{{{one.answer}}}" for one in problems},
    }
    evaluations = []
    for subject, said in texts.items():
        place = folder / subject
        answers = [
            {"problem_id": one.id, "rollout": 0, "seed": 0, "token_ids": [], "text": said.get(one.id, ""),
             "finish_reason": "stop", "logprob": 0.0} for one in problems
        ]  # fmt: skip
        predictions, scores, items = (place / name for name in ("predictions.parquet", "scores.json", "items.parquet"))
        contracts.write(predictions, answers, contracts.ROLLOUTS)
        call("score_benchmark", "--benchmark", benchmark, "--problems", path, "--predictions", predictions,
             "--out", scores, "--items", items)  # fmt: skip
        assert read_json(scores)["n"] == len(rows), "every item stays in the denominator"
        seed = {"sft": None, "vas": 0}[subject]
        evaluations.append(Evaluation(model="tiny", subject=subject, seed=seed, benchmark=benchmark, scores=scores,
                                      items=items, predictions=predictions))  # fmt: skip
    index = Index(recipe="r", results=folder, benchmarks={benchmark: path}, evaluations=tuple(evaluations))
    after = accuracy(index, "tiny", "vas", benchmark, "reader")
    without_gold = sum(not one.answer for one in problems)
    assert after is not None
    assert 0.9 < after.mean + without_gold / len(rows) <= 1
    shown = samples(index, "tiny", benchmark)
    assert {"wrong before, right after"} <= {one.kind for one in shown}
    assert all(one.pictures for one in shown)
    if without_gold:
        assert any(one.kind == "never right" and one.gold == "" for one in shown)


@pytest.mark.parametrize("benchmark", ODD)
def test_odd_items_go_through_the_whole_chain(call: Call, tmp_path: Path, tiny_model_dir: Path, benchmark: str) -> None:
    rows = with_images(ODD[benchmark], tmp_path, tmp_path)
    check_whole(call, tiny_model_dir, benchmark, rows, [], tmp_path)


@pytest.mark.skipif(not FILES.is_dir(), reason=f"{FILES} is not here: no real files to read")
@pytest.mark.parametrize("name", REAL)
def test_a_real_file_goes_through_the_whole_chain(call: Call, tmp_path: Path, tiny_model_dir: Path, name: str) -> None:
    file, asked = REAL[name]
    rows = with_images(load_rows(FILES / file), (FILES / file).parent, tmp_path)
    check_whole(call, tiny_model_dir, name.partition(",")[0], rows, asked, tmp_path)
