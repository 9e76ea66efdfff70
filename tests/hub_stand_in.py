"""A hub of our own on this machine, which answers as much as the real clients (huggingface_hub, datasets) ask for."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Thread
from typing import Any

COMMIT, OTHER = "6628554" + "0" * 33, "cc59489" + "0" * 33


PATH = re.compile(
    r"/(?:api/)?(?:(?:datasets|models)/)?(?P<repository>[^/]+/[^/]+)/"
    rf"(?P<what>commits|revision|tree|resolve)/(?P<commit>main|{COMMIT}|{OTHER})/?(?P<name>.*)"
)
JSON = {"Content-Type": "application/json"}


class Hub:
    """A hub, every repository of which has two commits with the same content: that of `repositories`, else `files`.

    Of what is `large` it tells the sha256; what is in `damaged` is sent with its first byte changed. Once `refusal` is
    set, that is what it answers: a status and headers.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.large: set[str] = set()
        self.damaged: set[str] = set()
        self.fetched: list[str] = []
        self.refusal: tuple[int, dict[str, str]] | None = None
        self.asked = 0

    def answer(self, path: str, whole: bool) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path; the body of a file only if it is asked for as a `whole`."""
        self.asked += 1
        if self.refusal is not None:
            return *self.refusal, b""
        asked = PATH.fullmatch(path)
        if asked is None:
            return 404, {}, b""
        files, name = self.repositories.get(asked["repository"], self.files), asked["name"]
        if asked["what"] == "commits":
            commits = [{"id": commit, "authors": [], "date": "2025-01-01T00:00:00.000Z", "title": "", "message": ""}
                       for commit in (OTHER, COMMIT)]  # fmt: skip
            return 200, JSON, json.dumps(commits).encode()
        if asked["what"] == "revision":
            listed = [{"rfilename": name} for name in files]
            told = {"id": asked["repository"], "sha": asked["commit"], "siblings": listed, "private": False, "tags": []}
            return 200, JSON, json.dumps(told).encode()
        if asked["what"] == "tree":
            return 200, JSON, json.dumps(self._tree(files, name)).encode()
        if name not in files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        data = files[name]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": asked["commit"]}
        if whole:
            self.fetched.append(name)
        return 200, headers, b"?" + data[1:] if whole and name in self.damaged else data

    def _tree(self, files: dict[str, bytes], folder: str) -> list[dict[str, Any]]:
        """What lies in a folder, and below it: files, and the folders on the way."""
        inside = [name for name in files if name.startswith(f"{folder}/" if folder else "")]
        parents = {str(parent) for name in inside for parent in PurePosixPath(name).parents} - {".", folder}
        folders = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(parents)]
        return [*folders, *(self._listed(name, files[name]) for name in inside)]

    def _listed(self, name: str, data: bytes) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        lfs = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return {"type": "file", "path": name, "size": len(data), "oid": blob} | (
            {"lfs": lfs} if name in self.large else {}
        )


@contextmanager
def serving() -> Iterator[tuple[str, Hub]]:
    """A hub without files, and its URL."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path.split("?")[0], self.command == "GET")
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", hub
    server.shutdown()
