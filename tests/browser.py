"""A person at a browser: headless Chromium, told over a pipe what to open and click, and asked what it shows.

The pipe speaks the DevTools protocol: JSON messages that end with a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 120  # a slow machine is no failure
VISIBLE = "(one => one.getClientRects().length > 0)"


class Browser:
    """One tab. `requests` and `replies` are the two ends of the pipe."""

    def __init__(self, requests: Any, replies: Any) -> None:
        self.requests, self.replies, self.number, self.session = requests, replies, 0, None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("Page.navigate", url=url)

    def read(self, *expected: str) -> str:
        """The text that the page shows, once it shows all that is expected."""
        return str(self._wait(f"document.body && {json.dumps(expected)}.every(one => document.body.innerText"
                              ".includes(one)) && document.body.innerText", expected))  # fmt: skip

    def click(self, text: str, selector: str = "a") -> None:
        """Click on what shows exactly this text, once it is there; a link stays in this tab."""
        found = (
            f"[...document.querySelectorAll({json.dumps(selector)})].filter({VISIBLE})"
            f".filter(one => (one.innerText ?? '').trim() === {json.dumps(text)}).at(0)"
        )
        self._wait(f"(one => {{ if (one) {{ one.target = ''; one.click() }} return !!one }})({found})", text)

    def address(self) -> str:
        """The address of the page."""
        return str(self._evaluate("location.href"))

    def picture(self, path: Path) -> None:
        """Keep what is seen."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def _wait(self, expression: str, what: Any) -> Any:
        end = time.monotonic() + SECONDS
        while not (value := self._evaluate(expression)):
            assert time.monotonic() < end, f"no {what!r} in {self._evaluate('document.body.innerText')}"
            time.sleep(0.2)
        return value

    def _evaluate(self, expression: str) -> Any:
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def _ask(self, method: str, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        self.requests.write(json.dumps(message).encode() + b"\0")
        self.requests.flush()
        while (reply := self._reply()).get("id") != self.number:
            pass
        assert "result" in reply, reply
        return reply["result"]

    def _reply(self) -> Any:
        text = bytearray()
        while (byte := self.replies.read(1)) not in (b"\0", b""):
            text += byte
        assert text, "the browser has ended"
        return json.loads(text)


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser without a window, its own files in the folder `profile`."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    command = [CHROMIUM or "", *words, f"--user-data-dir={profile}", "--window-size=2400,1300", "about:blank"]
    to_read, requests = os.pipe()
    replies, to_write = os.pipe()

    def as_third_and_fourth() -> None:
        reading, writing = os.dup(to_read), os.dup(to_write)
        os.dup2(reading, 3)
        os.dup2(writing, 4)

    process = subprocess.Popen(
        command, pass_fds=(3, 4), preexec_fn=as_third_and_fourth, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(to_read)
    os.close(to_write)
    try:
        with os.fdopen(requests, "wb") as write, os.fdopen(replies, "rb") as read:
            yield Browser(write, read)
    finally:
        process.terminate()
        process.wait(timeout=60)
