"""Settings of data: where problems and conversations come from, and what the model is shown with them."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mmr1 import plugins
from mmr1.plumbing.fields import PromptPosition, Share
from mmr1.plumbing.settings import Machine, Section, as_before

SOURCES = "data/sources"
PAPER_DATA = "mmr1"  # the paper's data sets, whose keys may stand without its name


class Data(Section):
    """A source under its name, as in `digits: {problems: 2048}`: a file of `data/sources/`."""

    source: plugins.choice(SOURCES)  # type: ignore[valid-type]
    limit: int | None = as_before(None, ge=1, description="only the first rows of each table, for a first look")
    near_duplicates: Literal["keep", "drop"] = as_before(
        "keep",
        description="training rows whose question and images are those of a benchmark of the recipe: all are listed, "
        "and may be dropped",
    )

    @model_validator(mode="before")
    @classmethod
    def _under_its_name(cls, values: Any) -> Any:
        """{NAME: {…}} as {source: {name: NAME, …}}; a mistake in the section is told under its own path."""
        if not isinstance(values, dict) or "source" in values:
            return values
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        named = {name: value for name, value in values.items() if name not in cls.model_fields}
        if "rl" in named:
            named = {PAPER_DATA: named}
        if len(named) != 1 or not named.keys() <= set(plugins.names(SOURCES)):
            given = ", ".join(named) or "none"
            raise ValueError(f"expected one of {', '.join(plugins.names(SOURCES))}, with a section, found {given}")
        ((name, section),) = named.items()
        if not isinstance(section, dict):
            raise ValueError(f"{name}: expected a section with settings of its own, found {section!r}")
        try:
            return own | {"source": plugins.chosen(SOURCES, section | {"name": name})}
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """As it stands in a recipe: a section for each source, of which one is there."""
        members = {name: plugins.member_schema(SOURCES, name) for name in plugins.names(SOURCES)}
        own = handler.resolve_ref_schema(handler(core)) | {"required": []}
        own["properties"] = members | {name: one for name, one in own["properties"].items() if name != "source"}
        return own

    def rows(self) -> dict[str, tuple[str, int | None]]:
        """The tables that the source makes: by name, the key of the recipe that says so, and how many rows it says."""
        made: dict[str, tuple[str, int | None]] = self.source.module.rows(self.source.settings)
        return {name: (f"data.{self.source.name}.{key}", number) for name, (key, number) in made.items()}

    def asked(self, question: str, default: Any) -> Any:
        """What the source says to a question that not every source answers (see `mmr1.data.sources`)."""
        answer = getattr(self.source.module, question, None)
        return default if answer is None else answer(self.source.settings)


class Preparation(Data):
    """What `prepare_data.py` reads."""

    test_limit: int | None = as_before(None, ge=1, description="only the first rows of the table `test`")

    def limits(self) -> dict[str, int | None]:
        """How many rows each table has at most."""
        return {name: self.test_limit if name == "test" else self.limit for name in self.rows()}


class SearchMachine(Machine):
    """How fast tables are searched: this changes nothing that is found."""

    workers: int | None = Field(None, ge=1, description="processes that compare; by default one per core")


class SearchSettings(Section):
    """What `find_duplicates.py` reads."""

    machine: SearchMachine = SearchMachine()


Difficulty = Literal["easy", "medium", "hard"]


class CurationSettings(Section):
    """What `curate.py` reads: how a pool is divided by its problems' pass rates. Defaults are the paper's (§5)."""

    easy: Share = Field(0.8, description="the least pass rate of an easy problem")
    hard: Share = Field(0.2, description="the largest pass rate of a hard one")
    chains: int = Field(1, ge=1, description="right responses of a medium or hard problem that are kept for SFT")
    rl_difficulties: list[Difficulty] = Field(["hard"], min_length=1, description="which problems the RL set has")
    rl_problems: int | None = Field(
        None, ge=1, description="size of the RL set; by default each type has as many as the rarest one"
    )
    type_key: str = Field("type", description="the key of a problem's metadata that names its type (13 in App. B)")

    @model_validator(mode="after")
    def _there_is_a_middle(self) -> "CurationSettings":
        if self.hard >= self.easy:
            raise ValueError(f"hard, easy: expected hard below easy, found {self.hard:g} and {self.easy:g}")
        return self


class Curation(CurationSettings):
    """The target `curate`: which model answers the pool, and how often."""

    checkpoint: Literal["base", "sft"] = Field("base", description="of each model: its base, or where RL starts")
    samples: int = Field(8, ge=1, description="responses to each problem")
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)


class CardSettings(Data):
    """What `describe_data.py` reads."""

    prompt_position: PromptPosition = "system"
    min_pixels: int | None = Field(None, ge=1, description="an image's least area; the model's by default")
    max_pixels: int | None = Field(None, ge=1, description="an image's largest area; the model's by default")


def made_benchmarks() -> dict[str, str]:
    """The benchmarks whose problems a source makes, by name, each with its source."""
    modules = {name: plugins.load(SOURCES, name) for name in plugins.names(SOURCES)}
    return {module.BENCHMARK: name for name, module in modules.items() if hasattr(module, "BENCHMARK")}


class Prompts(Section):
    """System prompts: text files, and where they go."""

    training: Path | None = None
    evaluation: Path | None = None
    position: PromptPosition = Field("system", description="user: in front of the question, as released")
