"""What samples responses, one file an engine. A recipe names one under `rollout.engine` and `grpo.engine`.

A member defines `make`, which loads what it needs and returns an `Engine` (`mmr1.rollout.requests`):

    make(settings: Settings, folder: Path, encoder: PromptEncoder, limits: Limits, *, beside_training: bool) -> Engine

`folder` is a checked checkpoint, `limits` bounds what will be asked for, and `beside_training` says that a policy is
trained on the same device. What the engine takes of a device beside a training, in bytes by part, while the policy
trains and while it samples, is

    memory(settings: Settings, weights: float, device: int | None) -> tuple[dict[str, float], dict[str, float]]

from the bytes of the weights and of the device (None on a CPU). Settings with which it takes less of a device, and the
lines of a recipe that say so, are

    lighter(settings: Settings) -> tuple[str, Settings] | None

or None where there are none. A setting named `tensor_parallel` says how many ranks
share one engine.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What an engine has to be ready for: images of a problem, tokens of a response, tokens of a prompt (None: any)."""

    max_images: int
    max_tokens: int
    max_prompt_tokens: int | None = None
