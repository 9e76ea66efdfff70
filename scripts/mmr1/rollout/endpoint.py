"""An OpenAI-compatible endpoint: many questions at once, each answer kept under the hash of what was asked.

What is kept is read first, so that a job that failed goes on from there. An endpoint that stays down fails the job. The
key comes from the environment and goes into the request's header only.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_jsonl
from mmr1.plumbing.progress import track

SECONDS = 600.0  # for one answer
MESSAGE_LENGTH = 300  # of an error: some quote a whole answer or page


class NoAnswer(Exception):
    """The endpoint answered, but not what was asked for."""


class Endpoint:
    """A model behind a URL; a context manager around its connections.

    `key_variable` names the environment variable with the key; without one none is sent. `retries` is how often a
    request that failed (connection, rate limit, server error) is tried again, at growing intervals. Raises UserError
    for a key that no header can hold.
    """

    def __init__(self, url: str, model: str, key_variable: str, *, retries: int = 6, at_once: int = 8) -> None:
        import openai  # takes seconds, and most evaluations have no endpoint

        self.url, self.model, self._at_once = url, model, at_once
        self._key = os.environ.get(key_variable, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"${key_variable}: expected a key that can stand in a header, found other characters in it")
        self._failures = (openai.OpenAIError, NoAnswer)
        self._client = openai.OpenAI(base_url=url, api_key=self._key or "none", max_retries=retries, timeout=SECONDS)

    def chat(self, messages: Sequence[dict[str, Any]], **sampling: Any) -> tuple[str, str]:
        """The reply to some turns, and why it ended ("stop", "length", …). `sampling` as the API names it."""
        reply = self._client.chat.completions.create(model=self.model, messages=messages, **sampling)
        if not reply.choices:
            raise NoAnswer("expected a choice, found none")
        return reply.choices[0].message.content or "", reply.choices[0].finish_reason or "stop"

    def ask_all(self, what: str, questions: Mapping[str, Callable[[], Any]], cache: Path) -> dict[str, Any]:
        """The answer to each question, by its name (a hash of all that it depends on): from `cache`, else asked.

        Raises UserError if the endpoint gives none; what it gave by then is kept in `cache` (JSON lines).
        """
        known = _kept(cache)
        cache.parent.mkdir(parents=True, exist_ok=True)
        failure: Exception | None = None
        with ThreadPoolExecutor(self._at_once) as pool, cache.open("a") as lines:
            asked: dict[Future[Any], str] = {
                pool.submit(question): name for name, question in questions.items() if name not in known
            }
            for future in track(as_completed(asked), what, len(asked)):
                if future.cancelled():
                    continue
                try:
                    known[asked[future]] = future.result()
                except self._failures as error:
                    failure = failure or error
                    for other in asked:  # those under way are awaited and kept, the others are not begun
                        other.cancel()
                    continue
                lines.write(json.dumps({"asked": asked[future], "answer": known[asked[future]]}) + "\n")
                lines.flush()
        if failure is not None:
            raise UserError(
                f"{what} {self.model} at {self.url}: {self._safe(failure)}; {len(known.keys() & questions.keys())} of "
                f"{len(questions)} answers are in {cache}: run again to go on from there"
            )
        return {name: known[name] for name in questions}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def _safe(self, error: Exception) -> str:
        """An error's text in one line, without the key, which some servers repeat; cut last, lest half a key stay."""
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return (message.replace(self._key, "…") if self._key else message)[:MESSAGE_LENGTH]


def _kept(cache: Path) -> dict[str, Any]:
    """What a cache holds; a last line that a killed job left half-written is removed."""
    if not cache.exists():
        return {}
    data = cache.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        cache.write_bytes(whole)
    return {row["asked"]: row["answer"] for row in read_jsonl(cache)}
