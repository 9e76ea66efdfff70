"""Where models come from: base models, and checkpoints that others have trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from mmr1.plugins import Plugin, choice
from mmr1.plumbing.fields import Commit, Repository
from mmr1.plumbing.settings import Section, as_before

if TYPE_CHECKING:
    Family = Plugin
else:
    Family = choice("models/families")

HUB, FOLDER, TINY = "<hub>", "<folder>", "<tiny>"


def _kind(section: Any) -> str:
    """Which of three sections is meant, so that a mistake in it is told once and under its own path."""
    keys = section.keys() if isinstance(section, dict) else type(section).model_fields
    return TINY if "tiny" in keys else FOLDER if "path" in keys else HUB


def family_key() -> Any:
    """The key that says a model's family, for before a checkpoint is there to tell."""
    return as_before({"name": "qwen2_5_vl"}, validate_default=True, description="what kind of model it is")


class Deterministic(Section):
    """What every program that computes with a model is told by the recipe's `deterministic`."""

    deterministic: bool = as_before(
        False, description="equal bits from equal jobs on GPUs of one kind (mmr1/models/determinism.py); slower"
    )


class TinyArchitecture(Section):
    """Sizes in units or layers. The defaults make 1.4M parameters of Qwen2.5-VL (docs/design.md §6)."""

    family: Family = family_key()
    hidden_size: int = Field(128, ge=16)
    intermediate_size: int = Field(384, ge=16)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    key_value_heads: int = Field(2, ge=1)
    vision_depth: int = Field(2, ge=1)
    vision_hidden_size: int = Field(128, ge=16)
    vision_intermediate_size: int = Field(256, ge=16)
    vision_heads: int = Field(4, ge=1)
    max_position_embeddings: int = Field(1024, ge=64)
    initializer_range: float = Field(
        0.08,
        gt=0,
        description="standard deviation of the first weights, about 1/sqrt(hidden): at the 0.02 of large models this "
        "one learns the format within 170 steps, and no digit",
    )

    @model_validator(mode="after")
    def _heads_divide_what_they_share(self) -> "TinyArchitecture":
        # A head's rotary dimensions come in pairs, and an eighth of them is time's.
        for name, value, divisor in (
            ("hidden_size", self.hidden_size, 8 * self.heads),
            ("heads", self.heads, self.key_value_heads),
            ("vision_hidden_size", self.vision_hidden_size, 4 * self.vision_heads),
        ):
            if value % divisor:
                raise ValueError(f"{name}: expected a multiple of {divisor}, found {value}")
        return self


class TinyBase(Section):
    """A base model with random weights of the real architecture."""

    tiny: TinyArchitecture

    @property
    def model_family(self) -> Plugin:
        """What kind of model it is."""
        return self.tiny.family


class HubModel(Section):
    """A model from the Hugging Face hub, at a pinned commit."""

    hub: Repository = Field(description="repository, such as Qwen/Qwen2.5-VL-3B-Instruct")
    revision: Commit = Field(description="commit hash, or a prefix that is resolved and checked at download")
    family: Family = family_key()

    @property
    def model_family(self) -> Plugin:
        """What kind of model it is."""
        return self.family


class LocalBase(Section):
    """A base model in a Hugging Face folder, which is used where it lies."""

    path: Path
    family: Family = family_key()

    @property
    def model_family(self) -> Plugin:
        """What kind of model it is."""
        return self.family


Base = Annotated[
    Annotated[TinyBase, Tag(TINY)] | Annotated[LocalBase, Tag(FOLDER)] | Annotated[HubModel, Tag(HUB)],
    Discriminator(_kind),
]


def _folder_or_hub(checkpoint: Any) -> str:
    return HUB if isinstance(checkpoint, dict | HubModel) else FOLDER


# A Hugging Face folder, which is used where it lies, or a repository of the hub.
Checkpoint = Annotated[Annotated[Path, Tag(FOLDER)] | Annotated[HubModel, Tag(HUB)], Discriminator(_folder_or_hub)]


class ColdStart(Section):
    """A cold start that others have trained: RL starts from it, and no SFT is planned."""

    checkpoint: Checkpoint
