"""The digits recipe has a frontier: its spread of pass rates after SFT, and what uniform steps gain, as measured.

The verdicts were made by `make demo`, and on a seed of their own when the recipe was tuned, and kept by
performance/frontier.py; these tests compute from them again.
"""

import sys
from typing import Any

import pytest

from mmr1.plumbing.files import read_json
from mmr1.recipe import read_recipe
from project import ROOT

sys.path.insert(0, str(ROOT / "performance"))

from frontier import KEPT, RECIPE, SETTINGS, by_count, by_task, spread, table


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The demo's numbers: a seed and problems that nothing was tuned on."""
    kept: dict[str, Any] = read_json(KEPT)["demo"]
    return kept


@pytest.fixture(scope="module")
def tuning() -> dict[str, Any]:
    """Those of seed 100 and its validation problems."""
    tuning: dict[str, Any] = read_json(KEPT)["tuning"]
    return tuning


def test_it_was_measured_with_the_recipe_as_it_is(kept: dict[str, Any]) -> None:
    """Who changes these sections runs `make demo` and `python performance/frontier.py --write`."""
    recipe = read_recipe(RECIPE)
    assert kept["settings"] == {name: recipe[name] for name in SETTINGS}


@pytest.mark.parametrize("where", ["demo", "tuning"])
def test_after_sft_problems_are_hopeless_or_mastered_and_some_are_between(where: str) -> None:
    kept = read_json(KEPT)[where]
    found = spread(kept["right"]["sft"], kept["n"])
    assert 0.30 <= found.varying <= 0.45
    assert found.hopeless >= 0.30
    assert found.mastered >= 0.20


@pytest.mark.parametrize("where", ["demo", "tuning"])
def test_the_frontier_runs_along_the_number_of_digits(where: str) -> None:
    """One digit is read, eight are not; in between it falls."""
    rates = by_count(read_json(KEPT)[where], "sft", "read")
    assert rates[0] > 0.8
    assert rates[7] < 0.2
    assert sum(rates[:2]) > sum(rates[3:5]) > sum(rates[6:])


def test_80_uniform_steps_gain_four_points_and_part_of_it_is_in_reading(tuning: dict[str, Any]) -> None:
    before, after = (spread(tuning["right"][one], tuning["n"]).mean for one in ("sft", "uniform-80"))
    assert after - before >= 0.04
    assert by_task(tuning, "uniform-80")["read"] > by_task(tuning, "sft")["read"]


def test_with_the_recipes_pool_too(tuning: dict[str, Any]) -> None:
    """A validation curve of 192 problems with four responses each."""
    (first, before), *_, (last, after) = tuning["curve"]
    assert (first, last) == (0, 80)
    assert after - before >= 0.04


def test_passes_cost_at_most_two_fifths_of_the_training_rollouts() -> None:
    recipe = read_recipe(RECIPE)
    schedule, problems = recipe["schedule"], recipe["data"]["digits"]["problems"]
    rounds = -(-schedule["steps"] // schedule["update_every"])
    training = schedule["steps"] * schedule["batch_size"] * recipe["grpo"]["group_size"]
    assert rounds * problems * recipe["vas"]["samples"] <= 0.4 * training


def test_the_page_shows_the_numbers_that_were_kept(kept: dict[str, Any]) -> None:
    assert table(kept) in (ROOT / "docs/design.md").read_text()


def test_the_shares_are_those_of_problems() -> None:
    """Of five problems with eight responses each: one hopeless, one mastered, three that vary."""
    found = spread([0, 8, 1, 4, 7], 8)
    assert (found.mean, found.varying, found.hopeless, found.mastered) == (0.5, 0.6, 0.2, 0.2)
