"""A hub of our own on this machine, which answers as much as the real clients (huggingface_hub, datasets) ask for."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from threading import Thread
from typing import Any

COMMIT, OTHER = "6628554" + "0" * 33, "cc59489" + "0" * 33


class Hub:
    """A hub with one repository. `files` is its content; what is in `damaged` is sent with its first byte changed."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.large: set[str] = set()
        self.damaged: set[str] = set()
        self.fetched: list[str] = []

    def answer(self, path: str, whole: bool) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("/commits/main"):
            commits = [{"id": commit, "authors": [], "date": "2025-01-01T00:00:00.000Z", "title": "", "message": ""}
                       for commit in (OTHER, COMMIT)]  # fmt: skip
            return 200, {"Content-Type": "application/json"}, json.dumps(commits).encode()
        if path.endswith(f"/revision/{COMMIT}"):
            files = [{"rfilename": name} for name in self.files]
            told = {"id": "some/thing", "sha": COMMIT, "siblings": files, "private": False, "tags": []}
            return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
        if f"/tree/{COMMIT}" in path:
            folder = path.partition(f"/tree/{COMMIT}")[2].strip("/")
            return 200, {"Content-Type": "application/json"}, json.dumps(self._tree(folder)).encode()
        name = path.split(f"/resolve/{COMMIT}/")[-1]
        if name not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        data = self.files[name]
        if whole:
            self.fetched.append(name)
            data = b"?" + data[1:] if name in self.damaged else data
        return 200, {"ETag": f'"{hashlib.sha1(self.files[name]).hexdigest()}"', "X-Repo-Commit": COMMIT}, data

    def _tree(self, folder: str) -> list[dict[str, Any]]:
        """What lies in a folder, and below it: files, and the folders on the way."""
        inside = [name for name in self.files if name.startswith(f"{folder}/" if folder else "")]
        parents = {str(parent) for name in inside for parent in PurePosixPath(name).parents} - {".", folder}
        folders = [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(parents)]
        return [*folders, *map(self._listed, inside)]

    def _listed(self, name: str) -> dict[str, Any]:
        data = self.files[name]
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
