"""The paper's data sets on the Hugging Face hub: `MMR1/MMR1-SFT` for the cold start and `MMR1/MMR1-RL` for RL (§5).

Each is downloaded at a pinned commit and prepared by a program of its own (`mmr1.data.mmr1_sft`, `mmr1.data.mmr1_rl`).
The validation curve of RL is on a benchmark, as in the released code.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mmr1 import plugins
from mmr1.plumbing.fields import Commit, PromptPosition, Repository
from mmr1.plumbing.settings import Machine, Section, as_before

TITLE = "MMR1"
LICENCE = "that of each data set's card on the hub; the released code is under Apache-2.0."
OVERLAP = (
    "What the paper says itself (§5, Table 1): the sources of its cold start include MathVision and ChartQA. Its "
    "released validation set is MathVista's."
)
EXAMPLE = """
data:
  mmr1:
    sft: {hub: MMR1/MMR1-SFT, revision: fc48d95, rows: 1620490}
    rl: {hub: MMR1/MMR1-RL, revision: b9712c8, rows: 14996}
    validation: mathvista
evaluation: {benchmarks: [mathvista]}
"""


LongPrompts = Literal["shrink", "drop", "refuse"]


class Rows(Section):
    """How many rows a data set has."""

    rows: int = Field(ge=1, description="how many the source says it has; any other number is an error")
    max_dropped: int = Field(0, ge=0, description="how many broken rows may be left out; a table lists each")


class HubSource(Rows):
    """A data set on the Hugging Face hub, at a pinned commit."""

    hub: Repository
    revision: Commit = Field(description="commit hash, or a prefix that is resolved and checked at download")


def _long_prompts() -> Any:
    return as_before(
        "refuse",
        default="shrink",
        description="a prompt of more than grpo.max_prompt_tokens: its images are made smaller, as far as it needs "
        "(shrink; without images it is left out), or it is left out (drop), or it counts as a broken row (refuse)",
    )


class RLSource(HubSource):
    """The RL set, and what becomes of prompts that are longer than the trainer takes."""

    long_prompts: LongPrompts = _long_prompts()


def _a_benchmark(value: str) -> str:
    if value not in plugins.names("benchmarks/suite"):
        raise ValueError(f"no benchmark {value}; there are {', '.join(plugins.names('benchmarks/suite'))}")
    return value


class Settings(Section):
    """The paper's data sets."""

    sft: HubSource
    sft_validation: int = Field(1024, ge=1, description="conversations held out of SFT, for its validation loss")
    rl: RLSource
    validation: Annotated[str, AfterValidator(_a_benchmark)] = Field(
        description="the benchmark whose problems make the validation curve of RL"
    )


class Limited(Rows):
    """What both programs read."""

    limit: int | None = as_before(None, ge=1, description="only the first problems of each table, for a first look")


class PreparationMachine(Machine):
    """How fast rows are made: this changes none of them."""

    workers: int | None = Field(None, ge=1, description="processes that read and check rows; by default one per core")


class SFTPreparation(Limited):
    """What `prepare_mmr1_sft.py` reads."""

    machine: PreparationMachine = PreparationMachine()
    validation_size: int = Field(1024, ge=1, description="how many conversations to hold out")


class RLPreparation(Limited):
    """What `prepare_mmr1.py` reads: the rows, and the trainer's bounds on a prompt."""

    prompt_position: PromptPosition = "system"
    max_prompt_tokens: int = Field(ge=1, description="what becomes of longer prompts, `long_prompts` says")
    long_prompts: LongPrompts = _long_prompts()
    min_pixels: int | None = Field(None, ge=1, description="an image's least area; the model's by default")
    max_pixels: int | None = Field(None, ge=1, description="an image's largest area; the model's by default")


def rows(settings: Settings) -> dict[str, tuple[str, int | None]]:
    """All tables but `test`."""
    return {
        "problems": ("rl.rows", settings.rl.rows),
        "sft": ("sft.rows", settings.sft.rows),
        "sft_validation": ("sft_validation", settings.sft_validation),
        "validation": ("validation", None),
    }


def downloads(settings: Settings) -> dict[str, tuple[HubSource, list[str], str]]:
    """Both data sets; benchmarks have downloads of their own."""
    return {"rl": (settings.rl, ["*.parquet"], "problems"), "sft": (settings.sft, ["*.json", "*.tar"], "sft")}


def benchmarks(settings: Settings) -> list[str]:
    """The benchmark that validates."""
    return [settings.validation]
