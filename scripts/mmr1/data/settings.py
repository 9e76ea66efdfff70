"""Where problems and conversations come from, and what the model is shown with them."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from mmr1.benchmarks.settings import BenchmarkName
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.settings import Section


def _kind(section: Any) -> str:
    """Which of two sections is meant, so that a mistake in it is told once and under its own path."""
    return "<embedded>" if isinstance(section, dict) and section.keys() & {"tiny", "digits"} else "<hub>"


class DigitsData(Section):
    """How many problems of the embedded data set to make."""

    digits: "DigitsSizes"


class DigitsSizes(Section):
    problems: int = Field(ge=1, description="the RL pool")
    sft: int = Field(ge=1, description="conversations")
    sft_validation: int = Field(ge=1)
    validation: int = Field(ge=1, description="for the validation curve of RL")
    test: int = Field(ge=1, description="for evaluation")


class HubSource(Section):
    """A data set on the Hugging Face hub, at a pinned commit."""

    hub: str
    revision: str = Field(description="commit hash, or a prefix that is resolved and checked at download")
    rows: int = Field(ge=1, description="how many the source says it has; any other number is an error")
    max_dropped: int = Field(0, ge=0, description="how many broken or overlong rows may be left out, each noted")


class HubData(Section):
    """The paper's data sets."""

    sft: HubSource
    sft_validation: int = Field(1024, ge=1, description="conversations held out of SFT, for its validation loss")
    rl: HubSource
    validation: BenchmarkName = Field(description="the benchmark whose problems make the validation curve of RL")


Data = Annotated[Annotated[DigitsData, Tag("<embedded>")] | Annotated[HubData, Tag("<hub>")], Discriminator(_kind)]


class Prompts(Section):
    """System prompts: text files, and where they go."""

    training: Path | None = None
    evaluation: Path | None = None
    position: PromptPosition = Field("system", description="user: in front of the question, as released")
