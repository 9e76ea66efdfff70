"""A DeepSpeed configuration as it is for the ranks of this job."""

import os
from typing import Any


def for_these_nodes(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration, with a copy of the weights on every node where ZeRO-3 divides them among several.

    The backward pass and further micro-batches then gather them within the node, and no bit changes (hpZ of ZeRO++,
    arXiv 2306.10209, §3.2). Takes the number of ranks from what `torchrun` sets; a size that is given stays.
    """
    zero = given.get("zero_optimization", {})
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    on_node = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    if zero.get("stage") != 3 or "zero_hpz_partition_size" in zero or on_node in (1, ranks) or ranks % on_node:
        return given
    return {**given, "zero_optimization": {**zero, "zero_hpz_partition_size": on_node}}


def without_copies(config: dict[str, Any]) -> dict[str, Any]:
    """The same for a second model, which DeepSpeed cannot give copies on every node beside the first one's."""
    zero = {key: value for key, value in config["zero_optimization"].items() if key != "zero_hpz_partition_size"}
    return {**config, "zero_optimization": zero}
