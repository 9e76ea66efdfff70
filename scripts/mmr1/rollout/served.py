"""Answers to problems from a model behind an endpoint, as rows of a rollouts table."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmr1.data.chat import chat_turns
from mmr1.data.images import shown_everywhere
from mmr1.data.problems import Problem
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.files import digest
from mmr1.rollout.endpoint import Endpoint
from mmr1.rollout.requests import group_requests

KEY_VARIABLE = "ENDPOINT_API_KEY"


def responses(
    endpoint: Endpoint,
    problems: Sequence[Problem],
    cache: Path,
    system_prompt: str | None,
    position: PromptPosition,
    *,
    n: int,
    seed: int,
    **sampling: Any,
) -> list[dict[str, Any]]:
    """`n` responses to each problem, in order. `sampling` is sent as it is; each request has the seed that
    generate.py gives the same response. Raises UserError if the endpoint stays down.
    """
    questions: dict[str, Callable[[], list[str]]] = {}
    rows: list[dict[str, Any]] = []

    def question(problem: Problem, asked: dict[str, Any]) -> Callable[[], list[str]]:
        """The turns are made again when they are sent: all of them together would hold every image, as text."""
        return lambda: list(endpoint.chat(turns(problem, system_prompt, position), **asked))

    for problem in problems:
        messages = turns(problem, system_prompt, position)
        for request in group_requests(problem, n, seed, "eval", 0):
            asked = {**sampling, "seed": request.seed}
            name = digest({"model": endpoint.model, "messages": messages, **asked})
            questions[name] = question(problem, asked)
            rows.append({"problem_id": problem.id, "rollout": request.rollout, "seed": request.seed, "name": name})
    answers = endpoint.ask_all("endpoint", questions, cache)
    return [_row(row, *answers[row.pop("name")]) for row in rows]


def turns(problem: Problem, system_prompt: str | None, position: PromptPosition) -> list[dict[str, Any]]:
    """The chat turns for a problem as the API takes them, each image as a data URI in its place."""
    images = iter(problem.images)
    return [
        {**turn, "content": [_with_image(part, images) for part in turn["content"]]}
        for turn in chat_turns(problem, system_prompt, position)
    ]


def _with_image(part: dict[str, Any], images: Any) -> dict[str, Any]:
    if part["type"] != "image":
        return part
    data, kind = shown_everywhere(next(images))
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}


def _row(row: dict[str, Any], text: str, reason: str) -> dict[str, Any]:
    ended = "length" if reason == "length" else "stop"
    return {**row, "token_ids": [], "text": text, "finish_reason": ended, "logprob": float("nan")}
