"""A DeepSpeed configuration: how a model is divided among ranks, as it is given and as it is for this job."""

import os
from pathlib import Path
from typing import Any

from mmr1.plumbing.files import read_json

REPOSITORY = Path(__file__).resolve().parents[3]


def read_division(given: str | Path | dict[str, Any] | None) -> dict[str, Any] | None:
    """The configuration itself, read if it is a path, from the repository; None where there is none."""
    if given is None or isinstance(given, dict):
        return given
    return read_json(REPOSITORY / given)  # type: ignore[no-any-return]


def for_these_nodes(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration for the ranks and nodes that `torchrun` says there are (`on_nodes`)."""
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    return on_nodes(given, ranks, int(os.environ.get("LOCAL_WORLD_SIZE", ranks)))


def on_nodes(given: dict[str, Any], ranks: int, ranks_of_node: int) -> dict[str, Any]:
    """The configuration, with a copy of the weights on every node where ZeRO-3 divides them among several.

    The backward pass and further micro-batches then gather them within the node, and no bit changes (hpZ of ZeRO++,
    arXiv 2306.10209, §3.2). A size that is given stays.
    """
    zero = given.get("zero_optimization", {})
    several = ranks_of_node not in (1, ranks) and ranks % ranks_of_node == 0
    if zero.get("stage") != 3 or "zero_hpz_partition_size" in zero or not several:
        return given
    return {**given, "zero_optimization": {**zero, "zero_hpz_partition_size": ranks_of_node}}


def without_copies(config: dict[str, Any]) -> dict[str, Any]:
    """The same for a second model, which DeepSpeed cannot give copies on every node beside the first one's."""
    zero = {key: value for key, value in config["zero_optimization"].items() if key != "zero_hpz_partition_size"}
    return {**config, "zero_optimization": zero}
