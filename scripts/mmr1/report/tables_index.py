"""What tables are made from: an index of files that the workflow hands over; see `mmr1.report.printed_tables`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mmr1.plugins import load, names
from mmr1.report.index import NAMES, Scored

Settings = dict[str, str | int | float]


class Evaluation(Scored):
    """The scores of one checkpoint on one benchmark.

    `label` is what its row is called, `settings` those of the index's that this checkpoint has otherwise.
    """

    checkpoint: str | None = None
    label: str | None = None
    settings: Settings = Field(default_factory=dict)


class Index(BaseModel):
    """What a table is made from.

    `benchmarks` maps a name to its problems, `labels` rename models, subjects and benchmarks, `settings` (prompt,
    sampling, …) are printed under the table as they are; `paper_rows` maps "model/subject" to a row of the paper or to
    several, over the built-in map.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluations: tuple[Evaluation, ...] = Field(min_length=1)
    benchmarks: dict[str, Path] = {}
    labels: dict[str, str] = {}
    settings: Settings = {}
    paper_rows: dict[str, str | tuple[str, ...]] = {}

    def label(self, name: str) -> str:
        """How a model, subject or benchmark is called."""
        if name in names("benchmarks/suite"):
            return self.labels.get(name) or load("benchmarks/suite", name).TITLE
        return self.labels.get(name) or NAMES.get(name, name)
