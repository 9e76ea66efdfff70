"""Which scores are worth renewing."""

import numpy as np
import pytest
from scipy.stats import beta

from mmr1.plumbing.errors import UserError
from mmr1.vas.refresh import pass_rate_deviation, select_stale


@pytest.mark.parametrize(("passes", "n", "age"), [(0, 8, 0), (4, 8, 0), (3, 8, 28), (30, 32, 14), (1, 1, 100)])
def test_the_deviation_is_the_posteriors(passes: int, n: int, age: int) -> None:
    """Against scipy's Beta posterior with faded counts."""
    weight = 0.5 ** (age / 28)
    posterior = beta(1 + weight * passes, 1 + weight * (n - passes))
    found = pass_rate_deviation(np.array([float(passes)]), np.array([n]), np.array([age]), half_life=28)
    assert found[0] == pytest.approx(posterior.std(), rel=1e-12)


def test_no_evidence_is_the_prior() -> None:
    assert pass_rate_deviation(np.zeros(1), np.zeros(1), np.zeros(1), 28)[0] == pytest.approx(12**-0.5)


def test_what_is_drawn_most_is_renewed_before_what_was_all_wrong_until_that_is_old() -> None:
    def chosen(scored_at: list[int]) -> int:
        found = select_stale(
            np.array([8, 8]), np.array([0.5, 0.0]), np.array(scored_at), step=60, share=0.5, half_life=28
        )
        return int(np.flatnonzero(found)[0])

    assert chosen([60, 60]) == 0
    assert chosen([60, 0]) == 1


def test_old_and_thin_evidence_is_renewed_first() -> None:
    n, rate, scored_at = np.array([32, 32, 4, 32]), np.full(4, 0.5), np.array([28, 0, 28, 28])

    def chosen(share: float) -> list[int]:
        return np.flatnonzero(select_stale(n, rate, scored_at, step=28, share=share, half_life=4)).tolist()

    assert chosen(0.25) == [1], "the old one: its evidence has faded by seven half-lives"
    assert chosen(0.5) == [1, 2], "then the one with four responses"
    assert chosen(0.6) == [0, 1, 2], "the share is rounded up, and equals come in the set's order"
    assert chosen(1.0) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 0.0}, r"share: expected a number in \(0, 1\]"),
        ({"half_life": 0.0}, "half_life: expected a positive number"),
        ({"step": 3}, "scored_at: expected at most step 3, found 5"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    options = {"step": 10, "share": 0.5, "half_life": 4.0} | wrong
    with pytest.raises(UserError, match=message):
        select_stale(np.array([8]), np.array([0.5]), np.array([5]), **options)  # type: ignore[arg-type]
