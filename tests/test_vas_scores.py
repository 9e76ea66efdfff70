"""OVS, VPS and the options of a score table."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import binom

from mmr1.plumbing.errors import UserError
from mmr1.vas.scores import Tally, beta_ovs, min_max, plain_ovs, score_table
from mmr1.vas.settings import ScoreSettings


def formula(**settings: object) -> ScoreSettings:
    return ScoreSettings.model_validate(settings)


def tally_of(passes: list[int], n: int = 4, diversity: float = 0.5, scored_at: int = 0) -> Tally:
    tally = Tally([f"p{i}" for i in range(len(passes))])
    count = len(passes)
    tally.add(
        np.arange(count),
        np.full(count, n),
        np.array(passes, float),
        np.full(count, diversity),
        np.full(count, scored_at),
    )
    return tally


def test_vps_is_the_weighted_sum() -> None:
    table = score_table(tally_of([0, 1, 2, 4]), formula(outcome_weight=0.5, diversity_weight=0.25))
    assert table["pass_rate"].to_pylist() == [0, 0.25, 0.5, 1]
    assert table["ovs"].to_pylist() == [0, 0.1875, 0.25, 0]
    assert table["vps"].to_pylist() == [0.125, 0.21875, 0.25, 0.125]


def test_the_papers_weights_are_the_default() -> None:
    assert score_table(tally_of([2]), formula())["vps"].to_pylist() == pytest.approx([0.8 * 0.25 + 0.2 * 0.5])


@given(n=st.integers(1, 40), p=st.integers(0, 1000).map(lambda thousandths: thousandths / 1000))
def test_the_bias_of_both_estimates_is_what_their_docstrings_say(n: int, p: float) -> None:
    passes = np.arange(n + 1)
    chance = binom.pmf(passes, n, p)
    variance = p * (1 - p)
    plain = float(chance @ plain_ovs(passes.astype(float), np.full(n + 1, n))) - variance
    beta = float(chance @ beta_ovs(passes.astype(float), np.full(n + 1, n))) - variance
    assert plain == pytest.approx(-variance / n, abs=1e-12)
    assert beta == pytest.approx((n + 1) * (1 - 6 * variance) / ((n + 2) * (n + 3)), abs=1e-12)


def test_one_response_says_nothing_of_variance_unless_there_is_a_prior() -> None:
    assert score_table(tally_of([0, 1], n=1), formula())["ovs"].to_pylist() == [0, 0]
    assert score_table(tally_of([0, 1], n=1), formula(ovs_estimate="beta"))["ovs"].to_pylist() == [1 / 6, 1 / 6]


def test_groups_of_one_problem_are_pooled_and_their_diversity_is_averaged() -> None:
    tally = Tally(["a"])
    tally.add(np.array([0, 0]), np.array([8, 8]), np.array([8.0, 0.0]), np.array([0.2, 0.6]), np.array([3, 9]))
    row = score_table(tally, formula()).to_pylist()[0]
    assert (row["n"], row["pass_rate"], row["ovs"], row["scored_at"]) == (16, 0.5, 0.25, 9)
    assert row["tds"] == pytest.approx(0.4)


def test_untouched_problems_keep_their_scores_and_their_age() -> None:
    previous = score_table(tally_of([1, 2, 3], scored_at=0), formula())
    tally = Tally(["p0", "p1", "p2"])
    tally.add(np.array([1]), np.array([8]), np.array([8.0]), np.array([0.9]), 35)
    table = score_table(tally, formula(), previous)
    assert table["scored_at"].to_pylist() == [0, 35, 0]
    assert table["n"].to_pylist() == [4, 8, 4]
    for index in (0, 2):
        assert table.slice(index, 1).to_pylist() == previous.slice(index, 1).to_pylist()
    assert table["vps"][1].as_py() == pytest.approx(0.2 * 0.9)


def test_previous_scores_are_combined_anew_without_rollouts() -> None:
    previous = score_table(tally_of([0, 2]), formula())
    table = score_table(Tally(["p0", "p1"]), formula(outcome_weight=1, diversity_weight=0), previous)
    assert table["vps"].to_pylist() == [0, 0.25]


def test_min_max_as_released() -> None:
    table = score_table(tally_of([0, 1, 2]), formula(minmax=True))
    assert table["vps"].to_pylist() == pytest.approx([0, 0.75, 1])
    assert min_max(np.full(3, 0.7)).tolist() == [0, 0, 0]


def test_momentum_as_released_keeps_the_old_part() -> None:
    kept = formula(outcome_weight=1, diversity_weight=0, momentum=0.75)
    first = score_table(tally_of([2, 0]), kept)
    assert first["vps"].to_pylist() == [0.25, 0], "there is nothing old yet"
    second = score_table(tally_of([0, 2]), kept, first)
    assert second["vps"].to_pylist() == [0.1875, 0.0625]
    frozen = score_table(tally_of([0, 2]), formula(outcome_weight=1, diversity_weight=0, momentum=1), first)
    assert frozen["vps"].to_pylist() == first["vps"].to_pylist()


def test_a_problem_without_any_score_is_refused() -> None:
    tally = Tally(["a", "b"])
    tally.add(np.array([0]), np.array([4]), np.array([1.0]), np.array([0.5]), 0)
    with pytest.raises(UserError, match="1 of 2 problems have no rollouts, first 'b'"):
        score_table(tally, formula())


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome_weight": -0.1},
        {"diversity_weight": float("nan")},
        {"momentum": 1.5},
        {"ovs_estimate": "bayes"},
        {"diversity": "entropy"},
    ],
)
def test_a_formula_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        formula(**wrong)


def test_scores_have_the_contracts_types() -> None:
    table = score_table(tally_of([1]), formula())
    assert table.schema.field("n").type == table.schema.field("scored_at").type == pa.int32()
