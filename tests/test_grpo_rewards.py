"""A run's rewards: weighed by name, each a column, a metric and a part of what the policy learns from."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import ValidationError

import mmr1.rewards
from forking import ForkingServer
from grpo_fixtures import TINY
from mmr1 import plugins
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.grpo.experience import rewards_schema
from mmr1.grpo.judging import judge
from mmr1.grpo.settings import GRPOSettings
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_jsonl, sha256
from mmr1.plumbing.settings import describe, merged, numbers, plugin_files
from mmr1.rewards import Response, Scores
from mmr1.rewards.length import Settings, score
from mmr1.rewards.verifier.verify import Verifier
from trainer_harness import Setup, small_setup

ROOT = Path(__file__).parents[1]
LENGTH = {"weight": 0.5, "limit": 16, "buffer": 12}


def response(text: str = "", tokens: int = 3, gold: str = "7") -> Response:
    return Response(Problem("p", "test", "?", (), gold), text, np.zeros(tokens, np.int32), "stop")


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(1, 2.0) as one:
        yield one


def rewards(**given: Any) -> dict[str, plugins.Weighted]:
    return GRPOSettings.model_validate({"rewards": given}).rewards


def test_the_default_is_table_6() -> None:
    assert {name: one.weight for name, one in GRPOSettings.model_validate({}).rewards.items()} == {
        "accuracy": 1.0,
        "format": 1.0,
    }


def test_a_recipe_names_the_whole_mapping_and_a_run_changes_it_by_name() -> None:
    """Accuracy and format are judged in any case, at a weight of 0 where they are not named."""
    assert {name: one.weight for name, one in rewards(accuracy=2).items()} == {"format": 0.0, "accuracy": 2.0}
    recipe = GRPOSettings.model_validate({}).model_dump(mode="json", exclude_unset=True)
    run = GRPOSettings.model_validate(merged(recipe, {"rewards": {"format": 0, "length": LENGTH}}))
    assert {name: one.weight for name, one in run.rewards.items()} == {"format": 0.0, "accuracy": 1.0, "length": 0.5}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lenght": 1}, "rewards: expected names among accuracy, format, length, found 'lenght'"),
        (
            {"length": 1},
            "rewards.length.limit: expected a value, found none; length.buffer: expected a value, found none",
        ),
        ({"accuracy": -1}, "rewards.accuracy.weight: expected at least 0, found -1"),
        ({"accuracy": 0}, "rewards: expected at least one weight above 0"),
        ({"length": {"limit": 5, "buffer": 9}}, "rewards.length.buffer: expected at most limit (5), found 9"),
        ({"format": {"strict": True}}, "rewards.format.strict: no such setting"),
    ],
)
def test_wrong_rewards_are_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rewards(**given)
    assert describe(caught.value) == message


def test_digests_have_each_rewards_weight_settings_and_file() -> None:
    settings = GRPOSettings.model_validate({"rewards": {"length": LENGTH}})
    assert numbers(settings)["rewards"] == {
        "format": {"weight": 0.0},
        "accuracy": {"weight": 0.0},
        "length": LENGTH,
    }
    assert "mmr1/rewards/length.py" in plugin_files(settings)
    assert GRPOSettings.model_validate(numbers(settings)).rewards == settings.rewards


def test_the_sum_is_weighed_and_each_reward_keeps_its_own_value(verifier: Verifier) -> None:
    chosen = rewards(accuracy=1.0, format=0.25, length=LENGTH)
    right = r"<think>.</think><answer>\boxed{7}</answer>"
    judged = judge(chosen, [response(right, tokens=10), response(r"<answer>\boxed{8}</answer>", tokens=99)], verifier)
    assert [one.rewards for one in judged] == [
        {"accuracy": 1.0, "format": 1.0, "length": -0.5},
        {"accuracy": 0.0, "format": 0.0, "length": -1.0},
    ]
    assert [one.total(chosen) for one in judged] == [1.0, -0.5]
    assert [one.texts for one in judged] == [
        {"extracted": "7", "reason": "equal"},
        {"extracted": "8", "reason": "different"},
    ]


@pytest.mark.parametrize(
    ("tokens", "penalty"), [(1, 0.0), (16_384, 0.0), (18_432, -0.5), (20_480, -1.0), (30_000, -1.0)]
)
def test_length_is_dapos_equation_13(tokens: int, penalty: float) -> None:
    """At the paper's 20,480 tokens with a buffer of 4,096."""
    settings = Settings(limit=20_480, buffer=4_096)
    assert score([response(tokens=tokens)], settings, None).values == [penalty]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0], "expected 2 numbers, one per response, found 1"), ([0.0, float("nan")], "expected a finite number")],
)
def test_a_reward_that_is_no_number_for_each_response_is_refused(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, values: list[float], message: str
) -> None:
    monkeypatch.setattr(plugins, "load", lambda *_: SimpleNamespace(score=lambda *_: Scores(values)))
    chosen = {"mine": plugins.Weighted("rewards", "mine", plugins.NoSettings(), 1.0)}
    with pytest.raises(UserError, match=rf"rewards/mine\.py: {message}"):
        judge(chosen, [response(), response()], verifier)


def test_the_example_in_the_docs_is_a_reward(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One file in the folder, and its name with a weight in the recipe."""
    text = (ROOT / "docs/rewards.md").read_text().partition("## Add a reward")[2]
    (tmp_path / "brevity.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    known = plugins.names
    monkeypatch.setattr(mmr1.rewards, "__path__", [*mmr1.rewards.__path__, str(tmp_path)])
    monkeypatch.setattr(plugins, "names", lambda folder: (*known(folder), *["brevity"] * (folder == "rewards")))
    monkeypatch.delitem(sys.modules, "mmr1.rewards.brevity", raising=False)
    chosen = rewards(**yaml.safe_load(plugins.load("rewards", "brevity").EXAMPLE)["grpo"]["rewards"])
    (judged,) = judge(chosen, [response(tokens=500)], verifier)
    assert judged.rewards == {"accuracy": 0.0, "format": 0.0, "brevity": 0.5}
    assert judged.total(chosen) == 0.05


def test_no_reward_takes_a_column_that_the_table_has() -> None:
    names = [*contracts.TRAINING_REWARDS.names]
    for reward in plugins.names("rewards"):
        if reward not in ("accuracy", "format"):
            names += [reward, *getattr(plugins.load("rewards", reward), "COLUMNS", ())]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, digit_problems: list[Problem]) -> Setup:
    return small_setup(tmp_path_factory.mktemp("rewards"), digit_problems)


def trained(server: ForkingServer, setup: Setup, name: str, **rewards: Any) -> Path:
    """A run of two steps; its outputs' folder."""
    settings = setup.settings(name, group_size=8, rewards=rewards)
    command = setup.arguments(name, settings, setup.schedule(range(2), size=2))
    assert server.wait(server.start(command, setup.log(name))) == 0, setup.log(name).read_text()[-2000:]
    return setup.folder / name


def test_a_further_reward_changes_the_weights_and_is_a_column_and_a_metric(server: ForkingServer, setup: Setup) -> None:
    both = {"accuracy": 1.0, "format": 1.0}
    plain, watched, penal = (
        trained(server, setup, "plain", **both),
        trained(server, setup, "watched", **both, length=LENGTH | {"weight": 0}),
        trained(server, setup, "penal", **both, length=LENGTH),
    )
    weights = [sha256(folder / "out/model.safetensors") for folder in (plain, watched, penal)]
    assert weights[0] == weights[1] != weights[2]  # at a weight of 0 it is recorded, and teaches nothing

    table = pq.read_table(penal / "rewards.parquet")
    assert table.schema.names == [*contracts.TRAINING_REWARDS.names, "length"]
    assert table.schema == rewards_schema(GRPOSettings.model_validate(TINY | {"rewards": {"length": LENGTH}}).rewards)
    lengths = [len(tokens) for tokens in pq.read_table(penal / "rollouts.parquet")["token_ids"].to_pylist()]
    expected = [max(-1.0, min(0.0, (4 - length) / 12)) for length in lengths]
    assert table["length"].to_pylist() == expected
    assert len(set(expected)) > 1

    for step, row in enumerate(read_jsonl(penal / "metrics.jsonl")):
        assert row["reward_length"] == pytest.approx(np.mean(expected[16 * step : 16 * step + 16]))
        parts = row["reward_accuracy"] + row["reward_format"] + 0.5 * row["reward_length"]
        assert row["reward_mean"] == pytest.approx(parts)
    assert "reward_length" not in read_jsonl(plain / "metrics.jsonl")[0]
    assert pq.read_table(plain / "rewards.parquet").schema == contracts.TRAINING_REWARDS
