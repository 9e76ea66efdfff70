"""One interface to whatever samples responses: requests in, rollouts out, weights updated in place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from mmr1.data.problems import Problem
from mmr1.seeds import derive

if TYPE_CHECKING:  # not loaded by what only makes requests
    import torch


@dataclass(frozen=True)
class Sampling:
    """How a response is drawn. `temperature` 0 is greedy; `top_p` in (0, 1]; `max_tokens` bounds the response."""

    temperature: float
    max_tokens: int
    top_p: float = 1.0


@dataclass(frozen=True)
class Request:
    """One response wanted: for which problem, its index in the problem's group, and its own seed in [0, 2**63)."""

    problem: Problem
    rollout: int
    seed: int


@dataclass(frozen=True)
class Rollout:
    """One sampled response.

    `token_ids` int32 [L] is the response only, ending with the end-of-sequence token where `finish_reason` is "stop"
    ("length" if it was cut). `logprobs` float32 [L] are the engine's log-probabilities of those tokens under the
    distribution it sampled from: temperature, suppressed tokens (`mmr1.models.action_space`) and top-p applied; at
    temperature 0 those of temperature 1. `text` leaves special tokens out.
    """

    problem_id: str
    rollout: int
    seed: int
    token_ids: np.ndarray
    text: str
    finish_reason: str
    logprobs: np.ndarray


class Engine(Protocol):
    """Samples responses. A rollout depends on the weights, its request and the sampling settings only."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """One rollout per request, in the order of the requests."""

    def load_weights(self, named_tensors: Iterable[tuple[str, "torch.Tensor"]]) -> None:
        """Replace the weights in place (names as in the Hugging Face checkpoint) and drop every cache they made."""

    def sleep(self) -> None:
        """Free what training needs, where the device supports it. The weights may be gone: `wake` comes next."""

    def wake(self) -> None:
        """Make room for weights again; `load_weights` must follow before anything is sampled."""

    def close(self) -> None:
        """Give back what the engine holds (processes, device memory); it cannot be used afterwards."""

    def notes(self) -> dict[str, Any]:
        """What a job's record should say about the engine: name, version, device, dtype, and so on."""


@runtime_checkable
class Streaming(Protocol):
    """An engine that starts on later blocks while responses of earlier ones are under way."""

    def generate_blocks(
        self, blocks: Mapping[int, Sequence[Request]], sampling: Sampling
    ) -> Iterator[tuple[int, list[Rollout]]]:
        """Each block's number and rollouts, as it is done. Raises as `generate` does."""


def generate_blocks(
    engine: Engine, blocks: Mapping[int, Sequence[Request]], sampling: Sampling
) -> Iterator[tuple[int, list[Rollout]]]:
    """The rollouts of each block, by its number, in any order: as soon as they are there."""
    if isinstance(engine, Streaming):
        yield from engine.generate_blocks(blocks, sampling)
    else:
        for number, requests in blocks.items():
            yield number, engine.generate(requests, sampling)


def group_requests(problem: Problem, n: int, seed: int, purpose: str, *parts: str | int) -> list[Request]:
    """The n requests of a problem's group; each seed is derived from (seed, purpose, parts, problem id, index)."""
    return [Request(problem, i, derive(seed, purpose, *parts, problem.id, i)) for i in range(n)]
