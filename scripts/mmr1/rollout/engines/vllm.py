"""vLLM (arXiv 2309.06180), in the process that asks: on GPUs, or on a CPU through its CPU build. The paper's engine.

Each response has a seed of its own. On a GPU it depends on that alone with batch-invariant kernels only
(`mmr1.rollout.vllm_engine`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from mmr1.plumbing.settings import Machine, Section
from mmr1.rollout.engines import Limits

if TYPE_CHECKING:  # the recipe is checked where there is no torch
    from mmr1.data.prompts import PromptEncoder
    from mmr1.rollout.requests import Engine

TITLE = "vLLM"
EXAMPLE = "rollout: {engine: {name: vllm, tensor_parallel: 4, batch_invariant: true}}"


class EngineMachine(Machine):
    """What the engine takes of a device."""

    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="share of a device's memory; by default 0.6 beside a training and 0.9 alone"
    )
    sleep_mode: bool = Field(True, description="beside a training: give the memory back while the policy trains")


class Settings(Section):
    """Options of the engine."""

    max_num_seqs: int = Field(512, ge=1, description="responses that run at a time, on each rank")
    tensor_parallel: int = Field(
        1, ge=1, description="GPUs that a model is split over; in training, ranks that share it"
    )
    batch_invariant: bool = Field(False, description="kernels that do not depend on the batch (GPU; slower)")
    machine: EngineMachine = Field(default_factory=EngineMachine)

    @model_validator(mode="before")
    @classmethod
    def _has_a_name_of_its_own(cls, values: Any) -> Any:
        """`batch_size` is the transformers engine's: responses that are decoded together, and wait for the longest."""
        if isinstance(values, dict) and "batch_size" in values:
            raise ValueError(f"batch_size: expected max_num_seqs in its place: {values['batch_size']}")
        return values


def make(
    settings: Settings, folder: Path, encoder: "PromptEncoder", limits: Limits, *, beside_training: bool = False
) -> "Engine":
    """The engine with the weights of `folder`. Raises UserError where vLLM is not installed."""
    from mmr1.rollout.vllm_engine import VllmEngine

    return VllmEngine(
        folder,
        encoder,
        max_images=limits.max_images,
        max_tokens=limits.max_tokens,
        max_prompt_tokens=limits.max_prompt_tokens,
        max_num_seqs=settings.max_num_seqs,
        tensor_parallel=settings.tensor_parallel,
        gpu_memory_utilization=memory_share(settings, beside_training),
        batch_invariant=settings.batch_invariant,
        sleep_mode=beside_training and settings.machine.sleep_mode,
    )


def memory_share(settings: Settings, beside_training: bool) -> float:
    """The share of a device's memory that the engine takes, in (0, 1]."""
    return settings.machine.gpu_memory_utilization or (0.6 if beside_training else 0.9)


def memory(settings: Settings, weights: float, device: int | None) -> tuple[dict[str, float], dict[str, float]]:
    """Bytes beside a training: its share of the device, but none while it sleeps."""
    if device is None:
        return {}, {}
    share = {"engine (vLLM)": memory_share(settings, True) * device}
    return {} if settings.machine.sleep_mode else share, share


def lighter(settings: Settings) -> tuple[str, Settings]:
    """A smaller share of the device, which it gives back while the policy trains."""
    machine = settings.machine.model_copy(update={"gpu_memory_utilization": 0.4, "sleep_mode": True})
    return "{machine: {gpu_memory_utilization: 0.4}}", settings.model_copy(update={"machine": machine})
