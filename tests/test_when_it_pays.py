"""The model of when scores pay: pass rates that learn and drift, under the samplers as they are."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from mmr1.plumbing.files import read_json
from project import ROOT

sys.path.insert(0, str(ROOT / "performance"))

from when_it_pays import GROUP, KEPT, POINTS, Arm, World, predict, recipe_of, simulate, world_of

# Two hopeless kinds, one in the middle, one that is mastered.
STILL = World(((-8.0, -8.0), (0.0, 8.0)), spread=0.0, shared=0.0, own=0.0, sharpening=0.0, drift=0.0)
LEARNS = replace(STILL, shared=0.2)


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    kept: dict[str, Any] = read_json(KEPT)
    return kept


def test_without_learning_or_drift_uniform_draws_find_the_share_that_varies() -> None:
    found = simulate(STILL, Arm(steps=200), 0)
    rates = expit(np.array(STILL.level).ravel())
    assert np.mean(found.varying) == pytest.approx(np.mean(1 - rates**GROUP - (1 - rates) ** GROUP), abs=0.02)
    assert found.after == found.before == pytest.approx(rates.mean())


def test_scores_find_the_middle_and_speed_up_what_is_learned() -> None:
    scored = Arm(steps=30, mix=1.0, samples=8, update_every=30)
    vas, uniform = (simulate(LEARNS, arm, 0) for arm in (scored, Arm(steps=30)))
    assert np.mean(vas.varying) > 0.5 > 0.3 > np.mean(uniform.varying)
    assert vas.after > uniform.after > uniform.before


def test_equal_rollouts_are_those_for_scores_too() -> None:
    arm = Arm(steps=40, mix=0.5, samples=8, update_every=20, pool=480)
    assert (arm.score_rollouts, arm.cost) == (2 * 480 * 8, 0.75)
    assert arm.at_equal_rollouts() == replace(arm, mix=0.0, steps=70)
    assert Arm(steps=40).cost == 0


def test_free_scores_win_and_dear_ones_lose() -> None:
    """Half of the groups are hopeless, a quarter vary: the same draws at a cost of .09 and of 1.5."""
    cheap, dear = Arm(steps=30, mix=1.0, update_every=30, pool=240), Arm(steps=30, mix=1.0, samples=16, update_every=10)
    assert cheap.cost < 0.1 < 1 < dear.cost
    assert predict(LEARNS, cheap, seeds=3)["points"] > 0 > predict(LEARNS, dear, seeds=3)["points"]


def test_samplers_that_observe_are_asked_as_in_training() -> None:
    found, uniform = (simulate(LEARNS, Arm(steps=30, sampler=name), 0) for name in ("mopps", "uniform"))
    assert np.mean(found.varying[-10:]) > 1.3 * np.mean(uniform.varying[-10:])


@pytest.mark.parametrize("point", POINTS)
def test_what_is_trained_is_what_was_predicted(point: str) -> None:
    """Pool, draws, scores, steps and learning rate; and a set that goes round all kinds evenly."""
    arm, recipe = POINTS[point], recipe_of(point, ROOT / "sft")
    assert recipe["data"]["digits"]["problems"] == arm.pool
    assert arm.pool % 24 == 0
    assert (recipe["vas"]["samples"], recipe["vas"]["mix"]) == (arm.samples, arm.mix)
    assert (recipe["vas"]["outcome_weight"], recipe["vas"]["diversity_weight"]) == (1, 0)
    assert recipe["schedule"] | {"steps": arm.steps, "update_every": arm.update_every} == recipe["schedule"]
    assert recipe["runs"]["uniform"]["schedule"]["steps"] == arm.at_equal_rollouts().steps
    assert recipe["grpo"]["learning_rate"] == arm.rate


def test_the_kept_predictions_are_the_models(kept: dict[str, Any]) -> None:
    """Simulated again with the rates that were fitted; the cheaper point."""
    point = min(POINTS, key=lambda name: POINTS[name].steps + POINTS[name].at_equal_rollouts().steps)
    again = predict(world_of(kept), POINTS[point])
    assert again == pytest.approx(kept["predicted"][point], abs=0.02)
