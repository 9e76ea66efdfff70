"""How fast scoring is, on two cores: 3,040 MathVision responses, and 10,000 mixed ones with math-verify.

    python performance/bench_scoring.py [--workers 2]

Targets: 15 s and 60 s. Responses are made here: golds of every kind, right, reformatted and wrong, inside a reasoning
of 2,000 characters. MathVerse's golds are mixed as in the real file: five of six are letters, most others numbers, one
in fifty an expression that math-verify has to compare, one in two hundred an equation, which takes it longest.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from mmr1.benchmarks.base import Response
from mmr1.benchmarks.base import benchmark as benchmark_of
from mmr1.benchmarks.score import judge_items, scores
from mmr1.data.problems import Problem
from mmr1.rewards.verifier.verify import Verifier
from mmr1.seeds import generator

REASONING = "We look at the figure and set up the equation $x^2 + 2x = 15$, so that $(x+5)(x-3) = 0$. " * 22
MATHVERSE = {"problem_version": "Text Lite", "question_type": "free-form"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with Verifier(args.workers, seconds=5.0) as verifier:
        verifier.verify([("x+1", "1+x")])  # processes start once
        timed("MathVision", {"mathvision": mathvision(3040)}, verifier)
        made = {"mathverse": mathverse(4000), "mathvista": mathvista(2000), "chartqa": chartqa(2500)}
        timed("mixed", {**made, "mathvision": mathvision(1000), "logicvista": logicvista(500)}, verifier)
        print(f"time-outs: {verifier.timeouts}")


def timed(name: str, pairs: dict[str, list[tuple[Problem, Response]]], verifier: Verifier) -> None:
    start, own = time.perf_counter(), time.process_time()
    for benchmark, some in pairs.items():
        scores(benchmark_of(benchmark), judge_items(benchmark_of(benchmark), some, verifier))
    seconds = time.perf_counter() - start
    count, load = sum(map(len, pairs.values())), os.getloadavg()[0]
    own = time.process_time() - own
    print(f"{name}: {count} responses in {seconds:.1f} s (this process {own:.1f} s of CPU; load average {load:.1f})")


def answered(answer: str) -> Response:
    return Response(f"{REASONING}\n\\boxed{{{answer}}}", finish_reason="stop")


def mathvision(count: int) -> list[tuple[Problem, Response]]:
    random, benchmark, pairs = generator(1, "mathvision"), benchmark_of("mathvision"), []
    for index in range(count):
        a, b = (int(number) for number in random.integers(2, 60, size=2))
        options = [f"$\\frac{{{a + shift}}}{{{b}}}$" for shift in range(5)] if index % 2 else []
        gold = "B" if options else f"{a}\\sqrt{{{b}}}"
        row = {"id": str(index), "question": "?", "options": options, "answer": gold, "level": 1, "subject": "algebra"}
        wrong_or_right = [gold, f"\\frac{{{a + 1}}}{{{b}}}", f"\\sqrt{{{a * a * b}}}", str(a), f"{a}\\text{{ cm}}"]
        pairs.append((benchmark.to_problem(row, index), answered(wrong_or_right[index % 5])))
    return pairs


def mathverse(count: int) -> list[tuple[Problem, Response]]:
    random, benchmark, pairs = generator(1, "mathverse"), benchmark_of("mathverse"), []
    for index in range(count):
        a, b = (int(number) for number in random.integers(2, 400, size=2))
        question, gold, answer = "?\nChoices:\nA:40°\nB:60°\nC:120°", "B", "B. 60^\\circ" if index % 3 else "120"
        if index % 6 == 0:
            question, gold, answer = "?", f"Volume $={a}.13 \\mathrm{{~cm}}^{{3}}$", f"{a}.13\\text{{ cm}}^3"
        if index % 50 == 0:
            gold, answer = f"{a}\\sqrt{{{b}}}", f"\\sqrt{{{a * a * b}}}"
        if index % 100 == 0:
            gold, answer = f"$72 x-{a} x^{{3}}$", f"72x - {b}x^3"
        if index % 200 == 0:
            gold, answer = (
                f"\\frac{{x^2}}{{{a}}}+\\frac{{y^2}}{{{b}}}=1",
                f"\\frac{{x^2}}{{{b}}}+\\frac{{y^2}}{{{a}}}=1",
            )
        row = {**MATHVERSE, "sample_index": str(index), "problem_index": str(index // 5), "answer": gold}
        pairs.append((benchmark.to_problem({**row, "question": question}, index), answered(answer)))
    return pairs


def mathvista(count: int) -> list[tuple[Problem, Response]]:
    benchmark, pairs = benchmark_of("mathvista"), []
    for index in range(count):
        choices = ["Yes", "No"] if index % 2 else None
        row = {
            "pid": str(index),
            "answer": "No" if choices else str(index),
            "answer_type": "text" if choices else "integer",
            "question_type": "multi_choice" if choices else "free_form",
            "choices": choices,
        }
        answer = ["B", f"{index}.0", "no, there are more", "x = 5"][index % 4]
        pairs.append((benchmark.to_problem(row, index), answered(answer)))
    return pairs


def chartqa(count: int) -> list[tuple[Problem, Response]]:
    benchmark, pairs = benchmark_of("chartqa"), []
    for index in range(count):
        label = ["Gray", f"{index}.5", "[2011, 2012]", str(2000 + index % 20)][index % 4]
        answer = ["grey", f"{index}.5 million", "2011 and 2012", "\\frac{2014}{1}"][index % 4]
        row = {"query": "?", "label": [label], "human_or_machine": index % 2}
        pairs.append((benchmark.to_problem(row, index), answered(answer)))
    return pairs


def logicvista(count: int) -> list[tuple[Problem, Response]]:
    benchmark, pairs = benchmark_of("logicvista"), []
    for index in range(count):
        row = {"id": str(index), "question": "?", "answer": "A, C" if index % 9 == 0 else "C", "skill": ["inductive"]}
        pairs.append((benchmark.to_problem(row, index), answered("C" if index % 2 else "A, C")))
    return pairs


if __name__ == "__main__":
    main()
