"""The theorem's measurement: gradients of single problems from two halves of their responses."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark_fixtures import Call
from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.grpo.settings import GradientSettings
from mmr1.grpo.single_gradients import Measured, Response, SingleGradients, summary
from mmr1.plumbing.files import read_json
from mmr1.seeds import generator

SETTINGS = {"temperature": 1.0, "min_pixels": None, "max_pixels": None}
Made = Callable[..., SingleGradients]


@pytest.fixture(scope="module")
def gradients(tiny_model_dir: Path) -> SingleGradients:
    return SingleGradients(tiny_model_dir, GradientSettings.model_validate(SETTINGS), None)


def responses(seed: int, count: int) -> list[Response]:
    """Random tokens of three lengths, the first half of them right."""
    random = generator(seed, "responses")
    return [Response(random.integers(8, 100, size=3 + i % 3).astype(np.int32), float(i % 3 == 0)) for i in range(count)]


def test_the_gradient_is_that_of_the_weighted_log_probabilities(
    gradients: SingleGradients, digit_problems: list[Problem]
) -> None:
    """Along a random direction, beside the difference of log-probabilities at weights moved both ways."""
    problem, of = digit_problems[3], responses(0, 6)
    rewards = np.array([one.reward for one in of])
    others = [(rewards.sum() - reward) / (len(of) - 1) for reward in rewards]
    found = gradients.gradient(problem, of)
    assert found is not None
    weights = [weight for weight in gradients.module.parameters() if weight.grad is not None]
    direction = found / found.norm()

    def objective() -> float:
        total = 0.0
        for response, reward, mean in zip(of, rewards, others, strict=True):
            batch = gradients._batch(problem, [response], np.array([1.0]))
            [micro_batch] = gradients.loader.load(batch, [0])
            with torch.no_grad():
                total += float(gradients.module(micro_batch)[0].double().sum()) * (reward - mean)
        return total / len(of)

    def move(size: float) -> None:
        start = 0
        with torch.no_grad():
            for weight in weights:
                weight += size * direction[start : start + weight.numel()].view_as(weight)
                start += weight.numel()

    move(0.01)
    above = objective()
    move(-0.02)
    below = objective()
    move(0.01)
    assert (above - below) / 0.02 == pytest.approx(float(found.norm()), rel=0.02)


def test_neither_micro_batches_nor_shared_prompts_change_it(
    gradients: SingleGradients, tiny_model_dir: Path, digit_problems: list[Problem]
) -> None:
    changed = GradientSettings.model_validate(SETTINGS | {"micro_batch_tokens": 64, "share_prompts": True})
    other = SingleGradients(tiny_model_dir, changed, None)
    found = [one.measure(digit_problems[3], responses(0, 8)) for one in (gradients, other)]
    assert found[0].squared_norm == pytest.approx(found[1].squared_norm, rel=1e-3)
    assert (found[0].pass_rate, found[0].variance) == (3 / 8, pytest.approx(3 / 8 * 5 / 8 * 8 / 7))


def test_a_problem_without_variance_has_no_gradient(gradients: SingleGradients, digit_problems: list[Problem]) -> None:
    same = [Response(one.token_ids, 1.0) for one in responses(0, 8)]
    assert gradients.measure(digit_problems[0], same).squared_norm == 0


def test_the_slope_and_the_rank_correlation() -> None:
    """Squared norms that go with the square of the variance, but for noise that means nothing."""
    random = generator(0, "synthetic theorem")
    variance = np.concatenate([np.zeros(100), random.uniform(0.02, 0.25, 300)])
    norms = np.where(variance > 0, variance**2 + random.normal(0, 0.001, 400), 0)
    measured = [
        Measured(f"p{i}", 8, 0.5, float(v), float(n)) for i, (v, n) in enumerate(zip(variance, norms, strict=True))
    ]
    found = summary(measured)
    assert (found["problems"], found["varying"], len(found["bins"])) == (400, 300, 6)
    assert found["slope"] == pytest.approx(2, abs=0.15)
    assert found["slope_ci95"][0] < found["slope"] < found["slope_ci95"][1]
    assert found["spearman"] > 0.95


def store(folder: Path, problems: list[Problem]) -> None:
    """Problems, eight responses to each, and their verdicts, as files of these names in a folder."""
    write_problems(folder / "problems.parquet", problems)
    of = {one.id: responses(number, 8) for number, one in enumerate(problems)}
    rollouts = [
        {"problem_id": name, "rollout": i, "seed": 0, "token_ids": one.token_ids.tolist(), "text": "",
         "finish_reason": "stop", "logprob": -1.0}
        for name, several in of.items() for i, one in enumerate(several)
    ]  # fmt: skip
    verdicts = [
        {"problem_id": name, "rollout": i, "accuracy": one.reward, "format": 1.0, "extracted": None, "reason": ""}
        for name, several in of.items() for i, one in enumerate(several)
    ]  # fmt: skip
    contracts.write(folder / "rollouts.parquet", rollouts, contracts.ROLLOUTS)
    contracts.write(folder / "rewards.parquet", verdicts, contracts.REWARDS)


def test_the_program_reads_stored_responses(
    tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem], call: Call
) -> None:
    problems = digit_problems[:3]
    store(tmp_path, problems)
    words = [
        word for name in ("problems", "rollouts", "rewards") for word in (f"--{name}", tmp_path / f"{name}.parquet")
    ]
    call(
        "measure_gradients", "--model", tiny_model_dir, *words, "--out", tmp_path / "gradients.csv",
        "--summary", tmp_path / "summary.json", "--temperature", "1.0",
    )  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "gradients.csv").open()))
    assert [row["problem_id"] for row in rows] == [one.id for one in problems]
    assert read_json(tmp_path / "summary.json")["varying"] == 3
