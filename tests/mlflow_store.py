"""A results folder and the MLflow that shows it: exports, a real server, and what a database says."""

import atexit
import json
import os
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from forking import ForkingServer
from mmr1.plumbing.files import read_json

ROOT = Path(__file__).resolve().parents[1]
DRIVER = Path(os.environ.get("MMR1_DRIVER_PYTHON", ROOT / ".envs/driver/bin/python"))

needs_driver = pytest.mark.skipif(
    not DRIVER.exists(), reason=f"no {DRIVER}: `make env` builds the driver's environment"
)


@cache
def python() -> str:
    """The driver's Python, which need not import MLflow again for each program."""
    forking = ForkingServer("driver", DRIVER)
    atexit.register(forking.close)
    return forking.python


class Store:
    """A results folder, the MLflow database beside it, and what the database says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results/digits"
        self.database = self.results / "mlflow.db"

    def command(self, uri: str | None = None) -> list[str]:
        """The export's command line."""
        uri = uri or f"sqlite:///{self.database}"
        words = ["--results", self.results, "--tracking-uri", uri, "--out", self.results / "mlflow_runs.json"]
        return [str(word) for word in (python(), ROOT / "scripts/export_mlflow.py", *words)]

    def export(self, uri: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the export to its end, in the folder that records see their paths from."""
        there = {**os.environ, **environment}
        return subprocess.run(
            self.command(uri), cwd=self.folder, env=there, capture_output=True, text=True, timeout=800
        )

    def exported(self, uri: str | None = None, **environment: str) -> str:
        """What an export says that must succeed."""
        done = self.export(uri, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return rows(self.database, query, *values)

    def runs(self, kind: str) -> dict[str, dict[str, Any]]:
        """Runs in force of a kind by name (parent, record digest, attempt): their id, status, tags, start and end."""
        return runs(self.database, kind)

    def run_of(self, rule: str, wildcards: str) -> dict[str, Any]:
        """The run of one record."""
        return self.runs("record")[read_json(self.results / f"records/{rule}/{wildcards}.json")["name"]]

    def metric(self, run: str, key: str) -> list[tuple[int, float]]:
        """A metric's steps and values."""
        return self.rows("select step, value from metrics where run_uuid = ? and key = ? order by step", run, key)


def rows(database: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask a database."""
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def runs(database: Path, kind: str, folder: str | None = None) -> dict[str, dict[str, Any]]:
    """Runs in force of a kind by name, of the results folder with an id if one is given."""
    values = {}
    for run, status, start, end, name in rows(
        database, "select run_uuid, status, start_time, end_time, name from runs where lifecycle_stage = 'active'"
    ):
        tags = dict(rows(database, "select key, value from tags where run_uuid = ?", run))
        if tags.get("mmr1.kind") == kind and "mmr1.superseded" not in tags and folder in (None, tags["mmr1.folder"]):
            assert tags["mmr1.name"] not in values, "one run a name"
            found = {"id": run, "status": status, "start": start, "end": end, "name": name, "tags": tags}
            values[tags["mmr1.name"]] = found
    return values


class Server:
    """A real MLflow server on this machine, its files in its own folder."""

    def __init__(self, folder: Path, database: Path, artifacts: Path) -> None:
        self.folder, self.database, self.artifacts = folder, database, artifacts
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and wait until it answers."""
        command = [DRIVER.parent / "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", 1]
        command += ["--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination", self.artifacts]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        log = self.folder / "server.log"
        with log.open("a") as text:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdout=text,
                stderr=text,
                env={**os.environ, **quiet},
                start_new_session=True,
            )
        end = time.monotonic() + 600
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=10).close()
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(f"the server does not answer: {log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(timeout=120)

    def ask(self, path: str, **body: Any) -> Any:
        """What its REST interface answers."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def serving(database: Path | None = None, artifacts: Path | None = None) -> Iterator[Server]:
    """A server while the body runs, on a new database or on one that is there."""
    with tempfile.TemporaryDirectory(prefix="mlflow-server-") as temporary:
        folder = Path(temporary)
        server = Server(folder, database or folder / "server.db", artifacts or folder / "artifacts")
        server.start()
        try:
            yield server
        finally:
            server.stop()
