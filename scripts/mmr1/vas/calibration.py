"""How well was the variance predicted that training found? Metrics of a round, one object per step.

Predicted is the OVS that the schedule was drawn with; realised is the variance P(1-P) of the verdicts of the group
that was sampled in training. Where the sampler predicts nothing (λ = 0), what needs a prediction is null.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats, Ints
from mmr1.vas.history import groups_of
from mmr1.vas.weights import weights

CURVE_BINS = 5  # of equal width over OVS's range [0, 1/4]


def calibrate(schedule: pa.Table, rewards: pa.Table, vps: Floats | None, size: int) -> list[dict[str, Any]]:
    """The metrics of every step of `schedule`, in order.

    `rewards`: the training rewards of these steps and of all before (columns of `mmr1.vas.history.REWARDS`); entries of
    a longer schedule that were not sampled have none. `vps` (M,): the scores that the schedule was drawn with, None
    where there are none. `size`: M. Per step:

    - `groups`, `groups_weighted`, `groups_uniform`: how many were sampled, in all and of these two origins;
    - `zero_variance`, `zero_variance_weighted`, `zero_variance_uniform`: share of groups whose verdicts are all equal;
    - `predicted_ovs`, `realised_variance`: means over the groups, and `ovs_correlation` (Pearson). With n responses
      a group the realised variance is p(1-p)(1 - 1/n) on average, so it is a little below even for perfect scores;
    - `curve_K_predicted`, `curve_K_realised`, `curve_K_groups`: the calibration curve, K-th fifth of [0, 1/4];
    - `effective_sample_size`: (sum w)² / sum w² of the weights, between 1 and M, and `effective_share`, over M;
    - `coverage`: share of the set sampled so far, this step included.

    Shares and means of nothing are null. Raises UserError for rewards of a slot that the schedule gives to another
    problem, and for a step without rewards.
    """
    groups = groups_of(rewards)
    first_seen = _first_seen(groups)
    metrics = []
    for step in np.unique(schedule["step"].to_numpy()).tolist():
        planned = schedule.filter(pa.array(schedule["step"].to_numpy() == step))
        trained = groups.filter(pa.array(groups["step"].to_numpy() == step))
        metrics.append(
            {"step": step}
            | _of_step(planned, trained, step)
            | _of_weights(vps)
            | {"coverage": int((first_seen <= step).sum()) / size}
        )
    return metrics


def _first_seen(groups: pa.Table) -> Ints:
    """For every problem that was trained on, the first step at which it was."""
    return groups.group_by("problem_id").aggregate([("step", "min")])["step_min"].to_numpy()


def _of_step(planned: pa.Table, trained: pa.Table, step: int) -> dict[str, Any]:
    if not len(trained):
        raise UserError(f"step {step}: expected training rewards, found none")
    row_of_slot = {slot: row for row, slot in enumerate(planned["slot"].to_pylist())}
    slots = trained["slot"].to_pylist()
    if unknown := [slot for slot in slots if slot not in row_of_slot]:
        raise UserError(f"step {step}: slot {unknown[0]} has rewards but does not stand in the schedule")
    entries = planned.take(pa.array([row_of_slot[slot] for slot in slots], pa.int64()))
    for slot, expected, actual in zip(
        slots, entries["problem_id"].to_pylist(), trained["problem_id"].to_pylist(), strict=True
    ):
        if expected != actual:
            raise UserError(f"step {step}: slot {slot}: the schedule has problem {expected!r}, the rewards {actual!r}")
    rate = trained["pass_rate"].to_numpy()
    realised = rate * (1 - rate)
    weighted, uniform = (entries["origin"].to_numpy() == origin for origin in ("weighted", "uniform"))
    predicted = None if entries["ovs"].null_count else entries["ovs"].to_numpy()
    return {
        "groups": len(realised),
        "groups_weighted": int(weighted.sum()),
        "groups_uniform": int(uniform.sum()),
        "zero_variance": _mean(realised == 0),
        "zero_variance_weighted": _mean(realised[weighted] == 0),
        "zero_variance_uniform": _mean(realised[uniform] == 0),
        "realised_variance": _mean(realised),
        "predicted_ovs": None if predicted is None else _mean(predicted),
        "ovs_correlation": None if predicted is None else _correlation(predicted, realised),
    } | _curve(predicted, realised)


def _curve(predicted: Floats | None, realised: Floats) -> dict[str, Any]:
    curve: dict[str, Any] = {}
    for number in range(CURVE_BINS):
        inside = np.zeros(len(realised), bool)
        if predicted is not None:
            bins = np.minimum(predicted * 4 * CURVE_BINS, CURVE_BINS - 1).astype(np.int64)
            inside = bins == number
        curve[f"curve_{number}_predicted"] = None if predicted is None else _mean(predicted[inside])
        curve[f"curve_{number}_realised"] = None if predicted is None else _mean(realised[inside])
        curve[f"curve_{number}_groups"] = None if predicted is None else int(inside.sum())
    return curve


def _of_weights(vps: Floats | None) -> dict[str, Any]:
    if vps is None:
        return {"effective_sample_size": None, "effective_share": None}
    weight = weights(vps)
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    return {"effective_sample_size": effective, "effective_share": effective / len(vps)}


def _mean(values: NDArray[Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _correlation(a: Floats, b: Floats) -> float | None:
    """Pearson's correlation; None if either side is constant."""
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else None
