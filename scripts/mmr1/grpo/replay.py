"""An engine that samples nothing: it hands out stored rollouts, so that a training run can be repeated without one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.rollout.requests import Request, Rollout, Sampling


class ReplayEngine:
    """Stored training rollouts by problem, index and seed: the same run asks for the same.

    A table keeps the mean log-probability of a rollout only, and so each token's is that mean:
    `logprob_difference_mean` and `logprob_ratio_max` say nothing in a replay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored = {
            (row["problem_id"], row["rollout"], row["seed"]): row
            for group in contracts.iter_row_groups(path, contracts.TRAINING_ROLLOUTS)
            for row in group.to_pylist()
        }

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """The stored rollout of each request. Raises UserError if there is none."""
        return [self._find(request) for request in requests]

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Weights do not matter here, but all ranks must go through them together."""
        for _ in named_tensors:
            pass

    def sleep(self) -> None:
        """Nothing to free."""

    def wake(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to shut down."""

    def notes(self) -> dict[str, Any]:
        """What a record should say about this engine."""
        return {"engine": "replay"}

    def _find(self, request: Request) -> Rollout:
        row = self.stored.get((request.problem.id, request.rollout, request.seed))
        if row is None:
            raise UserError(
                f"{self.path}: expected rollout {request.rollout} of problem {request.problem.id} with seed "
                f"{request.seed}, found none: it was made with another schedule, seed or group size"
            )
        tokens = np.array(row["token_ids"], dtype=np.int32)
        logprobs = np.full(len(tokens), row["logprob"], dtype=np.float32)
        return Rollout(
            row["problem_id"], row["rollout"], row["seed"], tokens, row["text"], row["finish_reason"], logprobs
        )
