"""The steps of a training in an MLflow server, while it trains. Whatever becomes of the server, the training goes on.

A trainer tells its steps, and a thread sends them: the queue has bounds, each request has a short time, and the thread
gives up on a server that is gone. The record has all of it in any case, and the next export adds what is missing, so
that nothing here is repeated or kept. In Python's own library, for the environments of jobs have no MLflow.
"""

import base64
import getpass
import json
import math
import os
import queue
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mmr1.plumbing.attempt import attempt_name
from mmr1.plumbing.curves import named_values
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.folder_id import folder_id

ROWS, SECONDS = 1000, 5.0  # kept for a server that does not answer; for one request
FAILURES, LONGEST_PAUSE = 12, 60.0  # about eight minutes without an answer, then it is left alone
AT_THE_END = 5.0  # seconds that a job waits for its last steps, where the server answered so far
METRICS_A_REQUEST = 900  # MLflow takes 1,000

_running: "Live | None" = None


def has_server(uri: str | None) -> bool:
    """Whether a tracking URI is that of a server, to which many may write at once."""
    return uri is not None and uri.startswith(("http://", "https://"))


@contextmanager
def showing(url: str | None, results: Path, rule: str, wildcards: str, start: datetime) -> Iterator[None]:
    """Send what the body tells to the server at `url`, into a run of this job; without one nothing is sent."""
    global _running
    _running = None if url is None else Live(url, results, rule, wildcards, start)
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        live, _running = _running, None
        if live is not None:
            live.end(status)


def tell(file: str, row: Mapping[str, Any]) -> None:
    """Show a row of `metrics.jsonl` and the like, now. Returns at once, and never fails."""
    if _running is not None:
        _running.tell(row["step"], named_values(file, row))


class Live:
    """One job's run in a server. The thread starts with the first step: most jobs have none."""

    def __init__(self, url: str, results: Path, rule: str, wildcards: str, start: datetime) -> None:
        self.url, self.results, self.rule, self.wildcards, self.start = url.rstrip("/"), results, rule, wildcards, start
        self.rows: queue.Queue[tuple[int, int, dict[str, float]] | str] = queue.Queue(ROWS)
        self.ending, self.given_up, self.answers = threading.Event(), threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def tell(self, step: int, values: dict[str, float]) -> None:
        """Put a step's metrics into the queue; where it is full they are left to the next export."""
        if self.given_up.is_set():
            return
        if self.thread is None:
            self.thread = threading.Thread(target=self._send, daemon=True)
            self.thread.start()
        with suppress(queue.Full):
            self.rows.put_nowait((step, round(time.time() * 1000), values))

    def end(self, status: str) -> None:
        """Send what is left and how the job ended, if the server answers; else leave that to the next export."""
        if self.thread is None:
            return
        self.ending.set()
        if self.answers.is_set():
            with suppress(queue.Full):
                self.rows.put_nowait(status)
                self.thread.join(AT_THE_END)

    def _send(self) -> None:
        try:
            run = self._patiently(self._create)
            while run is not None:
                status, metrics = self._take()
                for first in range(0, len(metrics), METRICS_A_REQUEST):
                    part = metrics[first : first + METRICS_A_REQUEST]
                    if self._patiently(lambda: self._ask("runs/log-batch", run_id=run, metrics=part) or True) is None:  # noqa: B023
                        return
                if status is not None:
                    self._ask("runs/update", run_id=run, status=status, end_time=round(time.time() * 1000))
                    return
        except Exception as error:  # whatever a server, a network or a disk comes up with
            self._give_up(f"{type(error).__name__}: {error}")

    def _take(self) -> tuple[str | None, list[dict[str, Any]]]:
        """What lies in the queue, once something does: metrics, and how the job ended if it has."""
        metrics: list[dict[str, Any]] = []
        row = self.rows.get()
        while True:
            if isinstance(row, str):
                return row, metrics
            step, when, values = row
            metrics += [
                {"key": name, "value": _number(value), "timestamp": when, "step": step}
                for name, value in values.items()
            ]
            try:
                row = self.rows.get_nowait()
            except queue.Empty:
                return None, metrics

    def _patiently(self, request: Any) -> Any:
        """What a request gives; None if the server is gone for long, or the job has ended before it came back."""
        for failures in range(FAILURES):
            try:
                answer = request()
                self.answers.set()
                return answer
            except OSError as error:  # of the network; an answer that says no is another matter
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                    raise
                self.answers.clear()
                problem = error
            if self.ending.wait(min(2.0**failures, LONGEST_PAUSE)):
                return None
        self._give_up(f"no answer for {FAILURES} times: {problem}")
        return None

    def _give_up(self, problem: str) -> None:
        words = " ".join(problem.split())[:300]
        said = f"warning: {self.url}: steps are not shown while they are trained: {words}; the next export shows them"
        with suppress(OSError, ValueError):  # a job that ends closes its streams
            print(said, file=sys.stderr, flush=True)
        self.given_up.set()

    def _create(self) -> str:
        """The id of a new run for this start of the job."""
        try:
            folder = folder_id(self.results)
        except UserError as error:
            raise ValueError(str(error)) from None
        place = {"host": socket.gethostname(), "user": getpass.getuser()}
        name = attempt_name(self.rule, self.wildcards, self.start, place["host"], os.getpid())
        tags = {
            "mmr1.folder": folder,
            "mmr1.kind": "live",
            "mmr1.name": name,
            "mmr1.rule": self.rule,
            "mmr1.wildcards": self.wildcards,
            "mmr1.host": place["host"],
            "mlflow.user": place["user"],
            "mlflow.runName": f"{self.rule} {self.wildcards} (training) [{place['user']} {folder[:4]}]",
        }
        answer = self._ask(
            "runs/create",
            experiment_id=self._experiment(folder),
            start_time=round(self.start.timestamp() * 1000),
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
        return str(answer["run"]["info"]["run_id"])

    def _experiment(self, folder: str) -> str:
        """The experiment that the results are shown in already, or the one of their folder's name, made if need be."""
        mine = self._ask("experiments/search", max_results=1, filter=f"tags.`mmr1.results.{folder}` LIKE '%'")
        if mine.get("experiments"):
            return str(mine["experiments"][0]["experiment_id"])
        name = self.results.resolve().name
        try:
            return str(self._ask("experiments/create", name=name)["experiment_id"])
        except urllib.error.HTTPError as error:
            if error.code != 400:  # it is there
                raise
        return str(self._ask(f"experiments/get-by-name?experiment_name={name}")["experiment"]["experiment_id"])

    def _ask(self, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json", **_authorization()}
        request = urllib.request.Request(f"{self.url}/api/2.0/mlflow/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=SECONDS, context=_certificates(self.url)) as answer:
            return json.load(answer)


def _authorization() -> dict[str, str]:
    """As MLflow's own client takes it from the environment."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _certificates(url: str) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))


def _number(value: float) -> float | str:
    """A number as JSON has it; what it has no form for as MLflow reads it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
