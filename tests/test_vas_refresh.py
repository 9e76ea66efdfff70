"""Which scores are worth renewing."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy.stats import beta

from mmr1.plumbing.errors import UserError
from mmr1.vas.refreshes.stale import Settings, pass_rate_deviation, select


@pytest.mark.parametrize(("passes", "n", "age"), [(0, 8, 0), (4, 8, 0), (3, 8, 28), (30, 32, 14), (1, 1, 100)])
def test_the_deviation_is_the_posteriors(passes: int, n: int, age: int) -> None:
    """Against scipy's Beta posterior with faded counts."""
    weight = 0.5 ** (age / 28)
    posterior = beta(1 + weight * passes, 1 + weight * (n - passes))
    found = pass_rate_deviation(np.array([float(passes)]), np.array([n]), np.array([age]), half_life=28)
    assert found[0] == pytest.approx(posterior.std(), rel=1e-12)


def test_no_evidence_is_the_prior() -> None:
    assert pass_rate_deviation(np.zeros(1), np.zeros(1), np.zeros(1), 28)[0] == pytest.approx(12**-0.5)


def selected(
    n: list[int], rate: list[float], scored_at: list[int], step: int, share: float, half_life: float
) -> list[int]:
    scores = pa.table({"n": n, "pass_rate": rate, "scored_at": scored_at})
    return np.flatnonzero(select(Settings(share=share, half_life=half_life), scores, step)).tolist()


def test_what_is_drawn_most_is_renewed_before_what_was_all_wrong_until_that_is_old() -> None:
    def chosen(scored_at: list[int]) -> int:
        return selected([8, 8], [0.5, 0.0], scored_at, step=60, share=0.5, half_life=28)[0]

    assert chosen([60, 60]) == 0
    assert chosen([60, 0]) == 1


def test_old_and_thin_evidence_is_renewed_first() -> None:
    def chosen(share: float) -> list[int]:
        return selected([32, 32, 4, 32], [0.5] * 4, [28, 0, 28, 28], step=28, share=share, half_life=4)

    assert chosen(0.25) == [1], "the old one: its evidence has faded by seven half-lives"
    assert chosen(0.5) == [1, 2], "then the one with four responses"
    assert chosen(0.6) == [0, 1, 2], "the share is rounded up, and equals come in the set's order"
    assert chosen(1.0) == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.5}, {"half_life": 0.0}])
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)


def test_scores_from_after_the_step_are_refused() -> None:
    with pytest.raises(UserError, match="scored_at: expected at most step 3, found 5"):
        selected([8], [0.5], [5], step=3, share=0.5, half_life=4)
