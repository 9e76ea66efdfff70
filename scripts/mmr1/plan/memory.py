"""What a training will need of each rank's memory, from the recipe alone."""

from mmr1.grpo import memory as grpo_memory
from mmr1.models.shapes import Shape
from mmr1.recipe import Stages
from mmr1.sft import memory as sft_memory
from mmr1.training.division import on_nodes, read_division

GPU_BYTES = 80 << 30  # of an H100, unless it is said


def peak(stage: str, sections: Stages, shape: Shape, gpus: int, nodes: int, device_bytes: int) -> int:
    """The most bytes that a rank needs at a time, one rank a GPU; 0 for stages that train nothing.

    `gpus` are those of all nodes; without any, one rank trains on a CPU.
    """
    if stage not in ("sft", "training"):
        return 0
    ranks, device = max(1, gpus), device_bytes if gpus else None
    given = read_division((sections.sft if stage == "sft" else sections.grpo).deepspeed)
    division = None if given is None else on_nodes(given, ranks, ranks // nodes)
    if stage == "sft":
        return sft_memory.estimate(shape, sections.sft, division, ranks, device).peak
    return grpo_memory.estimate(shape, sections.grpo, division or {}, ranks, device).peak
