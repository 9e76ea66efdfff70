"""Reading and writing one experiment through MLflow's client, within MLflow's limits."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModel, Metric, Param, Run, ViewType

from mmr1.provenance.tracking.metrics import Point

# Longer values are cut here, and stand in full in the record among the artifacts.
PARAM_LENGTH, TAG_LENGTH, KEY_LENGTH = 6000, 8000, 250
PARAMS_A_BATCH, METRICS_A_BATCH = 100, 1000


class Experiment:
    """The experiment with the id `id` in the store that MLflow's tracking URI names."""

    def __init__(self, id: str) -> None:
        self.id, self.client = id, mlflow.MlflowClient()
        self.created_runs = 0

    def runs(self) -> list[Run]:
        """Every run, read before any is changed, for pages shift under changes."""
        return _all_pages(
            lambda token: self.client.search_runs([self.id], run_view_type=ViewType.ACTIVE_ONLY, page_token=token)
        )

    def logged_models(self) -> list[LoggedModel]:
        """Every model."""
        return _all_pages(lambda token: self.client.search_logged_models([self.id], page_token=token))

    def create_run(self, name: str, start: datetime, tags: Mapping[str, str]) -> str:
        """A new run's id. It stays RUNNING until `end_run`."""
        cut = {allowed_name(key): value[:TAG_LENGTH] for key, value in tags.items()}
        run = self.client.create_run(self.id, start_time=_milliseconds(start), tags=cut, run_name=name)
        self.created_runs += 1
        return run.info.run_id

    def end_run(self, run_id: str, status: str, end: datetime) -> None:
        """End a run as FINISHED, FAILED or KILLED; one that was ended before is ended anew."""
        self.client.set_terminated(run_id, status, _milliseconds(end))

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        """Set or replace a tag of a run."""
        self.client.set_tag(run_id, name, value[:TAG_LENGTH])

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log parameters; those that are None are not said. Values that are no strings are logged as JSON."""
        for batch in _batches([Param(name, text) for name, text in param_texts(params).items()], PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=batch)

    def log_metrics(self, run_id: str, points: list[Point], time: datetime) -> None:
        """Log metrics as measured at `time`."""
        metrics = [Metric(allowed_name(point.name), point.value, _milliseconds(time), point.step) for point in points]
        for batch in _batches(metrics, METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=batch)

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file into a folder of a run's artifacts."""
        self.client.log_artifact(run_id, str(path), folder)

    def create_model(self, folder: str, content: str, run_id: str | None) -> str:
        """The id of a new model whose files lie in `folder` and have the digest `content`; `run_id` made it."""
        model = mlflow.create_external_model(
            name=re.sub(r"[^\w-]+", "-", folder).strip("-"),
            source_run_id=run_id,
            tags={"uri": folder, "sha256": content},
            experiment_id=self.id,
        )
        return model.model_id


def param_texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow shows them: those that are said, as texts of a bounded length."""
    return {allowed_name(name): _text(value)[:PARAM_LENGTH] for name, value in params.items() if value is not None}


def allowed_name(text: str) -> str:
    """A name as MLflow allows it: letters, digits and `_ - . / space` only, 250 of them."""
    return re.sub(r"[^\w\-./ ]", "_", text)[:KEY_LENGTH]


def _all_pages(page_after: Callable[[str | None], Any]) -> list[Any]:
    entities, token = [], None
    while True:
        page = page_after(token)
        entities += page
        token = page.token
        if not token:
            return entities


def _batches(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
