"""Rollouts from an engine on another node: `serve_rollouts.py` runs there, `ServerEngine` is the trainer's side.

The server wraps one of the local engines, so seeds, log-probabilities and suppressed tokens are the same as without
it. It answers one request after the other. Under several trainer ranks each asks for its own rollouts, and the first
sends the weights. A shared token (environment variable MMR1_ROLLOUT_TOKEN on both sides) keeps others out.
"""

import hmac
import json
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import torch
import torch.distributed as dist

from mmr1.data.prompts import PromptEncoder
from mmr1.plumbing.errors import UserError
from mmr1.rollout.requests import Engine, Request, Rollout, Sampling
from mmr1.rollout.wire import (
    pack_requests,
    pack_rollouts,
    pack_weights,
    prompt_settings,
    unpack_requests,
    unpack_rollouts,
    unpack_weights,
)

TOKEN_VARIABLE = "MMR1_ROLLOUT_TOKEN"
# A server that still loads its model is waited for.
PATIENCE_SECONDS = 600.0


class ServerEngine:
    """Samples by asking a rollout server."""

    def __init__(
        self,
        url: str | None,
        encoder: PromptEncoder,
        *,
        max_images: int,
        max_tokens: int,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Waits up to `patience` seconds for the server at `url` (http://host:port).

        Raises UserError if none answers, or if it makes other prompts or takes fewer images or tokens than asked for.
        """
        parts = urlsplit(url or "")
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise UserError(f"rollout server: expected an address of the form http://host:port, found {url}")
        self._url, self._address = url, (parts.hostname, parts.port)
        served = self._greeted(patience)
        self._notes = served["notes"]
        _compare(f"rollout server {url}", prompt_settings(encoder), served["prompts"])
        for name, wanted in (("max_images", max_images), ("max_tokens", max_tokens)):
            if served[name] < wanted:
                raise UserError(f"rollout server {url}: {name}: expected at least {wanted}, found {served[name]}")

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """One rollout per request, in the order of the requests. Raises UserError as the server's engine does."""
        return unpack_rollouts(self._post("/generate", json.dumps(pack_requests(requests, sampling)).encode()))

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Send weights; under several ranks the first does, the others only take part in gathering them."""
        several = dist.is_initialized() and dist.get_world_size() > 1
        if several and dist.get_rank() > 0:
            for _ in named_tensors:
                pass
        else:
            self._post("/weights", pack_weights(named_tensors))
        if several:
            dist.barrier()

    def sleep(self) -> None:
        """Nothing to free: the engine is elsewhere."""

    def wake(self) -> None:
        """Nothing to undo."""

    def close(self) -> None:
        """Nothing to shut down: the server ends with its own job."""

    def notes(self) -> dict[str, Any]:
        """What a record should say about this engine: what its server says."""
        return {**self._notes, "served": True}

    def _greeted(self, patience: float) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._post("/hello", b"")
            except OSError as error:
                if time.monotonic() > deadline:
                    raise UserError(f"rollout server {self._url}: no answer in {patience:.0f} s: {error}") from None
                time.sleep(1.0)

    def _post(self, path: str, body: bytes | Iterator[bytes]) -> Any:
        connection = HTTPConnection(*self._address)
        try:
            # An iterator is sent in chunks, one an item.
            connection.request("POST", path, body=body, headers=_authorization())
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status == 200:
            return answer
        kind = UserError if response.status == 400 else RuntimeError
        raise kind(f"rollout server {self._url}: {answer['error']}")


def serve(
    engine: Engine, encoder: PromptEncoder, host: str, port: int, *, max_images: int, max_tokens: int
) -> HTTPServer:
    """A server on `host`:`port` (0: any free port), bound but not yet answering: call its `serve_forever`.

    Raises UserError for an address that others can reach without a token that keeps them out.
    """
    if host not in ("127.0.0.1", "localhost", "::1") and not os.environ.get(TOKEN_VARIABLE):
        raise UserError(f"--host {host}: expected the environment variable {TOKEN_VARIABLE}, for others can reach it")
    hello = {
        "prompts": prompt_settings(encoder),
        "max_images": max_images,
        "max_tokens": max_tokens,
        "notes": engine.notes(),
    }
    return _Server((host, port), type("Handler", (_Handler,), {"engine": engine, "hello": hello}))


class _Server(HTTPServer):
    """Answers one rank after the other; the others' connections wait in line."""

    request_queue_size = 1024


class _Handler(BaseHTTPRequestHandler):
    """Answers in JSON: 200 and the answer, 400 for a user's mistake, 401 without the token, 500 for a bug."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    hello: dict[str, Any]

    def do_POST(self) -> None:
        if not hmac.compare_digest(self.headers.get("Authorization", ""), _authorization()["Authorization"]):
            self._answer(401, {"error": f"expected the token in {TOKEN_VARIABLE}"})
            return
        try:
            self._answer(200, self._result())
        except UserError as error:
            self._answer(400, {"error": str(error)})
        except Exception as error:
            traceback.print_exc()
            self._answer(500, {"error": f"{type(error).__name__}: {error}"})

    def _result(self) -> Any:
        if self.path == "/hello":
            return self.hello
        if self.path == "/generate":
            body = self.rfile.read(int(self.headers["Content-Length"]))
            return pack_rollouts(self.engine.generate(*unpack_requests(json.loads(body))))
        if self.path == "/weights":
            self.engine.load_weights(unpack_weights(self._chunks()))
            return {}
        raise UserError(f"{self.path}: expected /hello, /generate or /weights")

    def _chunks(self) -> Iterator[bytes]:
        """The chunks of a body in HTTP's chunked transfer coding (RFC 9112, section 7.1)."""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _authorization() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ.get(TOKEN_VARIABLE, '')}"}


def _compare(where: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if found[name] != value:
            raise UserError(f"{where}: {name}: expected {value!r}, found {found[name]!r}")
