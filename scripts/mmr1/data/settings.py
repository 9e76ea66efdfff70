"""Settings of data: where problems and conversations come from, and what the model is shown with them."""

from pathlib import Path
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mmr1 import plugins
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.settings import Section, as_before

SOURCES = "data/sources"
PAPER_DATA = "mmr1"  # the paper's data sets, whose keys may stand without its name


class Data(Section):
    """A source under its name, as in `digits: {problems: 2048}`: a file of `data/sources/`."""

    source: plugins.choice(SOURCES)  # type: ignore[valid-type]
    limit: int | None = as_before(None, ge=1, description="only the first rows of each table, for a first look")

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


def made_benchmarks() -> dict[str, str]:
    """The benchmarks whose problems a source makes, by name, each with its source."""
    modules = {name: plugins.load(SOURCES, name) for name in plugins.names(SOURCES)}
    return {module.BENCHMARK: name for name, module in modules.items() if hasattr(module, "BENCHMARK")}


class Prompts(Section):
    """System prompts: text files, and where they go."""

    training: Path | None = None
    evaluation: Path | None = None
    position: PromptPosition = Field("system", description="user: in front of the question, as released")
