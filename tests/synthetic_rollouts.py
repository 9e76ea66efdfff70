"""Small problem sets, rollouts and rewards for the tests of variance-aware sampling."""

from pathlib import Path
from typing import Any

import numpy as np

from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.vas.read import SCORES

Group = list[list[int]]


def flat(groups: list[Group]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of responses as the arrays that `mmr1.vas.bleu` takes."""
    responses = [response for group in groups for response in group]
    return (
        np.array([token for response in responses for token in response], np.int32),
        np.cumsum([0] + [len(response) for response in responses]),
        np.cumsum([0] + [len(group) for group in groups]),
    )


def write_set(path: Path, count: int) -> list[str]:
    """Problems p0, p1, …, all with the gold answer 7; returns their ids."""
    problems = [Problem(id=f"p{i}", source="test", question="?", images=(), answer="7") for i in range(count)]
    write_problems(path, problems)
    return [problem.id for problem in problems]


def rollouts_of(problem: str, answers: str, tokens: Group | None = None, **where: int) -> list[dict[str, Any]]:
    """One rollout for each character of `answers`, in a box; `where` may give step and slot."""
    return [
        {
            "problem_id": problem,
            "rollout": number,
            "seed": number,
            "token_ids": tokens[number] if tokens else [number, 1, 2, 3],
            "text": f"<think>so</think><answer>\\boxed{{{answer}}}</answer>",
            "finish_reason": "stop",
            "logprob": -1.0,
            **where,
        }
        for number, answer in enumerate(answers)
    ]


def rewards_of(problem: str, verdicts: str, **where: int) -> list[dict[str, Any]]:
    """One reward row for each of `verdicts`, "1" for right and "0" for wrong."""
    return [
        {
            "problem_id": problem,
            "rollout": number,
            "accuracy": float(verdict),
            "format": 1.0,
            "extracted": verdict,
            "reason": "equal",
            **where,
        }
        for number, verdict in enumerate(verdicts)
    ]


def write_rollouts(path: Path, *groups: list[dict[str, Any]]) -> Path:
    """A rollouts table, of training rollouts if the rows have a step."""
    rows = [row for group in groups for row in group]
    contracts.write(path, rows, contracts.TRAINING_ROLLOUTS if "step" in rows[0] else contracts.ROLLOUTS)
    return path


def write_rewards(path: Path, *groups: list[dict[str, Any]]) -> Path:
    """A rewards table, of training rewards if the rows have a step."""
    rows = [row for group in groups for row in group]
    contracts.write(path, rows, contracts.TRAINING_REWARDS if "step" in rows[0] else contracts.REWARDS)
    return path


def write_scores(path: Path, vps: dict[str, float], scored_at: int = 0) -> Path:
    """A scores table with these VPS, of four responses each by the policy before step `scored_at`."""
    shared = {"n": 4, "pass_rate": 0.5, "ovs": 0.25, "tds": 0.5, "scored_at": scored_at, "diversity": "distinct_1"}
    contracts.write(path, [{"problem_id": name, "vps": value} | shared for name, value in vps.items()], SCORES)
    return path
