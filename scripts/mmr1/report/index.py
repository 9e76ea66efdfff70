"""What a report is made from: an index of files that the workflow hands over; the report looks for nothing itself."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from mmr1.plugins import load, names
from mmr1.plumbing.settings import read_settings

# A run has one name everywhere, the recipe's: in paths, tables, MLflow and here.
NAMES = {"sft": "SFT"}
BEFORE_RL = ("base", "sft")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Round(_Strict):
    """The files of one round of one run. `scores` and `calibration` are None where the run needs none (λ = 0)."""

    round: int = Field(ge=0)
    metrics: Path
    timings: Path | None = None
    validation: Path | None = None
    calibration: Path | None = None
    scores: Path | None = None


class Training(_Strict):
    """One run of one model under one seed, with its rounds in order.

    `baseline` is the run with uniform draws that it is compared with; None if it is this one, or if there is none.
    """

    model: str
    run: str
    seed: int = Field(ge=0)
    baseline: str | None = None
    rounds: tuple[Round, ...] = Field(min_length=1)


class Scored(_Strict):
    """The scores of one subject on one benchmark. `subject` is base, sft, or the name of a run, which has a seed."""

    model: str
    subject: str
    seed: int | None = None
    benchmark: str
    scores: Path
    items: Path | None = None


class Evaluation(Scored):
    """The answers of one subject on one benchmark, and their scores."""

    predictions: Path | None = None


class Sft(_Strict):
    """The cold start of a model."""

    model: str
    metrics: Path


class Index(_Strict):
    """Everything that one report shows, in the order in which it shows it. Paths are seen from the working folder.

    Models and runs come in order of first mention; one without a label goes by its name. `benchmarks` maps a name to
    its problems; `tables` are HTML fragments; `data` is the data card; `results` is the folder that holds `records/`.
    """

    recipe: str
    results: Path
    title: str | None = None
    description: str | None = None
    labels: dict[str, str] = {}
    benchmarks: dict[str, Path]
    evaluations: tuple[Evaluation, ...] = Field(min_length=1)
    trainings: tuple[Training, ...] = ()
    sft: tuple[Sft, ...] = ()
    tables: tuple[Path, ...] = ()
    data: Path | None = None
    accuracy: str = "reader"  # which of the scores in scores.json the report shows

    def files(self) -> list[Path]:
        """Every file that the report reads, for the record; the records themselves are not among them."""
        return list(_paths(self))

    def models(self) -> list[str]:
        """The models, in order of first mention."""
        evaluated, trained = [one.model for one in self.evaluations], [one.model for one in self.trainings]
        return list(dict.fromkeys(evaluated + trained))

    def runs(self, model: str) -> list[str]:
        """The runs of a model, and checkpoints of others beside them, in order of first mention."""
        trained = [one.run for one in self.trainings if one.model == model]
        evaluated = [one.subject for one in self.evaluations if one.model == model and one.subject not in BEFORE_RL]
        return list(dict.fromkeys(trained + evaluated))

    def label(self, name: str) -> str:
        """How a model, run, subject or benchmark is called in the report."""
        if name in names("benchmarks/suite"):
            return self.labels.get(name, load("benchmarks/suite", name).TITLE)
        return self.labels.get(name, NAMES.get(name, name))


def read_index(path: str | Path) -> Index:
    """An index from its JSON file. Raises UserError naming the file and the field that is wrong or missing."""
    return read_settings(path, Index)


def _paths(value: object) -> Iterator[Path]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            if name != "results":
                yield from _paths(getattr(value, name))
    elif isinstance(value, Path):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _paths(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _paths(item)
