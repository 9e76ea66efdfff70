"""What a round's scores promised against what its training found."""

import numpy as np
import pyarrow as pa
import pytest

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.vas.calibration import calibrate
from mmr1.vas.history import REWARDS
from synthetic_rollouts import rewards_of


def schedule_of(*rows: tuple[int, int, str, str, float | None]) -> pa.Table:
    names = ("step", "slot", "problem_id", "origin", "ovs")
    entries = [dict(zip(names, row, strict=True)) | {"weight": None if row[4] is None else 0.1} for row in rows]
    return pa.Table.from_pylist(entries, schema=contracts.SCHEDULE)


def rewards_table(*groups: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist([row for group in groups for row in group], schema=contracts.TRAINING_REWARDS).select(
        REWARDS.names
    )


SCHEDULE = schedule_of(
    (4, 0, "a", "weighted", 0.25),
    (4, 1, "b", "weighted", 0.16),
    (4, 2, "c", "uniform", 0.0),
    (4, 3, "d", "uniform", 0.04),
    (5, 0, "a", "weighted", 0.25),
    (5, 1, "e", "uniform", 0.0),
)
GROUPS = rewards_table(
    rewards_of("a", "1100", step=4, slot=0),
    rewards_of("b", "1000", step=4, slot=1),
    rewards_of("c", "1111", step=4, slot=2),
    rewards_of("d", "0000", step=4, slot=3),
    rewards_of("a", "1110", step=5, slot=0),
    rewards_of("e", "0000", step=5, slot=1),
    rewards_of("z", "10", step=3, slot=0),  # an earlier round
)
VPS = np.array([4.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])


def test_a_step_is_measured_by_origin() -> None:
    first, second = calibrate(SCHEDULE, GROUPS, VPS, size=8)
    assert (first["step"], first["groups"], first["groups_weighted"], first["groups_uniform"]) == (4, 4, 2, 2)
    assert (first["zero_variance"], first["zero_variance_weighted"], first["zero_variance_uniform"]) == (0.5, 0, 1)
    assert (second["zero_variance"], second["zero_variance_weighted"], second["zero_variance_uniform"]) == (0.5, 0, 1)


def test_predictions_are_held_against_the_groups() -> None:
    first, _ = calibrate(SCHEDULE, GROUPS, VPS, size=8)
    predicted, realised = [0.25, 0.16, 0.0, 0.04], [0.25, 0.1875, 0.0, 0.0]
    assert first["predicted_ovs"] == pytest.approx(np.mean(predicted))
    assert first["realised_variance"] == pytest.approx(np.mean(realised))
    assert first["ovs_correlation"] == pytest.approx(np.corrcoef(predicted, realised)[0, 1])
    curve = [
        (first[f"curve_{k}_groups"], first[f"curve_{k}_predicted"], first[f"curve_{k}_realised"]) for k in range(5)
    ]
    assert curve == [(2, 0.02, 0.0), (0, None, None), (0, None, None), (1, 0.16, 0.1875), (1, 0.25, 0.25)]


def test_weights_and_coverage() -> None:
    first, second = calibrate(SCHEDULE, GROUPS, VPS, size=8)
    assert first["effective_sample_size"] == pytest.approx(64 / 22)
    assert first["effective_share"] == pytest.approx(8 / 22)
    assert (first["coverage"], second["coverage"]) == (5 / 8, 6 / 8), "z, of an earlier round, counts"


def test_equal_weights_are_worth_the_whole_set() -> None:
    first, _ = calibrate(SCHEDULE, GROUPS, np.ones(8), size=8)
    assert first["effective_sample_size"] == pytest.approx(8)


def test_without_scores_what_needs_them_is_null() -> None:
    plain = schedule_of((0, 0, "a", "uniform", None), (0, 1, "b", "uniform", None))
    groups = rewards_table(rewards_of("a", "10", step=0, slot=0), rewards_of("b", "11", step=0, slot=1))
    (metrics,) = calibrate(plain, groups, None, size=4)
    assert metrics["zero_variance_uniform"] == 0.5
    assert metrics["coverage"] == 0.5
    for name in (
        "predicted_ovs",
        "ovs_correlation",
        "zero_variance_weighted",
        "effective_sample_size",
        "curve_0_groups",
    ):
        assert metrics[name] is None


def test_a_sampler_of_its_own_origin_is_neither_weighted_nor_uniform_and_its_predictions_count() -> None:
    schedule = schedule_of((0, 0, "a", "mopps", 0.2), (0, 1, "b", "mopps", 0.1))
    groups = rewards_table(rewards_of("a", "10", step=0, slot=0), rewards_of("b", "11", step=0, slot=1))
    (metrics,) = calibrate(schedule, groups, None, size=4)
    assert (metrics["groups"], metrics["groups_weighted"], metrics["groups_uniform"]) == (2, 0, 0)
    assert (metrics["zero_variance"], metrics["zero_variance_uniform"]) == (0.5, None)
    assert metrics["predicted_ovs"] == pytest.approx(0.15)
    assert metrics["ovs_correlation"] == pytest.approx(1)
    assert metrics["effective_sample_size"] is None


def test_a_constant_side_has_no_correlation() -> None:
    same = schedule_of((0, 0, "a", "weighted", 0.2), (0, 1, "b", "weighted", 0.2))
    groups = rewards_table(rewards_of("a", "10", step=0, slot=0), rewards_of("b", "11", step=0, slot=1))
    assert calibrate(same, groups, np.ones(2), size=2)[0]["ovs_correlation"] is None


def test_entries_of_a_longer_schedule_that_were_not_used_count_nothing() -> None:
    groups = rewards_table(rewards_of("a", "10", step=0, slot=0))
    longer = schedule_of((0, 0, "a", "weighted", 0.2), (0, 1, "b", "weighted", 0.1))
    (metrics,) = calibrate(longer, groups, np.ones(2), size=2)
    assert (metrics["groups"], metrics["coverage"], metrics["predicted_ovs"]) == (1, 0.5, 0.2)


def test_rewards_that_do_not_fit_the_schedule_are_refused() -> None:
    schedule = schedule_of((0, 0, "a", "weighted", 0.2))
    for groups, message in [
        (rewards_of("b", "10", step=0, slot=0), "slot 0: the schedule has problem 'a', the rewards 'b'"),
        (rewards_of("a", "10", step=0, slot=7), "slot 7 has rewards but does not stand in the schedule"),
        (rewards_of("a", "10", step=1, slot=0), "step 0: expected training rewards, found none"),
    ]:
        with pytest.raises(UserError, match=message):
            calibrate(schedule, rewards_table(groups), np.ones(1), size=1)
