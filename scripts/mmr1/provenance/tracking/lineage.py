"""Lineage: the datasets and models that a run used, and the models that it made.

A checkpoint is a model of MLflow's, known by the digest of its files: what one run made and another used is one model.
"""

import json
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput

from mmr1.provenance.ledger import File, Record
from mmr1.provenance.tracking.experiment import Experiment
from mmr1.provenance.tracking.record_files import checkpoints, files_digest

DATASET_SUFFIXES = {".parquet", ".jsonl"}
NAME_LENGTH, DIGEST_LENGTH = 500, 36  # MLflow's limits


class Lineage:
    """Logs inputs and outputs. `models` holds model ids by the digest of a checkpoint, and grows."""

    def __init__(self, experiment: Experiment, models: dict[str, str]) -> None:
        self.experiment, self.models = experiment, models

    def log_outputs(self, record: Record, run_id: str) -> None:
        """Create the models that a record's job made."""
        made = [
            LoggedModelOutput(self._create(folder, files, run_id), step=_last_step(record))
            for folder, files in checkpoints(record.outputs).items()
        ]
        if made:
            self.experiment.client.log_outputs(run_id, made)

    def log_inputs(self, record: Record, run_id: str) -> None:
        """Log the tables and checkpoints that a record's job read; a checkpoint from outside becomes a model."""
        datasets, models = [], []
        for name, files in record.key.inputs.items():
            for folder, parts in checkpoints({name: files}).items():
                known = self.models.get(files_digest(parts)) or self._create(folder, parts, None)
                models.append(LoggedModelInput(known))
            datasets += [_dataset(name, file) for file in files if Path(file.path).suffix in DATASET_SUFFIXES]
        if datasets or models:
            self.experiment.client.log_inputs(run_id, datasets=datasets or None, models=models or None)

    def _create(self, folder: str, files: list[File], run_id: str | None) -> str:
        content = files_digest(files)
        self.models[content] = self.experiment.create_model(folder, content, run_id)
        return self.models[content]


def _dataset(name: str, file: File) -> DatasetInput:
    dataset = Dataset(
        name=file.path[-NAME_LENGTH:],
        digest=file.sha256[:DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": file.path}),
        profile=json.dumps({"bytes": file.bytes}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", name), InputTag("sha256", file.sha256)])


def _last_step(record: Record) -> int:
    settings = record.key.settings if isinstance(record.key.settings, dict) else {}
    first, steps = settings.get("first_step"), settings.get("steps")
    return first + steps if isinstance(first, int) and isinstance(steps, int) else 0
