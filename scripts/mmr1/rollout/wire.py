"""What a trainer and a rollout server on another node say to each other: JSON, and safetensors for weights.

No pickle: nothing that arrives is ever executed.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.rollout.requests import Request, Rollout, Sampling

# Weights travel in pieces of about this many bytes (a tensor is never split).
PIECE_BYTES = 1 << 28


def pack_requests(requests: Sequence[Request], sampling: Sampling) -> dict[str, Any]:
    """Requests and settings as JSON; each problem is sent once, with its images in base64."""
    problems = {request.problem.id: request.problem for request in requests}
    return {
        "sampling": asdict(sampling),
        "problems": [_pack_problem(problem) for problem in problems.values()],
        "requests": [[request.problem.id, request.rollout, request.seed] for request in requests],
    }


def unpack_requests(message: dict[str, Any]) -> tuple[list[Request], Sampling]:
    """Undo `pack_requests`."""
    problems = {packed["id"]: _unpack_problem(packed) for packed in message["problems"]}
    requests = [Request(problems[name], rollout, seed) for name, rollout, seed in message["requests"]]
    return requests, Sampling(**message["sampling"])


def pack_rollouts(rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """Rollouts as JSON; float32 survives, for every float32 is a float64."""
    return [
        asdict(rollout) | {"token_ids": rollout.token_ids.tolist(), "logprobs": rollout.logprobs.tolist()}
        for rollout in rollouts
    ]


def unpack_rollouts(message: list[dict[str, Any]]) -> list[Rollout]:
    """Undo `pack_rollouts`."""
    return [
        Rollout(
            **packed
            | {
                "token_ids": np.asarray(packed["token_ids"], dtype=np.int32),
                "logprobs": np.asarray(packed["logprobs"], dtype=np.float32),
            }
        )
        for packed in message
    ]


def pack_weights(named_tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[bytes]:
    """Weights as safetensors pieces."""
    piece: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in named_tensors:
        if piece and size + tensor.nbytes > PIECE_BYTES:
            yield save(piece)
            piece, size = {}, 0
        piece[name] = tensor.detach().cpu().contiguous()
        size += tensor.nbytes
    yield save(piece)


def unpack_weights(pieces: Iterable[bytes]) -> Iterator[tuple[str, torch.Tensor]]:
    """Undo `pack_weights`."""
    for piece in pieces:
        yield from load(piece).items()


def prompt_settings(encoder: PromptEncoder) -> dict[str, Any]:
    """What both sides must agree on for a problem to make the same prompt."""
    return {
        "system_prompt": encoder.system_prompt,
        "position": encoder.position,
        "pixels": encoder.processor_size,
        "chat_template": encoder.processor.chat_template,
    }


def _pack_problem(problem: Problem) -> dict[str, Any]:
    return asdict(problem) | {"images": [base64.b64encode(data).decode() for data in problem.images]}


def _unpack_problem(packed: dict[str, Any]) -> Problem:
    choices = packed["choices"]
    return Problem(
        **packed
        | {
            "images": tuple(base64.b64decode(data) for data in packed["images"]),
            "choices": None if choices is None else tuple(choices),
        }
    )
