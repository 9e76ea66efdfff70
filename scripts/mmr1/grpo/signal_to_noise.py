"""The signal and the noise of a batch's gradient when problems are drawn by weights, from gradients of single groups.

A batch of B problems has the gradient g, the mean of its groups'. Its signal is ‖E g‖² and its noise E‖g‖² - ‖E g‖²,
over draws of problems and of responses. Whoever squares one batch's gradient counts noise as signal; the product of the
gradients of two halves with no response in common has no bias. Here it is the mean over all such halves: over all pairs
of groups but those of a group with itself.

AdamW takes no notice of a gradient's scale, so that neither norm says how fast a model learns. Their ratio says how
much of a step points where the mean gradient does. GRPO divides a group's advantages by their deviation, which gives
groups of any variance about one norm; so it is measured with that division and without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from mmr1.data.problems import Problem
from mmr1.grpo.single_gradients import Response, SingleGradients
from mmr1.seeds import generator

Floats = NDArray[np.float64]

WIDTH = 32_749  # of a sketch; prime, so that no column of a weight matrix falls on itself
ADVANTAGES = ("centred", "divided")  # r - mean, and that over the group's deviation
BLOCKS = 40  # of problems, of which the jackknife leaves one out at a time


class Sketch:
    """Vectors of one length in `WIDTH` numbers whose products are those of the vectors, without bias.

    Entries get random signs, and those `WIDTH` apart are added up (feature hashing, arXiv 0902.2206). The error of a
    product has a deviation of about √(2/WIDTH), 0.8%, of the product of the norms.
    """

    def __init__(self) -> None:
        self._signs = torch.empty(0, dtype=torch.int8)

    def __call__(self, vector: torch.Tensor) -> NDArray[np.float32]:
        """Of a vector (D,) with signs of its own, always the same; float32 (WIDTH,)."""
        if len(self._signs) != len(vector):
            signs = 2 * generator(0, "sketch").integers(0, 2, len(vector), dtype=np.int8) - 1
            self._signs = torch.from_numpy(signs).to(vector.device)
        signed = torch.nn.functional.pad(vector * self._signs, (0, -len(vector) % WIDTH))
        return signed.view(-1, WIDTH).sum(dim=0).cpu().numpy()


def group_gradients(
    gradients: SingleGradients, sketch: Sketch, problem: Problem, responses: Sequence[Response], size: int
) -> tuple[NDArray[np.float32], Floats]:
    """The sketched gradients (G, WIDTH) of a problem's G whole groups of `size`, and their rewards' deviations (G,)."""
    groups = [responses[start : start + size] for start in range(0, len(responses) - size + 1, size)]
    found = np.zeros((len(groups), WIDTH), np.float32)
    for number, group in enumerate(groups):
        if (gradient := gradients.gradient(problem, group)) is not None:
            found[number] = sketch(gradient)
    return found, np.array([np.std([one.reward for one in group], ddof=1) for group in groups])


@dataclass(frozen=True)
class Products:
    """Products of the gradients of M problems' groups, with the advantages of `ADVANTAGES` on either side.

    `between` (2, 2, M, M): the mean over pairs of groups without a common response. `within` (2, 2, M): the mean over
    groups, of a group with itself. `varying` (M,): the share of a problem's groups whose rewards are not all equal.
    """

    between: Floats
    within: Floats
    varying: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Products":
        """Those of some of the problems, a mask (M,)."""
        return Products(self.between[:, :, chosen][..., chosen], self.within[..., chosen], self.varying[chosen])


def products(groups: Sequence[NDArray[np.float32]], deviations: Floats) -> Products:
    """From the centred gradients of each problem's G groups, M arrays (G, D), and the groups' deviations (M, G), G ≥ 2.

    A group without deviation has no gradient.
    """
    scale = np.stack([np.ones_like(deviations), 1 / np.where(deviations > 0, deviations, 1)])  # (2, M, G)
    sums = np.stack([scale[:, number].astype(np.float32) @ group for number, group in enumerate(groups)], axis=1)
    norms = np.stack([(group.astype(np.float64) ** 2).sum(axis=1) for group in groups])  # (M, G)
    itself = np.einsum("amg,bmg,mg->abm", scale, scale, norms)
    count = deviations.shape[1]
    between = np.array([[one @ other.T for other in sums] for one in sums], np.float64) / count**2  # (2, 2, M, M)
    same = np.arange(len(groups))
    between[:, :, same, same] = (between[:, :, same, same] * count**2 - itself) / (count * (count - 1))
    return Products(between, itself / count, (deviations > 0).mean(axis=1))


@dataclass(frozen=True)
class Draw:
    """How a batch's problems are drawn: a share `mix` of them by weights (M,), the others uniformly."""

    name: str
    mix: float
    weights: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Draw":
        """From some of the problems only."""
        return Draw(self.name, self.mix, self.weights[chosen])

    def parts(self) -> list[tuple[float, Floats]]:
        """(share of the batch, share of each problem in its draws) of the two parts."""
        size, total = len(self.weights), self.weights.sum()
        uniform = np.full(size, 1 / size)
        return [(self.mix, self.weights / total if total > 0 else uniform), (1 - self.mix, uniform)]


def estimate(known: Products, draw: Draw, advantage: int, batch: int) -> dict[str, float]:
    """Signal, noise, their ratio, and what else there is to say of a batch's gradient; NaN where it is not known.

    The aim is the gradient of the set's mean expected reward. Whoever draws few problems again and again has a clear
    signal of these few: `cosine` is between the mean of the batch's gradient and the aim, and `aimed` the ratio of what
    is along the aim, squared, to all the rest, the signal elsewhere and the noise.
    """
    parts = draw.parts()
    mean = sum(share * weight for share, weight in parts)
    between, within = known.between[advantage, advantage], known.within[advantage, advantage]
    signal = float(mean @ between @ mean)
    noise = sum(share * float(weight @ within - weight @ between @ weight) for share, weight in parts) / batch
    uniform = parts[1][1]
    aim, along = float(uniform @ known.between[0, 0] @ uniform), float(mean @ known.between[advantage, 0] @ uniform)
    toward = _ratio(along**2, aim)
    return {
        "varying": float(mean @ known.varying),
        "signal": signal,
        "noise": noise,
        "snr": _ratio(signal, noise),
        "aimed": _ratio(toward, signal + noise - toward),
        "cosine": along / np.sqrt(signal * aim) if min(signal, aim) > 0 else np.nan,
    }


def rows(known: Products, draws: Sequence[Draw], batch: int) -> list[dict[str, Any]]:
    """A row per way of drawing and kind of advantage, with 95% intervals by the jackknife over blocks of problems.

    `snr_times` and `aimed_times` are over the first way of drawing with the same advantages.
    """
    found = []
    for number, advantage in enumerate(ADVANTAGES):
        left_out = [_estimates(known.of(kept), draws, number, batch, kept) for kept in _blocks(len(known.varying))]
        for draw, one, others in zip(
            draws,
            _estimates(known, draws, number, batch, np.ones(len(known.varying), bool)),
            zip(*left_out, strict=True),
            strict=True,
        ):
            row: dict[str, Any] = {"weights": draw.name, "mix": draw.mix, "advantages": advantage, **one}
            for name in ("snr", "snr_times", "aimed", "aimed_times", "cosine"):
                row |= _interval(name, one[name], np.array([other[name] for other in others]))
            found.append(row)
    return found


def _estimates(
    known: Products, draws: Sequence[Draw], advantage: int, batch: int, kept: NDArray[np.bool_]
) -> list[dict[str, float]]:
    """The estimates of all ways of drawing, beside the first."""
    found = [estimate(known, draw.of(kept), advantage, batch) for draw in draws]
    return [one | {f"{name}_times": _ratio(one[name], found[0][name]) for name in ("snr", "aimed")} for one in found]


def _ratio(value: float, of: float) -> float:
    """NaN unless `of` is above 0."""
    return value / of if of > 0 else np.nan


def _blocks(size: int) -> list[NDArray[np.bool_]]:
    """Masks (M,) of all problems but a random block, for each block."""
    number = generator(0, "signal to noise").permutation(size) % min(BLOCKS, size)
    return [number != block for block in range(number.max() + 1)]


def _interval(name: str, value: float, left_out: Floats) -> dict[str, float]:
    """The bounds of a value from what it is without each block: Student's t with the jackknife's standard error."""
    count = len(left_out)
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    half = student.ppf(0.975, count - 1) * error
    return {f"{name}_low": float(value - half), f"{name}_high": float(value + half)}
