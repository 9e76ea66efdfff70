"""Paired differences: beside the textbook's interval, covering as often as they say, and seeded by name."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmr1.plumbing.errors import UserError
from mmr1.report.bootstrap import Difference, Paired, difference, paired

BOTH, FIRST, SECOND, NEITHER = (True, True), (True, False), (False, True), (False, False)


def verdicts(*pairs: tuple[tuple[bool, bool], int]) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """The verdicts of two subjects on problems of four kinds, so many of each."""
    kinds = [pair for pair, count in pairs for _ in range(count)]
    return tuple([(f"p{i}", pair[side]) for i, pair in enumerate(kinds)] for side in (0, 1))  # type: ignore[return-value]


def of_one_seed(*pairs: tuple[tuple[bool, bool], int]) -> Difference:
    first, second = verdicts(*pairs)
    table = paired({0: first}, {0: second})
    assert table is not None
    return difference({"digits": table})


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 120), st.integers(0, 120), st.integers(100, 400))
def test_a_single_seed_has_the_interval_for_paired_shares(first: int, second: int, same: int) -> None:
    """Bonett and Price (2012): Wald's interval with one more pair that differs in each direction."""
    found = of_one_seed((FIRST, first), (SECOND, second), (BOTH, same))
    n = first + second + same
    b, c = (first + 1) / (n + 2), (second + 1) / (n + 2)
    half = 1.96 * np.sqrt((b + c - (b - c) ** 2) / (n + 2))
    assert found.mean == pytest.approx((first - second) / n)
    assert [found.low, found.high] == pytest.approx([b - c - half, b - c + half], abs=0.008 + 0.05 * half)
    assert (found.seeds, found.problems, found.differing) == (1, n, first + second)
    assert not found.over_seeds


def test_subjects_that_never_differ_are_not_known_to_be_equal() -> None:
    """Of 100 problems none differed: up to 3% might (the rule of three)."""
    found = of_one_seed((BOTH, 60), (NEITHER, 40))
    assert (found.mean, found.differing, found.shown) == (0, 0, False)
    assert found.high == pytest.approx(0.03, abs=0.01)
    assert found.low == pytest.approx(-0.03, abs=0.01)


def test_five_problems_to_none_show_nothing_and_twelve_do() -> None:
    """As McNemar's exact test has it: p is .06 and .0005."""
    assert not of_one_seed((FIRST, 5), (BOTH, 495)).shown
    assert of_one_seed((FIRST, 12), (BOTH, 488)).shown


def simulated(random: np.random.Generator, seeds: int, problems: int, of_seeds: float) -> Paired:
    """Verdicts of two runs whose true difference is 2 points, with a deviation over seeds and one over problems."""
    rate = random.beta(0.7, 0.7, problems)
    shift = random.normal(0.02, of_seeds, (seeds, 1))
    first = random.random((seeds, problems)) < np.clip(rate + shift, 0, 1)
    second = random.random((seeds, problems)) < rate
    return Paired(tuple(range(seeds)), first.astype(float) - second, np.ones(problems))


@pytest.mark.parametrize(("seeds", "of_seeds", "least"), [(1, 0.0, 0.92), (4, 0.06, 0.89), (8, 0.06, 0.92)])
def test_the_interval_holds_the_truth_as_often_as_it_says(
    seeds: int, of_seeds: float, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About 95% of the time; a little less with four seeds, whose spread nobody can know well."""
    monkeypatch.setattr("mmr1.report.bootstrap.RESAMPLES", 1000)
    random = np.random.default_rng(7)
    truth = np.mean([simulated(random, 200, 2000, of_seeds).values.mean() for _ in range(10)])
    held = []
    for _ in range(600):
        found = difference({"made": simulated(random, seeds, 120, of_seeds)})
        held.append(found.low <= truth <= found.high)
    assert least <= np.mean(held) <= 0.985


def test_where_only_chance_differs_the_interval_is_at_most_half_as_long_again() -> None:
    """Its variance counts chance twice: √2 times the length, on average over what was drawn."""
    random = np.random.default_rng(3)
    lengths = []
    for _ in range(20):
        values = random.choice([-1.0, 0.0, 1.0], size=(8, 400))
        found = difference({"made": Paired(tuple(range(8)), values, np.ones(400))})
        lengths.append((found.high - found.low) / (2 * 1.96 * np.sqrt(2 / 3 / values.size)))
    assert np.mean(lengths) == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_spread_of_seeds_widens_the_interval() -> None:
    """Ten points up under one seed, ten down under the other: one seed alone would be sure of either."""
    up, down = verdicts((FIRST, 20), (BOTH, 180)), verdicts((SECOND, 20), (BOTH, 180))
    table = paired({0: up[0], 1: down[0]}, {0: up[1], 1: down[1]})
    alone = paired({0: up[0]}, {0: up[1]})
    assert table is not None
    assert alone is not None
    assert difference({"d": alone}).low > 0.05
    both = difference({"d": table})
    assert both.over_seeds
    assert both.mean == 0
    assert both.low < -0.1 < 0.1 < both.high


def test_seeds_that_agree_are_no_more_certain_than_one() -> None:
    first, second = verdicts((FIRST, 30), (SECOND, 10), (BOTH, 160))
    one, three = (dict.fromkeys(range(n), answers) for n, answers in ((1, first), (3, first)))
    tables = [paired(runs, dict.fromkeys(range(3), second)) for runs in (one, three)]
    alone, together = (difference({"d": table}) for table in tables if table is not None)
    assert (alone.low, alone.high) == pytest.approx((together.low, together.high), abs=1e-12)


def test_each_benchmark_counts_the_same_in_the_mean() -> None:
    small, large = verdicts((FIRST, 5), (BOTH, 5)), verdicts((SECOND, 50), (BOTH, 950))
    tables = {name: paired({0: pair[0]}, {0: pair[1]}) for name, pair in (("small", small), ("large", large))}
    found = difference({name: table for name, table in tables.items() if table is not None})
    assert found.mean == pytest.approx((0.5 - 0.05) / 2)
    assert found.problems == 1010


def test_versions_of_a_problem_are_resampled_together() -> None:
    """Six versions of each of 40 problems, solved alike: as unsure as 40 problems are."""
    kinds = [(FIRST, 10), (BOTH, 30)]
    problems, answers = verdicts(*kinds), [verdicts(*kinds) for _ in range(6)]
    versions = [
        [(f"{item}-{i}", right) for i, pair in enumerate(answers) for item, right in pair[side]] for side in (0, 1)
    ]
    single = paired({0: problems[0]}, {0: problems[1]})
    several = paired({0: versions[0]}, {0: versions[1]}, cluster=lambda item: item.split("-")[0])
    assert single is not None
    assert several is not None
    assert several.items.tolist() == [6.0] * 40
    one, six = difference({"d": single}), difference({"d": several})
    assert (six.mean, six.low, six.high) == pytest.approx((one.mean, one.low, one.high))


def test_several_responses_to_an_item_are_their_mean() -> None:
    table = paired({0: [("a", True), ("a", False), ("b", True)]}, {0: [("a", False), ("b", False), ("b", False)]})
    assert table is not None
    assert table.values.tolist() == [[0.5, 1.0]]


def test_what_has_no_seeds_stands_against_every_seed() -> None:
    sft, run = verdicts((SECOND, 3), (BOTH, 7))
    table = paired({0: run, 5: run}, {None: sft})
    assert table is not None
    assert table.seeds == (0, 5)
    assert difference({"d": table}).mean == pytest.approx(0.3)


def test_seeds_are_paired_by_their_number() -> None:
    first, second = verdicts((FIRST, 3), (BOTH, 7))
    table = paired({0: second, 1: first, 2: first}, {1: second, 2: second, 3: first})
    assert table is not None
    assert table.seeds == (1, 2)
    assert table.values.sum(axis=1).tolist() == [3, 3]
    assert paired({0: first}, {1: second}) is None
    with pytest.raises(UserError, match=r"^a, b: expected verdicts of one seed on every benchmark, found none$"):
        difference({"a": Paired((0,), np.zeros((1, 3)), np.ones(3)), "b": Paired((1,), np.zeros((1, 3)), np.ones(3))})


def test_other_items_are_told_in_one_line() -> None:
    first, second = verdicts((FIRST, 3), (BOTH, 7))
    with pytest.raises(UserError, match=r"^digits: item p9: expected a verdict on it for both subjects and every seed"):
        paired({0: first}, {0: second[:-1]}, name="digits")


def test_the_same_verdicts_give_the_same_interval_in_any_order() -> None:
    tables = [simulated(np.random.default_rng(seed), 3, 50, 0.05) for seed in (0, 1)]
    found = {
        difference(dict(sorted({"a": tables[0], "b": tables[1]}.items(), reverse=reverse)))
        for reverse, _ in product((False, True), range(2))
    }
    assert len(found) == 1
