"""An OpenAI-compatible endpoint on this machine, for tests of what asks one."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that says yes to one answer, no to others, and may fail first."""

    failures: ClassVar[int] = 0
    requests: ClassVar[list[dict[str, Any]]] = []
    reply: ClassVar[str | None] = None
    failing: ClassVar[set[str]] = set()
    echo: ClassVar[Callable[[str], str]] = str

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).requests.append({**body, "key": self.headers["Authorization"]})
        if type(self).failures > 0:
            type(self).failures -= 1
            self._send(500, {"error": {"message": f"no, {type(self).echo(self.headers['Authorization'])}"}})
            return
        asked = str(body["messages"])
        if any(text in asked for text in type(self).failing):
            self._send(400, {"error": {"message": "no"}})
            return
        said = self.reply or ("Yes." if "President Biden" in asked else "no")
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        self._send(200, {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """The URL of an endpoint that has not been asked anything yet."""
    Endpoint.failures, Endpoint.requests, Endpoint.reply, Endpoint.failing = 0, [], None, set()
    Endpoint.echo = str
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
