"""A `python` for tests whose programs need not import torch, or Snakemake, again: a server has, and forks."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("forking_server.py")

# A `python`: what it cannot fork it starts.
SHIM = """#!{python} -SE
import os, sys
if not sys.argv[1:] or sys.argv[1].startswith("-"):
    os.execv({environment!r}, [{environment!r}, *sys.argv[1:]])
import json, signal, socket
with socket.socket(socket.AF_UNIX) as server:
    server.connect({socket!r})
    socket.send_fds(server, [b" "], [0, 1, 2])
    request = dict(argv=sys.argv[1:], cwd=os.getcwd(), environment=dict(os.environ), kill=None)
    server.sendall(json.dumps(request).encode() + b"\\n")
    code = int(server.makefile().readline())
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class ForkingServer:
    """Starts programs, as its `python` does (see `forking_server.py`)."""

    def __init__(self, libraries: str = "torch", environment: str | Path = sys.executable, **variables: str) -> None:
        """What it has imported (`torch` and its like, or the `driver`'s), the Python that has them, and what they see.

        `variables` are for libraries that look at the environment once, when they are imported.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="forking-"))  # a socket's path is short
        self._socket = str(self._folder / "socket")
        self.python = str(self._folder / "python")
        base = getattr(sys, "_base_executable", sys.executable)
        Path(self.python).write_text(SHIM.format(python=base, environment=str(environment), socket=self._socket))
        Path(self.python).chmod(0o755)
        self._server = subprocess.Popen(
            [environment, str(SERVER), self._socket, libraries],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )
        assert self._server.stdout is not None
        assert "ready\n" in iter(self._server.stdout.readline, "")

    def start(
        self,
        argv: Sequence[str | Path],
        log: Path,
        kill: Sequence[Any] | None = None,
        cwd: Path | None = None,
        **environment: str,
    ) -> socket.socket:
        """Start a program, its path first, with both streams at the end of a log; what `wait` takes."""
        running = socket.socket(socket.AF_UNIX)
        running.connect(self._socket)
        with log.open("a") as streams, Path(os.devnull).open() as nothing:
            socket.send_fds(running, [b" "], [nothing.fileno(), streams.fileno(), streams.fileno()])
        words = [str(word) for word in argv]
        request = {"argv": words, "cwd": str(cwd or Path.cwd()), "environment": {**os.environ, **environment}}
        running.sendall(json.dumps({**request, "kill": kill}).encode() + b"\n")
        return running

    def wait(self, running: socket.socket) -> int:
        """The exit code of a program, or minus the signal that ended it."""
        with running, running.makefile() as answer:
            return int(answer.readline())

    @property
    def path(self) -> str:
        """PATH with this `python` first, for Snakemake."""
        return f"{self._folder}:{os.environ['PATH']}"

    def close(self) -> None:
        """End the server. Its input alone may stay open: a process that a test forked and left has it, too."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.terminate()
        self._server.wait(timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)
