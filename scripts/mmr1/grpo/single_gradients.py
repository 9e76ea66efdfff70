"""Gradients of single problems beside their reward variance, which the paper's theorem (§4) takes for a lower bound.

The gradient of a problem's expected reward is E[r ∇log π(y)]. Of m responses the mean of (r_i - mean of the others' r)
∇log π(y_i) has no bias for it, and the product of the estimates of two independent halves none for its squared norm: it
may come out below 0 for one problem. AdamW takes no notice of a gradient's scale, and GRPO divides by the group's
deviation: a larger norm is no faster learning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from transformers import AutoProcessor

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.batching import Sample, plan
from mmr1.grpo.loader import Loader
from mmr1.grpo.minibatch import MiniBatch, until_end
from mmr1.grpo.policy import LogprobModel
from mmr1.grpo.settings import GradientSettings
from mmr1.models.action_space import end_of_sequence, suppressed_tokens
from mmr1.models.load import load_model
from mmr1.seeds import generator

Floats = NDArray[np.float64]

BINS = 6  # of varying problems by variance, equally many in each
RESAMPLES = 2_000


@dataclass(frozen=True)
class Response:
    """Token ids int32 [L] of one response, and its verdict, 0 or 1."""

    token_ids: NDArray[np.int32]
    reward: float


@dataclass(frozen=True)
class Measured:
    """One problem: `variance` is p(1-p) without bias, `squared_norm` of its gradient from two halves."""

    problem_id: str
    n: int
    pass_rate: float
    variance: float
    squared_norm: float


class SingleGradients:
    """A checkpoint that gives the gradient of one problem at a time."""

    def __init__(self, folder: Path, settings: GradientSettings, system_prompt: str | None) -> None:
        self.settings = settings
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_model(folder, torch.float32)
        processor = AutoProcessor.from_pretrained(folder)
        suppressed = suppressed_tokens(processor.tokenizer, model.config)
        self.module = LogprobModel(model, settings.temperature, suppressed).to(device).eval()
        self.encoder = PromptEncoder(
            processor, system_prompt, settings.prompt_position, settings.min_pixels, settings.max_pixels
        )
        self.loader = Loader(self.encoder, model, device)
        self.end = end_of_sequence(processor.tokenizer)

    def measure(self, problem: Problem, responses: Sequence[Response]) -> Measured:
        """One problem from four or more responses, of which every other one belongs to the second half."""
        rewards = np.array([one.reward for one in responses])
        n, rate = len(rewards), float(rewards.mean())
        halves = [self.gradient(problem, responses[start::2]) for start in (0, 1)]
        known = halves[0] is not None and halves[1] is not None
        squared = float(halves[0] @ halves[1]) if known else 0.0  # type: ignore[operator]
        return Measured(problem.id, n, rate, rate * (1 - rate) * n / (n - 1), squared)

    def gradient(self, problem: Problem, responses: Sequence[Response]) -> torch.Tensor | None:
        """The estimate from some responses, float32 [weights]; None where all have one reward: it is 0."""
        rewards = np.array([one.reward for one in responses])
        m = len(rewards)
        if np.ptp(rewards) == 0:
            return None
        advantages = (rewards - rewards.mean()) * m / (m - 1)  # r_i less the mean of the others
        batch = self._batch(problem, responses, advantages)
        self.module.zero_grad(set_to_none=True)
        for micro_batch in self.loader.load(batch, range(len(batch.batches))):
            logprobs, _ = self.module(micro_batch)
            of_tokens = torch.tensor([batch.advantages[member] for member in micro_batch.members], dtype=torch.float32)
            weights = of_tokens.repeat_interleave(torch.tensor(micro_batch.lengths)).to(logprobs.device)
            ((logprobs * weights).sum() / m).backward()
        gradients = [weight.grad.flatten() for weight in self.module.parameters() if weight.grad is not None]
        return torch.cat(gradients)

    def _batch(self, problem: Problem, responses: Sequence[Response], advantages: Floats) -> MiniBatch:
        length = self.encoder.length(problem)
        samples = [Sample(0, length, until_end(one.token_ids, self.end)) for one in responses]
        rows = plan(samples, self.settings.micro_batch_tokens, self.settings.share_prompts)
        return MiniBatch([problem], samples, advantages.tolist(), [1.0] * len(samples), [], rows, packed=False)


def summary(measured: Sequence[Measured]) -> dict[str, Any]:
    """Rank correlation of squared norm and variance over all problems, and the slope of their logarithms over bins.

    The slope is of bins of varying problems, by least squares, with its 95% interval over resampled problems; None
    where fewer than two bins have a positive mean. `bins` has the mean variance and squared norm of each.
    """
    variance, norm = (np.array([getattr(one, name) for one in measured]) for name in ("variance", "squared_norm"))
    varying = np.flatnonzero(variance > 0)
    random = generator(0, "theorem", len(varying))
    slopes = [_slope(variance[drawn], norm[drawn]) for drawn in random.choice(varying, (RESAMPLES, len(varying)))]
    known = [slope for slope in slopes if slope is not None]
    return {
        "problems": len(measured),
        "varying": len(varying),
        "spearman": float(spearmanr(variance, norm).statistic) if np.ptp(variance) and np.ptp(norm) else None,
        "slope": _slope(variance[varying], norm[varying]),
        "slope_ci95": [float(bound) for bound in np.quantile(known, [0.025, 0.975])] if known else None,
        "bins": _bins(variance[varying], norm[varying]),
    }


def _bins(variance: Floats, norm: Floats) -> list[tuple[float, float]]:
    parts = np.array_split(np.argsort(variance, kind="stable"), min(BINS, max(1, len(variance) // 2)))
    return [(float(variance[part].mean()), float(norm[part].mean())) for part in parts if len(part)]


def _slope(variance: Floats, norm: Floats) -> float | None:
    points = np.log([pair for pair in _bins(variance, norm) if min(pair) > 0])
    if len(points) < 2 or np.ptp(points[:, 0]) == 0:
        return None
    return float(np.polyfit(points[:, 0], points[:, 1], 1)[0])


def by_problem(
    rows: Sequence[Mapping[str, Any]], verdicts: Mapping[tuple[str, int], float]
) -> dict[str, list[Response]]:
    """The responses of every problem, in the order of `rows` (problem_id, rollout, token_ids), with their verdicts."""
    found: dict[str, list[Response]] = {}
    for row in rows:
        response = Response(np.array(row["token_ids"], np.int32), verdicts[row["problem_id"], row["rollout"]])
        found.setdefault(row["problem_id"], []).append(response)
    return found
