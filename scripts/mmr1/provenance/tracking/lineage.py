"""Lineage: the datasets and models that a run used, the models that it made, and the accuracies of a model.

A checkpoint is a model of MLflow's, known by the digest of its files: what one run made and another used is one model.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

from mmr1.provenance.ledger import File, Record
from mmr1.provenance.tracking.experiment import Experiment
from mmr1.provenance.tracking.record_files import checkpoints, files_digest

DATASET_SUFFIXES = {".parquet", ".jsonl"}
NAME_LENGTH, DIGEST_LENGTH = 500, 36  # MLflow's limits


class Lineage:
    """Logs inputs and outputs. `models` holds model ids by the digest of a checkpoint, and grows; `new` are those."""

    def __init__(self, experiment: Experiment, models: dict[str, str]) -> None:
        self.experiment, self.models = experiment, models
        self.new: set[str] = set()

    def log_outputs(self, record: Record, run_id: str) -> None:
        """Create the models that a record's job made."""
        made = [
            LoggedModelOutput(self._create(folder, files, run_id, record), step=_last_step(record))
            for folder, files in checkpoints(record.outputs).items()
        ]
        if made:
            self.experiment.client.log_outputs(run_id, made)

    def show_outputs(self, record: Record, run_id: str) -> None:
        """The models that a record's job made, as another run's: its parent's."""
        known = {self.models.get(files_digest(files)) for files in checkpoints(record.outputs).values()}
        outputs = self.experiment.client.get_run(run_id).outputs
        shown = {one.model_id for one in outputs.model_outputs} if outputs else set()  # a round may change no weight
        made = [LoggedModelOutput(one, step=_last_step(record)) for one in known - {None, *shown}]
        if made:
            self.experiment.client.log_outputs(run_id, made)

    def log_inputs(self, record: Record, run_id: str) -> None:
        """Log the tables and checkpoints that a record's job read; a checkpoint from outside becomes a model."""
        models = []
        for name, files in record.key.inputs.items():
            for folder, parts in checkpoints({name: files}).items():
                known = self.models.get(files_digest(parts)) or self._create(folder, parts, None)
                models.append(LoggedModelInput(known))
        read = [
            DatasetInput(_dataset(file), [InputTag("mlflow.data.context", name), InputTag("sha256", file.sha256)])
            for name, file in _tables(record)
        ]
        if read or models:
            self.experiment.client.log_inputs(run_id, datasets=read or None, models=models or None)

    def evaluated(self, record: Record, by_name: Mapping[str | None, Record]) -> str | None:
        """The model whose answers a record's job judged: the only one that the makers of its inputs read."""
        answers = [by_name[parent.name] for parent in record.parents if parent.name in by_name]
        read = {digest for one in answers for digest in _model_digests(one.key.inputs)}
        return self.models.get(read.pop()) if len(read) == 1 else None

    def _create(self, folder: str, files: list[File], run_id: str | None, record: Record | None = None) -> str:
        content = files_digest(files)
        if content in self.models and self.models[content] in self.new:
            return self.models[content]  # two jobs made the same bytes
        params = {} if record is None else {"rule": record.rule, **_wildcards(record)}
        described = {"uri": folder, "sha256": content}
        self.models[content] = self.experiment.create_model(_model_name(folder), described, params, run_id)
        self.new.add(self.models[content])
        return self.models[content]


def _model_digests(inputs: Mapping[str, list[File]]) -> Iterable[str]:
    for name, files in inputs.items():
        for parts in checkpoints({name: files}).values():
            yield files_digest(parts)


def _model_name(folder: str) -> str:
    """`tiny/vas/seed0/round1` of `results/digits/tiny/vas/seed0/round1/checkpoint`.

    A checkpoint from outside is called by its folder's name.
    """
    parts = PurePosixPath(folder).parts
    if "results" in parts[:-2]:
        inside = parts[parts.index("results") + 2 :]
        return "/".join(inside[:-1] if inside[-1] == "checkpoint" and len(inside) > 1 else inside)
    return PurePosixPath(folder).name


def _wildcards(record: Record) -> dict[str, str]:
    """A training's model, run, seed and round, as far as its name says them."""
    return dict(zip(("model", "run", "seed", "round"), record.place.parts, strict=False))


def datasets(record: Record) -> list[Dataset]:
    """The tables that a record's job read."""
    return [_dataset(file) for _, file in _tables(record)]


def _tables(record: Record) -> list[tuple[str, File]]:
    named = [(name, file) for name, files in record.key.inputs.items() for file in files]
    return [(name, file) for name, file in named if Path(file.path).suffix in DATASET_SUFFIXES]


def _dataset(file: File) -> Dataset:
    return Dataset(
        name=file.path[-NAME_LENGTH:],
        digest=file.sha256[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": file.path}),
        profile=json.dumps({"bytes": file.bytes}),
    )


def _last_step(record: Record) -> int:
    settings = record.key.settings if isinstance(record.key.settings, dict) else {}
    first, steps = settings.get("first_step"), settings.get("steps")
    return first + steps if isinstance(first, int) and isinstance(steps, int) else 0
