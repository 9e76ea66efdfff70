"""The store that MLflow writes into, an SQLite file or a server: opened by one writer, with its experiment.

A store beside the results is theirs alone. Any other, such as a team's server, shows the results of several people: an
export finds its own runs there by the id of its results folder, and names say whose they are.
"""

import fcntl
import getpass
import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import mlflow.db
from alembic.util import CommandError
from mlflow.entities import Experiment as KnownExperiment
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DatabaseError, OperationalError

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.folder_id import folder_id
from mmr1.plumbing.makers import made_again_by
from mmr1.provenance.tracking import EXPORTED, tags

DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
# How a database names files beside it: without the folder, so that it holds wherever that is moved to. `make mlflow`
# tells the server where they are.
RELATIVE = "mlflow-artifacts:/"
LOCK = "mlflow.lock"
BESIDE = f"sqlite:///{DATABASE}"  # what is written of a database beside the results: it moves with them


@dataclass(frozen=True)
class Store:
    """Where the results in a folder are shown: MLflow's tracking `uri`, and the folder's `id`."""

    uri: str
    results: Path
    id: str

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for a server."""
        return _sqlite_file(self.uri)

    @property
    def own(self) -> bool:
        """Whether it shows these results alone: a database that lies beside them."""
        return self.database is not None and self.database.resolve().parent == self.results.resolve()

    @property
    def artifacts(self) -> Path | None:
        """Where a database's artifacts lie; None for a server, which keeps its own."""
        return None if self.database is None else self.database.with_name(ARTIFACTS)

    @property
    def experiment_name(self) -> str:
        """The experiment is named like the folder."""
        return self.results.resolve().name

    @property
    def owner(self) -> str:
        """Whose the results are, as names of runs say it in a store that others use, too."""
        return "" if self.own else f"{getpass.getuser()} {self.id[:4]}"

    @property
    def place(self) -> str:
        """Where the results lie, as a person on another machine needs it."""
        return f"{getpass.getuser()}@{socket.gethostname()}:{self.results.resolve()}"


def store_at(tracking_uri: str, results: Path) -> Store:
    """The store of a results folder at an URI. Raises UserError for a database without an absolute path."""
    _sqlite_file(tracking_uri)
    return Store(tracking_uri, results, folder_id(results))


def written_uri(store: Store) -> str:
    """What `EXPORTED` says of where results are shown."""
    return BESIDE if store.own else store.uri


def uri_written(uri: str, results: Path) -> str:
    """The URI that `EXPORTED` means, wherever the results are now. It once named their folder."""
    own = uri == BESIDE or uri.endswith(f"/{results.resolve().name}/{DATABASE}")
    return f"sqlite:///{results.absolute()}/{DATABASE}" if own else uri


def open_experiment(store: Store, anew: bool = False) -> str:
    """The id of the store's experiment, which is made if there is none.

    A database is migrated first; one of the results' own is removed first if it shall begin `anew`. Raises UserError
    for a store that cannot be written to, which a write shows, for a database that this version of MLflow cannot
    migrate, and for an experiment that was deleted or renamed.
    """
    with _in_one_line(store, "write to"):
        if store.database is not None and store.artifacts is not None:
            if anew and store.own:
                _remove(store.database, store.artifacts)
            _migrate(store)
            if store.own:
                _make_relative(store.database)
            store.artifacts.mkdir(parents=True, exist_ok=True)
        client = mlflow.MlflowClient()
        experiment = _experiment(client, store)
        for name, value in tags.of_experiment(store.id, store.place).items():
            client.set_experiment_tag(experiment, name, value)
    return experiment


def read_experiment(store: Store) -> KnownExperiment:
    """The store's experiment, which is not changed.

    Raises UserError for a store that cannot be read, and for an experiment that is not there, was deleted or renamed.
    """
    if store.database is not None and not store.database.is_file():  # which MLflow would make
        raise UserError(f"{store.uri}: no such database")
    with _in_one_line(store, "read"):
        known = find_experiment(mlflow.MlflowClient(), store)
    if known is None:
        raise UserError(f"{store.uri}: expected the experiment {store.experiment_name}, found none of this name")
    return known


def find_experiment(client: mlflow.MlflowClient, store: Store) -> KnownExperiment | None:
    """The store's experiment; None if there is none yet.

    Raises UserError if it was deleted or renamed, with the command that puts it back.
    """
    name = store.experiment_name
    known = client.get_experiment_by_name(name)
    if known is not None and known.lifecycle_stage != "active":
        again = _command(store, f"restore --experiment-id {known.experiment_id}")
        raise UserError(f"{store.uri}: experiment {name} was deleted in MLflow; put it back: {again}")
    mine = [one for one in client.search_experiments() if _shows(one, store)]
    renamed = next((one for one in mine if one.name != name), None)
    if renamed is not None and (known is None or not _shows(known, store)):
        again = _command(store, f"rename --experiment-id {renamed.experiment_id} --new-name {name}")
        raise UserError(
            f"{store.uri}: expected the experiment {name}, found it renamed to {renamed.name!r}; "
            f"give it its name back: {again}"
        )
    return known


@contextmanager
def sole_writer(store: Store) -> Iterator[None]:
    """Two exports of one folder, or into one database, wait for each other."""
    files = [store.results / LOCK]
    if store.database is not None:
        files.append(store.database.with_name(f"{store.database.name}.lock"))
    with ExitStack() as locks:
        for path in files:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = locks.enter_context(path.open("w"))
            except OSError as error:
                raise UserError(f"{store.uri}: cannot write to MLflow: {error.strerror}: {error.filename}") from None
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _in_one_line(store: Store, verb: str) -> Iterator[None]:
    """Ask MLflow for this store, and have what goes wrong said in one line."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    mlflow.set_tracking_uri(store.uri)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # sqlalchemy, requests, alembic and mlflow have a family of errors each
        raise UserError(f"{store.uri}: cannot {verb} MLflow: {type(error).__name__}: {_first_line(error)}") from error


def _migrate(store: Store) -> None:
    """Bring a database to the schema of this MLflow, or make an empty one."""
    try:
        mlflow.db.upgrade.callback(store.uri)  # first, and alone: openers that race leave it half migrated
    except (CommandError, DatabaseError) as error:  # a newer MLflow's, or no database any more
        if not store.own or isinstance(error, OperationalError):  # such as a full disk
            raise
        again = f"MMR1_MLFLOW=anew {made_again_by(str(store.results / EXPORTED))}"
        raise UserError(
            f"{store.uri}: expected a database of MLflow {mlflow.__version__} or an earlier one, found "
            f"{_first_line(error)}; make it anew from the records: {again}"
        ) from error


def _experiment(client: mlflow.MlflowClient, store: Store) -> str:
    known = find_experiment(client, store)
    if known is None:
        try:
            location = RELATIVE if store.artifacts is not None else None
            return str(client.create_experiment(store.experiment_name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            known = find_experiment(client, store)  # another export made it in this moment
            assert known is not None
    return str(known.experiment_id)


def _shows(experiment: KnownExperiment, store: Store) -> bool:
    """Whether an experiment shows these results; in a database of their own, whatever id they had then."""
    own = any(name.startswith(tags.of_folder("")) for name in experiment.tags)
    return own if store.own else tags.of_folder(store.id) in experiment.tags


def _make_relative(database: Path) -> None:
    """Take the folder out of the places that earlier versions wrote into a database; it may have been moved since."""
    with sqlite3.connect(database, timeout=60) as connection:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            rest = f"ltrim(substr({column}, instr({column}, '/{ARTIFACTS}') + {len(ARTIFACTS) + 1}), '/')"
            where = f"{column} like 'file:%/{ARTIFACTS}' or {column} like 'file:%/{ARTIFACTS}/%'"
            connection.execute(f"update {table} set {column} = '{RELATIVE}' || {rest} where {where}")
    connection.close()


def _remove(database: Path, artifacts: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(artifacts, ignore_errors=True)


def _command(store: Store, words: str) -> str:
    return f"MLFLOW_TRACKING_URI={store.uri} .envs/driver/bin/mlflow experiments {words}"


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
