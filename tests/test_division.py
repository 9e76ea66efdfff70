"""How a model is divided among the ranks of a job: on several nodes each has a copy of the weights."""

from pathlib import Path
from typing import Any

import pytest

from mmr1.plumbing.files import read_json
from mmr1.training.division import for_these_nodes, without_copies

DIVISIONS = Path(__file__).parents[1] / "config" / "deepspeed"


@pytest.mark.parametrize(
    ("name", "ranks", "on_node", "copies"),
    [
        ("zero3", 32, 8, 8),
        ("zero3-offload", 16, 8, 8),
        ("zero3", 8, 8, None),  # one node: the ranks' parts are near in any case
        ("zero3", 4, 1, None),  # a GPU a node
        ("zero3", 12, 8, None),  # unequal nodes
        ("zero2", 32, 8, None),  # every rank has all weights
    ],
)
def test_zero3_keeps_a_copy_of_the_weights_on_each_of_several_nodes(
    name: str, ranks: int, on_node: int, copies: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(ranks))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(on_node))
    given = read_json(DIVISIONS / f"{name}.json")
    made = for_these_nodes(given)
    assert made["zero_optimization"].pop("zero_hpz_partition_size", None) == copies
    assert made == given


def test_a_size_that_is_given_stays_and_a_second_model_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "32")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    given: dict[str, Any] = {"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 4}}
    assert for_these_nodes(given) == given
    assert without_copies(given) == {"zero_optimization": {"stage": 3}}
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    alone: dict[str, Any] = {"zero_optimization": {"stage": 3}}
    assert for_these_nodes(alone) == alone
