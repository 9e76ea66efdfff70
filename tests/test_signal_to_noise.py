"""The signal-to-noise of a batch's gradient: synthetic gradients whose mean and covariance are known."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark_fixtures import Call
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.grpo.settings import GradientSettings
from mmr1.grpo.signal_to_noise import WIDTH, Draw, Products, Sketch, estimate, group_gradients, products, rows
from mmr1.grpo.single_gradients import SingleGradients
from mmr1.seeds import generator
from test_single_gradients import SETTINGS, responses, store

M, G, D, B = 300, 4, 40, 32
MEAN, SPREAD, NOISE = 0.3, 0.5, 1.5  # of a coordinate: mean over problems, deviation of problems, deviation of groups


@pytest.fixture(scope="module")
def known() -> Products:
    """The first half of the problems varies, with deviations of 1/2; the other half has no gradient."""
    random = generator(0, "synthetic gradients")
    own = MEAN + SPREAD * random.normal(size=(M // 2, 1, D))
    groups = own + NOISE * random.normal(size=(M // 2, G, D))
    gradients = np.concatenate([groups, np.zeros((M // 2, G, D))]).astype(np.float32)
    return products(list(gradients), np.repeat([0.5, 0.0], M // 2)[:, None] * np.ones(G))


def drawn(mix: float) -> Draw:
    """Weights that know which problems vary."""
    return Draw("varying", mix, np.repeat([2.0, 0.0], M // 2))


def expected(share: float, mix: float = 0.0) -> float:
    """The signal-to-noise of B draws of which `share` vary: all of a part `mix`, and half of the others."""
    signal = D * (share * MEAN) ** 2
    one = D * (MEAN**2 + SPREAD**2 + NOISE**2)  # the squared norm of one group that varies
    noise = mix * (one - D * MEAN**2) + (1 - mix) * (one / 2 - D * (MEAN / 2) ** 2)
    return signal / (noise / B)


@pytest.mark.parametrize(("mix", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_it_is_that_of_the_gradients_that_went_in(known: Products, mix: float, share: float) -> None:
    found = estimate(known, drawn(mix), 0, B)
    assert found["snr"] == pytest.approx(expected(share, mix), rel=0.1)
    assert found["signal"] == pytest.approx(D * (share * MEAN) ** 2, rel=0.1)
    assert found["varying"] == pytest.approx(share)
    assert found["cosine"] == pytest.approx(1, abs=0.02), "all problems have one mean"
    assert found["aimed"] == pytest.approx(found["snr"], rel=0.05)


def test_a_batchs_own_norm_is_signal_and_noise_and_no_estimate_of_its_signal(known: Products) -> None:
    """Batches drawn from the same gradients: their squared norm is far above the signal, that of two halves is not."""
    random = generator(1, "synthetic gradients")
    own = MEAN + SPREAD * random.normal(size=(M, D))

    def half() -> np.ndarray:
        problems = random.integers(M, size=B // 2)
        return (own[problems] + NOISE * random.normal(size=(B // 2, D))).mean(axis=0)

    pairs = [(half(), half()) for _ in range(2000)]
    signal = np.mean([one @ other for one, other in pairs])
    squared = np.mean([((one + other) / 2) @ ((one + other) / 2) for one, other in pairs])
    groups = (own[:, None] + NOISE * random.normal(size=(M, G, D))).astype(np.float32)
    found = estimate(products(list(groups), np.ones((M, G))), Draw("uniform", 0.0, np.ones(M)), 0, B)
    assert found["signal"] == pytest.approx(signal, rel=0.1)
    assert found["signal"] + found["noise"] == pytest.approx(squared, rel=0.05)


def test_the_interval_covers_what_other_problems_would_give() -> None:
    """In 19 of 20 sets of problems, give or take."""
    covered = 0
    for seed in range(40):
        random = generator(seed, "synthetic sets")
        own = MEAN + SPREAD * random.normal(size=(80, 1, D))
        groups = (own + NOISE * random.normal(size=(80, 2, D))).astype(np.float32)
        [found, _] = rows(products(list(groups), np.ones((80, 2))), [Draw("uniform", 0.0, np.ones(80))], B)
        covered += found["snr_low"] < B * MEAN**2 / (SPREAD**2 + NOISE**2) < found["snr_high"]
        assert (found["snr_times"], found["snr_times_low"], found["snr_times_high"]) == (1, 1, 1)
    assert 34 <= covered <= 40


def test_division_by_the_deviation_counts_rare_groups_more() -> None:
    """Two problems with gradients along axes of their own; the smaller gradient has the smaller deviation."""
    axes = np.zeros((2, 2, 2), np.float32)
    axes[0, :, 0], axes[1, :, 1] = 3.0, 1.0
    both = products(list(axes), np.array([[0.5, 0.5], [0.1, 0.1]]))
    uniform = Draw("uniform", 0.0, np.ones(2))
    centred, divided = (estimate(both, uniform, number, B) for number in (0, 1))
    assert centred["signal"] == pytest.approx((3**2 + 1) / 4)
    assert divided["signal"] == pytest.approx((6**2 + 10**2) / 4)
    assert divided["cosine"] == pytest.approx((3 * 6 + 1 * 10) / np.sqrt((3**2 + 1) * (6**2 + 10**2)))


def test_a_batch_of_few_problems_has_a_clear_signal_that_is_not_what_is_to_be_learned() -> None:
    """Two problems of a hundred, each with a gradient along an axis of its own, that has no noise at all."""
    axes = 3 * np.eye(100, dtype=np.float32)[:, None].repeat(2, axis=1)
    known = products(list(axes), np.full((100, 2), 0.5))
    few = estimate(known, Draw("few", 1.0, np.array([1.0, 1.0] + [0.0] * 98)), 0, 1)
    uniform = estimate(known, Draw("uniform", 0.0, np.ones(100)), 0, 1)
    assert few["snr"] == pytest.approx(1) and uniform["snr"] == pytest.approx(1 / 99)  # noqa: PT018
    assert few["cosine"] == pytest.approx(np.sqrt(0.02))
    assert few["aimed"] == uniform["aimed"] == pytest.approx(1 / 99)


def test_a_sketch_keeps_products() -> None:
    random, sketch = generator(0, "vectors"), Sketch()
    one = random.normal(size=200_003)
    other = 0.5 * one + random.normal(size=200_003)
    vectors = [torch.from_numpy(vector).float() for vector in (one, other)]
    sketched = [sketch(vector) for vector in vectors]
    assert sketched[0].shape == (WIDTH,)
    exact, error = one @ other, np.sqrt(2 / WIDTH) * np.linalg.norm(one) * np.linalg.norm(other)
    assert abs(sketched[0] @ sketched[1] - exact) < 3 * error < 0.1 * exact
    assert sketch(vectors[0]).tolist() == sketched[0].tolist()


def test_a_group_has_the_gradient_of_its_responses_and_none_if_all_are_right(
    tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    gradients, sketch = SingleGradients(tiny_model_dir, GradientSettings.model_validate(SETTINGS), None), Sketch()
    varying, same = responses(0, 4), [type(one)(one.token_ids, 1.0) for one in responses(1, 4)]
    found, deviations = group_gradients(gradients, sketch, digit_problems[3], [*varying, *same], 4)
    exact = gradients.gradient(digit_problems[3], varying)
    assert exact is not None
    assert found[0] @ found[0] == pytest.approx(float(exact @ exact), rel=0.05)
    assert not found[1].any()
    assert deviations.tolist() == [pytest.approx(np.std([1, 0, 0, 1], ddof=1)), 0]


def test_the_program_compares_draws(
    tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem], call: Call
) -> None:
    problems = digit_problems[:4]
    store(tmp_path, problems)
    scores = [
        {"problem_id": one.id, "n": 8, "pass_rate": 0.5, "ovs": 0.25, "tds": 0.0, "vps": float(number)}
        for number, one in enumerate(problems)
    ]
    contracts.write(tmp_path / "scores.parquet", scores, contracts.SCORES)
    words = [
        word for name in ("problems", "rollouts", "rewards") for word in (f"--{name}", tmp_path / f"{name}.parquet")
    ]
    out = tmp_path / "signal.csv"
    call(
        "measure_signal", "--model", tiny_model_dir, *words, "--out", out, "--temperature", "1.0", "--mix", "0.5",
        "--scores", f"vas={tmp_path / 'scores.parquet'}",
    )  # fmt: skip
    table = list(csv.DictReader(out.open()))
    ways = [("uniform", "0.0"), ("vas", "0.5"), ("vas", "1.0")]
    assert [(row["weights"], row["mix"]) for row in table] == 2 * ways
    assert [row["advantages"] for row in table] == 3 * ["centred"] + 3 * ["divided"]
    assert {row["n"] for row in table} == {"4"}, "eight responses are two groups of four"
    assert {float(row["varying"]) for row in table} == {1.0}
