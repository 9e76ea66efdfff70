"""What tables are made from: an index of files that the workflow hands over; see `mmr1.report.printed_tables`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mmr1.plugins import load, names

Settings = dict[str, str | int | float]


class Evaluation(BaseModel):
    """The scores of one checkpoint on one benchmark. `subject` is base, sft, or the name of a run, which has a seed.

    `label` is what its row is called, `settings` those of the index's that this checkpoint has otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    subject: str
    seed: int | None = None
    benchmark: str
    scores: Path
    items: Path | None = None
    checkpoint: str | None = None
    label: str | None = None
    settings: Settings = {}


class Index(BaseModel):
    """What a table is made from.

    `benchmarks` maps a name to its problems, `labels` rename models, subjects and benchmarks, `settings` (prompt,
    sampling, …) are printed under the table as they are; `paper_rows` maps "model/subject" to a row of the paper, over
    the built-in map.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluations: tuple[Evaluation, ...] = Field(min_length=1)
    benchmarks: dict[str, Path] = {}
    labels: dict[str, str] = {}
    settings: Settings = {}
    paper_rows: dict[str, str] = {}

    def label(self, name: str) -> str:
        """How a model, subject or benchmark is called."""
        if name in names("benchmarks/suite"):
            return self.labels.get(name) or load("benchmarks/suite", name).TITLE
        return self.labels.get(name) or {"sft": "SFT"}.get(name, name)
