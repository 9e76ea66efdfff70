"""Diversities against nltk and a plain edit distance, and the edge cases that the docstrings decide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics.distance import edit_distance
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from mmr1.plugins import load, names
from mmr1.plumbing.errors import UserError
from mmr1.vas.bleu import self_bleu_123
from synthetic_rollouts import Group, flat

# Few tokens, so that n-grams repeat within and across responses; now and then the largest and smallest int32.
TOKEN = st.one_of(st.integers(0, 3), st.sampled_from([2**31 - 1, -(2**31)]))
RESPONSE = st.lists(TOKEN, max_size=12)
GROUPS = st.lists(st.lists(RESPONSE, min_size=2, max_size=6), min_size=1, max_size=4)


def diversity(name: str, groups: list[Group], threads: int = 1, **own: object) -> np.ndarray:
    module = load("vas/diversities", name)
    options = (module.Settings(**own),) if hasattr(module, "Settings") else ()
    return module.diversity(*flat(groups), threads, *options)


def nltk_self_bleu(group: Group) -> list[float]:
    smoothing = SmoothingFunction().method1
    return [
        sentence_bleu(group[:i] + group[i + 1 :], response, weights=(1 / 3,) * 3, smoothing_function=smoothing)
        for i, response in enumerate(group)
    ]


def one(name: str, group: Group) -> float:
    return float(diversity(name, [group])[0])


@settings(max_examples=300, deadline=None)
@given(GROUPS)
def test_self_bleu_is_nltks(groups: list[Group]) -> None:
    expected = [bleu for group in groups for bleu in nltk_self_bleu(group)]
    np.testing.assert_allclose(self_bleu_123(*flat(groups)), expected, rtol=0, atol=1e-12)


def test_self_bleu_is_nltks_on_long_responses() -> None:
    draw = np.random.default_rng(3)
    group = [np.minimum(draw.zipf(1.3, draw.integers(100, 200)), 150_000).tolist() for _ in range(8)]
    np.testing.assert_allclose(self_bleu_123(*flat([group])), nltk_self_bleu(group), rtol=0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(GROUPS)
def test_threads_and_neighbouring_groups_change_no_bit(groups: list[Group]) -> None:
    for name in ("inverse_self_bleu_123", "distinct_2"):
        together = diversity(name, groups, threads=3)
        assert together.tolist() == [one(name, group) for group in groups]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=12), min_size=2, max_size=6))
def test_the_default_is_one_minus_the_released_similarity(group: Group) -> None:
    """For responses of three tokens and more there is no other difference."""
    assert one("inverse_self_bleu_123", group) == pytest.approx(1 - one("self_bleu_123", group), abs=1e-12)
    assert one("self_bleu_123", group) == pytest.approx(np.mean(nltk_self_bleu(group)), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(GROUPS, st.integers(1, 14))
def test_the_released_similarity_of_padded_responses_is_nltks_of_lists_with_the_padding(
    groups: list[Group], length: int
) -> None:
    padded = [[response + [-1] * (length - len(response)) for response in group] for group in groups]
    expected = [np.mean(nltk_self_bleu(group)) for group in padded]
    found = diversity("padded_self_bleu_123", groups, length=length)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_padding_measures_how_short_responses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not whether they say the same; however few groups are padded at once."""
    draw = np.random.default_rng(0)
    groups = [[draw.integers(0, 10**6, tokens).tolist() for _ in range(4)] for tokens in (100, 1000, 3000)]
    whole = diversity("padded_self_bleu_123", groups, length=4096)
    assert whole.tolist() == pytest.approx([0.98, 0.76, 0.27], abs=0.01)
    assert diversity("self_bleu_123", groups).max() < 0.01
    monkeypatch.setattr(load("vas/diversities", "padded_self_bleu_123"), "MOST_TOKENS", 1)
    assert diversity("padded_self_bleu_123", groups, length=4096).tolist() == whole.tolist()


@settings(max_examples=100, deadline=None)
@given(GROUPS)
def test_distinct_n_counts_different_n_grams(groups: list[Group]) -> None:
    for order in (1, 2, 3):
        expected = []
        for group in groups:
            grams = [tuple(response[i : i + order]) for response in group for i in range(len(response) - order + 1)]
            expected.append(len(set(grams)) / len(grams) if grams else 0.0)
        assert diversity(f"distinct_{order}", groups).tolist() == pytest.approx(expected, abs=1e-15)


@settings(max_examples=100, deadline=None)
@given(GROUPS)
def test_pairwise_edit_is_the_mean_squared_normalised_distance(groups: list[Group]) -> None:
    expected = []
    for group in groups:
        pairs = [(a, b) for i, a in enumerate(group) for b in group[:i]]
        distances = [edit_distance(a, b) / max(len(a), len(b), 1) for a, b in pairs]
        expected.append(np.mean(np.square(distances)))
    assert diversity("pairwise_edit", groups).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", names("vas/diversities"))
@settings(max_examples=50, deadline=None)
@given(group=st.lists(RESPONSE, min_size=1, max_size=5), data=st.data())
def test_in_range_and_the_order_of_responses_does_not_matter(name: str, group: Group, data: st.DataObject) -> None:
    value = one(name, group)
    assert 0 <= value <= 1
    assert one(name, data.draw(st.permutations(group))) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("response", [[], [5], [5, 6], [5, 6, 7], [5, 5, 5, 5]])
@pytest.mark.parametrize("name", ["inverse_self_bleu_123", "pairwise_edit"])
def test_equal_responses_have_no_diversity_however_short(name: str, response: list[int]) -> None:
    assert one(name, [response] * 8) == 0


def test_the_released_similarity_of_short_copies_is_nltks() -> None:
    """One token: unigram precision 1, the two empty orders smoothed to 0.1, hence (0.1 · 0.1)^(1/3)."""
    assert one("self_bleu_123", [[5], [5]]) == pytest.approx(0.01 ** (1 / 3))
    assert one("self_bleu_123", [[], []]) == 0


def test_responses_without_a_common_token_are_all_different() -> None:
    group = [[1, 2, 3], [4, 5, 6], []]
    assert one("inverse_self_bleu_123", group) == 1
    assert one("pairwise_edit", group) == 1
    assert one("distinct_1", group) == 1


@pytest.mark.parametrize("name", ["inverse_self_bleu_123", "self_bleu_123", "pairwise_edit"])
def test_one_response_has_nothing_to_differ_from(name: str) -> None:
    assert one(name, [[1, 2, 3]]) == 0
    assert diversity(name, [[[1, 2, 3]], [[1, 2, 3], [1, 2, 4]]])[1] > 0


def test_distinct_n_of_responses_shorter_than_n() -> None:
    assert one("distinct_3", [[1, 2], [3]]) == 0
    assert one("distinct_1", [[7, 7, 7, 7]]) == 0.25


def test_more_alike_is_less_diverse_and_more_similar() -> None:
    alike = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 3, 4, 7]]
    apart = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [9, 8, 7, 6, 5]]
    for name in ("inverse_self_bleu_123", "distinct_2", "pairwise_edit"):
        assert one(name, alike) < one(name, apart)
    assert one("self_bleu_123", alike) > one("self_bleu_123", apart)


def test_an_unknown_diversity_is_refused() -> None:
    with pytest.raises(UserError, match=r"expected one of distinct_1, .* found 'entropy'"):
        diversity("entropy", [[[1]]])
