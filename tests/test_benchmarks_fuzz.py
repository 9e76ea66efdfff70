"""Twenty thousand senseless answers for every scorer: no crash, no hang, a verdict each.

Every rule judges all of them; math-verify, which is the slow part, gets some. With FUZZ_ALL=1 it gets all 20,000.
"""

import os
import re
import time
from itertools import islice

import pytest

from benchmark_fixtures import BENCHMARKS
from generated_answers import answers
from mmr1.benchmarks.base import Response
from mmr1.benchmarks.score import item_rows, judge_items, scores
from mmr1.data.problems import Problem
from mmr1.rewards.verifier.verify import Verifier

COUNT = 20_000
SLOWEST = 5.0  # seconds of processor time for one answer
VERIFIED = COUNT if os.environ.get("FUZZ_ALL") else 300  # of them are also given to math-verify

KINDS = {
    "nested braces": r"\{\{|\}\}",
    "an unbalanced box": r"\\boxed\{[^}]*\Z",
    "a huge exponent": r"9\^9\^9\^9|e999999999|10\^\{10\^\{10\}\}",
    "control characters": r"[\x00-\x08\x1b]",
    "100 kB": r"\A[\s\S]{90000,}",
    "other scripts": r"[\u0660-\u0669\u4e00-\u9fff]",
    "marks from right to left": r"[\u200f\u202e]",
    "half a character": r"[\ud800-\udfff]",
}

MATHVISTA = {"pid": "1", "unit": None, "metadata": {}}
MATHVERSE = {"sample_index": "1", "problem_version": "Text Lite", "question": "?", "question_type": "free-form"}
MATHVISION = {"id": "1", "question": "?", "level": 1, "subject": "algebra"}
ROWS = {
    "mathvista": [
        {**MATHVISTA, "answer": "5", "answer_type": "integer", "question_type": "free_form", "choices": None},
        {**MATHVISTA, "answer": "1.2", "answer_type": "float", "question_type": "free_form", "precision": 1},
        {**MATHVISTA, "answer": "[1, 2]", "answer_type": "list", "question_type": "free_form"},
        {**MATHVISTA, "answer": "No", "answer_type": "text", "question_type": "multi_choice", "choices": ["Yes", "No"]},
    ],
    "mathverse": [
        {**MATHVERSE, "answer": "\\frac{\\sqrt{30}}{2}"},
        {**MATHVERSE, "answer": "(-2,1]"},
        {**MATHVERSE, "answer": "C\nD"},
        {**MATHVERSE, "answer": "B", "question": "?\nChoices:\nA:40°\nB:60°\nC:120°"},
    ],
    "mathvision": [
        {**MATHVISION, "answer": "(3,-4)", "options": []},
        {**MATHVISION, "answer": "B", "options": ["$\\frac{1}{2}$", "$\\sqrt{2}$", "3", "4", "5"]},
    ],
    "logicvista": [
        {"imagename": "1.png", "question": "?", "answer": "A, C"},
        {"imagename": "1.png", "question": "?", "answer": ""},
        {"imagename": "1.png", "question": "? (A) True (B) False", "answer": "B"},
    ],
    "chartqa": [
        {"query": "?", "label": ["5"], "human_or_machine": 0},
        {"query": "?", "label": ["[2011, 2012]"], "human_or_machine": 0},
        {"query": "?", "label": ["No"], "human_or_machine": 0},
    ],
    "digits": [{"id": "1", "question": "?", "answer": "15", "task": "sum", "count": 2}],
    "own": [
        {"id": "1", "question": "?", "answer": "\\frac{1}{2}"},
        {"id": "2", "question": "?", "answer": "B", "choices": ["1", "2"]},
    ],
}


def problems(name: str) -> list[Problem]:
    return [BENCHMARKS[name].to_problem(row, number) for number, row in enumerate(ROWS[name])]


def test_every_benchmark_is_here() -> None:
    assert set(ROWS) == set(BENCHMARKS)


def test_every_kind_is_generated() -> None:
    made = list(answers(COUNT, seed=1))
    assert len(made) == COUNT
    for kind, pattern in KINDS.items():  # the long ones stand first, and take longest
        of_the_kind = (text for text in reversed(made) if re.search(pattern, text))
        assert len(list(islice(of_the_kind, 5))) == 5, kind


@pytest.mark.parametrize("name", ROWS)
def test_every_answer_gets_a_verdict(name: str) -> None:
    benchmark, made = BENCHMARKS[name], problems(name)
    rules = list(dict.fromkeys([benchmark.official, benchmark.reader, *benchmark.more.values()]))
    passed = 0
    for number, text in enumerate(answers(COUNT, seed=1)):
        start = time.process_time()
        for rule in rules:
            decision = rule(made[number % len(made)], Response(text))
            assert isinstance(decision.correct, bool)
            assert decision.rule != "error"
            passed += decision.correct
        assert time.process_time() - start < SLOWEST, text[:80]
    assert passed < 0.2 * COUNT * len(rules)  # senseless answers are right by chance only


@pytest.mark.parametrize("name", ["mathverse", "mathvista", "chartqa"])
def test_math_verify_gives_a_verdict_too(name: str) -> None:
    benchmark, made = BENCHMARKS[name], problems(name)
    texts = islice(answers(COUNT, seed=2), VERIFIED)
    pairs = [(made[number % len(made)], Response(text, rollout=number)) for number, text in enumerate(texts)]
    with Verifier(workers=2, seconds=0.5) as verifier:
        items = judge_items(benchmark, pairs, verifier)
    assert scores(benchmark, items)["n"] == VERIFIED
    assert item_rows(items).num_rows == VERIFIED
