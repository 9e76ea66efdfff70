"""Reading and writing one experiment through MLflow's client, within MLflow's limits."""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import Dataset, LoggedModel, LoggedModelStatus, Metric, Param, Run, RunTag, ViewType
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.models.utils import get_external_mlflow_model_spec
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

from mmr1.provenance.tracking import tags
from mmr1.provenance.tracking.metrics import Point
from mmr1.provenance.tracking.store import RELATIVE, Store

# Longer values are cut here, and stand in full in the record among the artifacts.
PARAM_LENGTH, TAG_LENGTH, KEY_LENGTH = 6000, 8000, 250
PARAMS_A_BATCH, METRICS_A_BATCH = 100, 1000


class Experiment:
    """What a results folder shows in one experiment of a store: its own runs and models, and nobody else's."""

    def __init__(self, id: str, store: Store) -> None:
        self.id, self.store, self.client = id, store, mlflow.MlflowClient()
        self.created_runs = 0

    def runs(self) -> list[Run]:
        """Every run of these results, read before any is changed, for pages shift under changes.

        In a database of their own all runs are theirs, whatever id the folder had before it was copied.
        """
        mine = "" if self.store.own else f"tags.{tags.FOLDER} = '{self.store.id}'"
        found = _all_pages(
            lambda token: self.client.search_runs(
                [self.id], filter_string=mine, run_view_type=ViewType.ACTIVE_ONLY, page_token=token
            )
        )
        return [run for run in found if tags.KIND in run.data.tags]

    def logged_models(self) -> list[LoggedModel]:
        """Every model of these results."""
        models = _all_pages(lambda token: self.client.search_logged_models([self.id], page_token=token))
        return [one for one in models if self.store.own or one.tags.get(tags.FOLDER) == self.store.id]

    def create_run(self, name: str, start: datetime, described: Mapping[str, str]) -> str:
        """A new run's id. It stays RUNNING until `end_run`."""
        described = {**described, tags.FOLDER: self.store.id, tags.FORM: tags.PRESENT_FORM}
        cut = {allowed_name(key): value[:TAG_LENGTH] for key, value in described.items()}
        run = self.client.create_run(self.id, start_time=_milliseconds(start), tags=cut, run_name=self.named(name))
        self.created_runs += 1
        return run.info.run_id

    def adopt_run(self, run: Run, name: str, described: Mapping[str, str]) -> None:
        """Make a run that its job began one of this export's. It stays RUNNING until `end_run`, as a new one does."""
        run_id = run.info.run_id
        self.client.update_run(run_id, "RUNNING", self.named(name))
        described = {**described, tags.FOLDER: self.store.id, tags.FORM: tags.PRESENT_FORM}
        cut = [RunTag(allowed_name(key), value[:TAG_LENGTH]) for key, value in described.items()]
        for batch in _batches(cut, PARAMS_A_BATCH):
            self.client.log_batch(run_id, tags=batch)

    def points(self, run: Run) -> set[Point]:
        """Every point of every metric that a run has."""
        histories = [self.client.get_metric_history(run.info.run_id, name) for name in run.data.metrics]
        return {Point(one.key, one.value, one.step) for history in histories for one in history}

    def named(self, name: str) -> str:
        """A name that says whose the run is, where others' runs stand beside it."""
        return f"{name} [{self.store.owner}]" if self.store.owner else name

    def end_run(self, run_id: str, status: str, end: datetime) -> None:
        """End a run as FINISHED, FAILED or KILLED; one that was ended before is ended anew."""
        self.client.set_terminated(run_id, status, _milliseconds(end))

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        """Set or replace a tag of a run."""
        self.client.set_tag(run_id, name, value[:TAG_LENGTH])

    def tag(self, run_id: str, name: str) -> str | None:
        """A tag of a run as it is now."""
        value = self.client.get_run(run_id).data.tags.get(name)
        return None if value is None else str(value)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log parameters; those that are None are not said. Values that are no strings are logged as JSON."""
        for batch in _batches([Param(name, text) for name, text in param_texts(params).items()], PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=batch)

    def log_metrics(
        self,
        run_id: str,
        points: list[Point],
        time: datetime,
        model_id: str | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        """Log metrics as measured at `time`, of a model on a data set if they are named; what is there stays."""
        data = (None, None) if dataset is None else (dataset.name, dataset.digest)
        metrics = [
            Metric(allowed_name(one.name), one.value, _milliseconds(time), one.step, model_id, *data) for one in points
        ]
        for batch in _batches(metrics, METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=batch)

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Copy a file into a folder of a run's artifacts."""
        place = artifact_folder(self.client.get_run(run_id).info.artifact_uri, self.store)
        if place is None:
            self.client.log_artifact(run_id, str(path), folder)
        else:
            (place / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / folder / path.name)

    def create_model(
        self, name: str, model_tags: Mapping[str, str], params: Mapping[str, str], run_id: str | None
    ) -> str:
        """The id of a new model that lies outside of MLflow; the run `run_id` made it."""
        words = f"{name} {self.store.owner}".strip()
        model = self.client.create_logged_model(
            self.id,
            name=re.sub(r"[^\w-]+", "-", words).strip("-"),
            source_run_id=run_id,
            tags={**model_tags, tags.FOLDER: self.store.id, MLFLOW_MODEL_IS_EXTERNAL: "true"},
            params=dict(params),
            model_type="checkpoint",
        )
        with TemporaryDirectory() as temporary:
            described = Path(temporary) / MLMODEL_FILE_NAME
            get_external_mlflow_model_spec(model).save(str(described))
            place = artifact_folder(model.artifact_location, self.store)
            if place is None:
                self.client.log_model_artifacts(model.model_id, temporary)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(described, place / described.name)
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return str(model.model_id)


def artifact_folder(uri: str, store: Store) -> Path | None:
    """Where the artifacts of a run or model lie on this machine; None if a server keeps them."""
    place = urlsplit(uri)
    if place.scheme in ("", "file"):
        return Path(unquote(place.path))
    if store.artifacts is not None and uri.startswith(RELATIVE):
        return store.artifacts / unquote(place.path).lstrip("/")
    return None


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
