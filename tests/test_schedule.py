"""The schedule as Algorithm 1 draws it: shares, distributions, purity, and what is refused."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.vas.samplers import make_sampler
from mmr1.vas.samplers.vas import weighted_slots
from mmr1.vas.schedule import draw_schedule
from mmr1.vas.settings import DrawSettings

IDS = [f"p{i}" for i in range(60)]
VPS = np.linspace(0, 0.36, 60)  # p0 has weight 0
OVS = np.linspace(0, 0.25, 60)


def settings(mix: float = 0.5, batch: int = 20, **more: object) -> DrawSettings:
    return DrawSettings.model_validate({"mix": mix, "batch_size": batch, **more})


def draw(mix: float = 0.5, batch: int = 20, first: int = 0, steps: int = 5, seed: int = 1, **more: object) -> pa.Table:
    return drawn(settings(mix, batch, **more), range(first, first + steps), seed, VPS)


def drawn(chosen: DrawSettings, steps: range, seed: int = 1, vps: np.ndarray | None = None) -> pa.Table:
    scores = None if vps is None else pa.table({"ovs": OVS, "vps": vps})
    return draw_schedule(make_sampler(chosen, IDS, seed, scores), IDS, steps)


def counts(schedule: pa.Table, origin: str) -> np.ndarray:
    chosen = schedule.filter(pa.array(schedule["origin"].to_numpy() == origin))["problem_id"].to_pylist()
    return np.array([chosen.count(name) for name in IDS])


@pytest.mark.parametrize(
    ("mix", "batch", "weighted"),
    [
        (0.29, 100, 29),
        (0.57, 100, 57),
        (0.5, 5, 2),
        (0, 10, 0),
        (1, 10, 10),
        (1.0, 10, 10),
        (1e-1, 10, 1),
        (1e-5, 100_000, 1),
    ],
)
def test_the_weighted_part_is_the_floor_in_decimals(mix: float, batch: int, weighted: int) -> None:
    """In floats 0.29 · 100 is 28.999…, whose floor would be 28."""
    assert weighted_slots(settings(mix, batch)) == weighted


def test_every_step_has_its_slots_in_order_and_its_shares() -> None:
    schedule = draw(first=7, steps=3, mix=0.3)
    assert schedule["step"].to_pylist() == [7] * 20 + [8] * 20 + [9] * 20
    assert schedule["slot"].to_pylist() == [*range(20)] * 3
    for step in (7, 8, 9):
        origins = [row["origin"] for row in schedule.to_pylist() if row["step"] == step]
        assert origins.count("weighted") == 6
        assert origins != sorted(origins, reverse=True), "weighted and uniform slots are shuffled"


def test_weighted_draws_follow_vps_and_uniform_ones_do_not() -> None:
    schedule = draw(batch=60, steps=400)
    weighted, uniform = counts(schedule, "weighted"), counts(schedule, "uniform")
    assert weighted[0] == 0
    assert chisquare(weighted[1:], (VPS / VPS.sum() * weighted.sum())[1:]).pvalue > 0.001
    assert chisquare(uniform).pvalue > 0.001
    assert chisquare(weighted[1:]).pvalue < 1e-9


def test_each_row_says_how_it_was_weighted() -> None:
    for row in draw().to_pylist():
        index = IDS.index(row["problem_id"])
        assert row["weight"] == pytest.approx(VPS[index] / VPS.sum())
        assert row["ovs"] == OVS[index]


def test_without_mix_no_scores_are_needed_and_none_are_shown() -> None:
    schedule = drawn(settings(0), range(2))
    assert set(schedule["origin"].to_pylist()) == {"uniform"}
    assert schedule["ovs"].null_count == schedule["weight"].null_count == 40


@pytest.mark.parametrize(
    "more", [{}, {"draws": "permutation"}, {"queue_factor": 3}, {"draws": "permutation", "queue_factor": 2}]
)
def test_two_rounds_are_one_of_twice_the_length_byte_for_byte(tmp_path: Path, more: dict[str, object]) -> None:
    whole = draw(steps=70, batch=32, **more)
    halves = pa.concat_tables([draw(steps=35, batch=32, **more), draw(first=35, steps=35, batch=32, **more)])
    contracts.write(tmp_path / "whole.parquet", whole, contracts.SCHEDULE)
    contracts.write(tmp_path / "halves.parquet", halves.combine_chunks(), contracts.SCHEDULE)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "halves.parquet").read_bytes()


def test_the_draws_are_these_on_every_machine() -> None:
    """A change here means that schedules drawn before can no longer be drawn again."""
    rows = [draw(steps=3).to_pylist(), draw(steps=3, draws="permutation").to_pylist(), draw(queue_factor=2).to_pylist()]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] == "4861db9916107537"


def test_the_uniform_sampler_draws_what_mix_0_draws() -> None:
    for more in ({}, {"draws": "permutation"}, {"queue_factor": 3}):
        assert drawn(settings(0.5, sampler="uniform", **more), range(3)).equals(drawn(settings(0, **more), range(3)))


def test_seeds_and_steps_draw_differently() -> None:
    columns = [
        draw(steps=1, seed=seed, first=first)["problem_id"].to_pylist() for seed, first in [(1, 0), (2, 0), (1, 1)]
    ]
    assert columns[0] != columns[1]
    assert columns[0] != columns[2]


def test_a_permutation_shows_every_problem_once_before_any_again() -> None:
    """60 problems, 10 uniform slots a step: a pass takes 6 steps, over the border between rounds too."""
    rounds = [draw(draws="permutation", first=first, steps=4) for first in (0, 4, 8)]
    schedule = pa.concat_tables(rounds)
    for first in (0, 6):
        part = schedule.filter(
            pa.array((schedule["step"].to_numpy() >= first) & (schedule["step"].to_numpy() < first + 6))
        )
        assert counts(part, "uniform").tolist() == [1] * 60
    orders = [
        [row["problem_id"] for row in schedule.to_pylist() if row["origin"] == "uniform" and row["step"] in steps]
        for steps in (range(6), range(6, 12))
    ]
    assert orders[0] != orders[1], "each pass has its own order"


def test_a_pass_of_the_permutation_may_end_inside_a_step() -> None:
    schedule = draw(draws="permutation", mix=0, batch=50, steps=6)  # 300 slots, 5 passes
    assert counts(schedule, "uniform").tolist() == [5] * 60


def test_a_longer_schedule_begins_with_the_plain_one() -> None:
    plain, longer = draw(), draw(queue_factor=3)
    assert len(longer) == 3 * len(plain)
    head = longer.filter(pa.array(longer["slot"].to_numpy() < 20))
    assert head.to_pylist() == plain.to_pylist()
    second = [row["origin"] for row in longer.to_pylist() if row["step"] == 0 and 20 <= row["slot"] < 40]
    assert second.count("weighted") == 10


def test_all_zero_weights_are_uniform() -> None:
    schedule = drawn(settings(1, 60), range(100), vps=np.zeros(60))
    assert chisquare(counts(schedule, "weighted")).pvalue > 0.001
    assert set(schedule["weight"].to_pylist()) == {1 / 60}


def test_one_problem_with_all_the_weight_is_always_drawn() -> None:
    schedule = drawn(settings(1, 60), range(5), vps=np.eye(60)[17] * 5e-324)
    assert set(schedule["problem_id"].to_pylist()) == {"p17"}


@pytest.mark.parametrize("mix", [1.01, -0.1, "half", float("nan"), float("inf"), ""])
def test_a_mix_outside_0_to_1_is_refused(mix: float) -> None:
    with pytest.raises(ValidationError, match="mix"):
        settings(mix)


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(UserError, match="expected at most the 60 problems of the set, found 61"):
        draw(batch=61)


def test_weighted_draws_without_scores_are_refused() -> None:
    with pytest.raises(UserError, match="expected scores"):
        drawn(settings(), range(1))


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"queue_factor": 0}, {"draws": "sorted"}])
def test_other_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        settings(**wrong)  # type: ignore[arg-type]
