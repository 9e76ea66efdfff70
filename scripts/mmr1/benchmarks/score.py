"""From problems and responses to scores and per-item verdicts."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.benchmarks.base import Benchmark, Decision, Response
from mmr1.benchmarks.intervals import interval
from mmr1.benchmarks.load import load_problems, load_responses
from mmr1.benchmarks.settings import ScoreSettings
from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError
from mmr1.rewards.verifier.verify import Outcome, Verifier


@dataclass(frozen=True)
class Item:
    """One problem, its response, and what each rule made of it."""

    problem: Problem
    response: Response
    decisions: Mapping[str, Decision]


def add_response_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which responses to which problems `decide` is about."""
    parser.add_argument("--problems", type=Path, required=True, help="problems.parquet, or the benchmark's own file")
    parser.add_argument("--predictions", type=Path, required=True, help="a rollouts table or JSON lines")
    parser.add_argument("--response-field", default="response", help="the field of JSON lines that holds the response")
    parser.add_argument("--extraction-field", help="the field of JSON lines with an extraction that someone else made")


def decide(args: argparse.Namespace, settings: ScoreSettings) -> tuple[list[Item], int]:
    """What the rules decide about the responses that a program is given, and how many comparisons hit the time limit.

    Raises UserError naming file, row and field.
    """
    benchmark = settings.benchmark.module.BENCHMARK
    problems = load_problems(benchmark, args.problems)
    responses = load_responses(args.predictions, args.response_field, args.extraction_field)
    pairs = pair(benchmark, problems, responses, settings.partial)
    workers = settings.machine.workers or len(os.sched_getaffinity(0))
    with Verifier(workers, settings.verify_seconds) as verifier:
        return judge_items(benchmark, pairs, verifier), verifier.timeouts


def pair(
    benchmark: Benchmark,
    problems: Sequence[Problem],
    responses: Mapping[str, Sequence[Response]],
    partial: bool = False,
) -> list[tuple[Problem, Response]]:
    """Each problem with each of its responses, in the problems' order.

    Raises UserError for a problem without a response or a response without a problem, unless `partial`: then only
    those that have both are scored. Nothing is ever scored by default.
    """
    known = {problem.id for problem in problems}
    if not partial:
        for problem in problems:
            if problem.id not in responses:
                raise UserError(
                    f"{benchmark.name}: problem {problem.id}: expected a response, found none (see --partial)"
                )
        for name in responses:
            if name not in known:
                raise UserError(f"{benchmark.name}: response {name}: expected a problem of that id (see --partial)")
    pairs = [(problem, response) for problem in problems for response in responses.get(problem.id, [])]
    if not pairs:
        raise UserError(f"{benchmark.name}: expected responses to its problems, found none that matches an id")
    return pairs


def judge_items(benchmark: Benchmark, pairs: Sequence[tuple[Problem, Response]], verifier: Verifier) -> list[Item]:
    """What `official`, `reader` and the benchmark's further rules decide; math-verify gets all items at once."""
    rules = {"official": benchmark.official, "reader": benchmark.reader, **benchmark.more}
    items = [
        Item(problem, response, {name: rule(problem, response) for name, rule in rules.items()})
        for problem, response in pairs
    ]
    asked = {decision.ask for item in items for decision in item.decisions.values() if decision.ask}
    questions = sorted(asked)
    outcomes = dict(zip(questions, verifier.verify(questions), strict=True))
    return [replace(item, decisions=_settled(item.decisions, outcomes)) for item in items]


def scores(benchmark: Benchmark, items: Sequence[Item]) -> dict[str, Any]:
    """The content of `scores.json` (docs/design.md §4). Accuracies and their 95% intervals lie in [0, 1].

    `n` is the number of responses. `extraction_failures` counts those in which `reader` found no answer,
    `truncated` those cut off at the length limit (null where the responses do not say).
    """
    reasons = [item.response.finish_reason for item in items]
    readings = [item.decisions["reader"] for item in items]
    return {
        "benchmark": benchmark.name,
        "n": len(items),
        "scores": {name: _score(benchmark, items, name) for name in items[0].decisions},
        "extraction_failures": sum(not (decision.extracted or "").strip() for decision in readings),
        "truncated": None if None in reasons else reasons.count("length"),
    }


def item_rows(items: Sequence[Item]) -> pa.Table:
    """The per-item verdicts: for each rule its verdict, which step decided, and the answer that it compared."""
    rows = []
    for item in items:
        reading = item.decisions["reader"]
        row: dict[str, Any] = {
            "id": item.problem.id,
            "rollout": item.response.rollout,
            "gold": item.problem.answer,
            "extracted": reading.extracted,
            "cleaned": reading.cleaned,
            "finish_reason": item.response.finish_reason,
        }
        for name, decision in item.decisions.items():
            row[name] = decision.correct
            row[f"{name}_rule"] = decision.rule
        row["official_answer"] = item.decisions["official"].cleaned
        rows.append({name: storable(value) for name, value in row.items()})
    types = {bool: pa.bool_(), int: pa.int32()}
    fields = [pa.field(name, types.get(type(value), pa.string())) for name, value in rows[0].items()]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def _settled(decisions: Mapping[str, Decision], outcomes: Mapping[tuple[str, str], Outcome]) -> dict[str, Decision]:
    settled = {}
    for name, decision in decisions.items():
        if decision.ask:
            outcome = outcomes[decision.ask]
            rule = decision.rule if outcome in (Outcome.EQUAL, Outcome.DIFFERENT) else outcome.value
            decision = replace(decision, correct=outcome is Outcome.EQUAL, rule=rule)
        settled[name] = decision
    return settled


def _score(benchmark: Benchmark, items: Sequence[Item], name: str) -> dict[str, Any]:
    by: dict[str, dict[str, Any]] = {}
    for breakdown, groups_of in benchmark.breakdowns.items():
        groups: dict[str, list[Item]] = {}
        for item in items:
            for group in groups_of(item.problem):
                groups.setdefault(group, []).append(item)
        by[breakdown] = {
            group: {"n": len(groups[group]), **_accuracy(benchmark, groups[group], name)} for group in sorted(groups)
        }
    return {**_accuracy(benchmark, items, name), "by": by}


def _accuracy(benchmark: Benchmark, items: Sequence[Item], name: str) -> dict[str, Any]:
    correct = [item.decisions[name].correct for item in items]
    cluster = benchmark.cluster or (lambda problem: problem.id)
    clusters = [cluster(item.problem) for item in items]
    return {
        "correct": sum(correct),
        "accuracy": sum(correct) / len(correct),
        "ci95": list(interval(correct, clusters)),
    }


def storable(value: Any) -> Any:
    """Parquet holds UTF-8: a lone surrogate, which a model's bytes can decode to, becomes a question mark."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
