"""The store that MLflow writes into, an SQLite file or a server: opened by one writer, with its experiment."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import mlflow.db

from mmr1.plumbing.errors import UserError
from mmr1.provenance.tracking import tags


def open_experiment(tracking_uri: str, results: Path, artifacts: Path | None) -> str:
    """The id of the experiment named like the folder `results`, which is made if there is none.

    A database is migrated first. `artifacts` is where a new experiment keeps its files. Raises UserError for a store
    that cannot be written to, which a write shows.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    mlflow.set_tracking_uri(tracking_uri)  # create_external_model takes no client
    try:
        if _sqlite_file(tracking_uri) is not None:
            mlflow.db.upgrade.callback(tracking_uri)  # first, and alone: openers that race leave it half migrated
        location = None
        if artifacts is not None:
            artifacts.mkdir(parents=True, exist_ok=True)
            location = artifacts.resolve().as_uri()
        client, name = mlflow.MlflowClient(), results.resolve().name
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=location)
        for name, value in tags.of_experiment(results).items():
            client.set_experiment_tag(experiment, name, value)
    except Exception as error:  # sqlalchemy, requests, alembic and mlflow have a family of errors each
        raise UserError(
            f"{tracking_uri}: cannot write to MLflow: {type(error).__name__}: {_first_line(error)}"
        ) from error
    return experiment


@contextmanager
def sole_writer(tracking_uri: str) -> Iterator[None]:
    """Two exports into one SQLite file wait for each other; a server looks after itself."""
    file = _sqlite_file(tracking_uri)
    if file is None:
        yield
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f"{file.name}.lock").open("w")
    except OSError as error:
        raise UserError(f"{tracking_uri}: cannot write to MLflow: {error.strerror}: {error.filename}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sqlite_file(tracking_uri: str) -> Path | None:
    """The file of an SQLite URI. Raises UserError for one that is not absolute."""
    if not tracking_uri.startswith("sqlite:"):
        return None
    path = Path(tracking_uri.removeprefix("sqlite:///"))
    if not path.is_absolute():
        raise UserError(
            f"--tracking-uri {tracking_uri}: expected an absolute path, as in sqlite:////home/you/mlflow.db"
        )
    return path


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
