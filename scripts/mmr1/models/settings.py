"""Where base models come from."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag

from mmr1.models.tiny_architecture import TinyArchitecture
from mmr1.plumbing.settings import Section


def _kind(section: Any) -> str:
    """Which of two sections is meant, so that a mistake in it is told once and under its own path."""
    return "<embedded>" if isinstance(section, dict) and section.keys() & {"tiny", "digits"} else "<hub>"


class TinyBase(Section):
    """A base model with random weights of the real architecture."""

    tiny: TinyArchitecture

    from_hub: ClassVar = False


class HubBase(Section):
    """A base model from the Hugging Face hub, at a pinned commit."""

    hub: str = Field(description="repository, such as Qwen/Qwen2.5-VL-3B-Instruct")
    revision: str = Field(description="commit hash, or a prefix that is resolved and checked at download")

    from_hub: ClassVar = True


Base = Annotated[Annotated[TinyBase, Tag("<embedded>")] | Annotated[HubBase, Tag("<hub>")], Discriminator(_kind)]
