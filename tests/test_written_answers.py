"""Scores of benchmarks and the reward agree with a careful reader on answers as models write them, kind by kind."""

from collections.abc import Iterator

import pytest

from mmr1.benchmarks.base import Response, benchmark
from mmr1.benchmarks.score import judge_items
from mmr1.rewards.accuracy import judge
from mmr1.rewards.verifier.verify import Verifier
from written_answers import PAIRS, Pair

THOUGHT = "<think>Let us see.</think>\n"


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=1, seconds=10) as running:
        yield running


def response(pair: Pair) -> str:
    return pair.answer if pair.form == "text" else f"{THOUGHT}<answer>{pair.answer}</answer>"


@pytest.mark.parametrize("kind", dict.fromkeys(pair.kind for pair in PAIRS))
def test_the_reader_score(verifier: Verifier, kind: str) -> None:
    pairs = [pair for pair in PAIRS if pair.kind == kind]
    misread = []
    for pair in pairs:
        judged = [(pair.problem, Response(response(pair), finish_reason="stop"))]
        [item] = judge_items(benchmark(pair.problem.source), judged, verifier)
        if item.decisions["reader"].correct != pair.right:
            misread.append((pair.problem.answer, pair.answer))
    assert misread == []


@pytest.mark.parametrize("kind", dict.fromkeys(pair.kind for pair in PAIRS))
def test_the_reward(verifier: Verifier, kind: str) -> None:
    """In a box of the answer section; what only a benchmark's tolerance lets pass is another number."""
    pairs = [pair for pair in PAIRS if pair.kind == kind and pair.form == "section" and not pair.problem.choices]
    boxes = [pair.answer if "\\boxed" in pair.answer else f"\\boxed{{{pair.answer}}}" for pair in pairs]
    texts = [f"{THOUGHT}<answer>{box}</answer>" for box in boxes]
    golds, questions = ([getattr(pair.problem, name) for pair in pairs] for name in ("answer", "question"))
    judged = judge(golds, texts, verifier, questions)
    misread = [
        (pair.problem.answer, pair.answer)
        for pair, verdict in zip(pairs, judged, strict=True)
        if bool(verdict.accuracy) != (pair.right and not pair.near)
    ]
    assert misread == []
