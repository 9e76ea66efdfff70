"""An OpenAI-compatible endpoint: many questions at once, each answer kept under the hash of what was asked.

What is kept is read first, by one program at a time, so that a job that failed goes on from there; a damaged line is
asked again. An endpoint that stays down fails the job. The key comes from the environment and
goes into the request's header only: what the endpoint says is kept without it.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmr1.data.rows import SURROGATE
from mmr1.plumbing.disk import writing
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic, digest
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.secrets import blotted
from mmr1.plumbing.work_folder import WorkFolder

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
        """The reply to some turns, and why it ended ("stop", "length", …). `sampling` as the API names it.

        Raises NoAnswer for a body that is no chat completion, such as a page of HTML with status 200.
        """
        try:
            reply = self._client.chat.completions.create(model=self.model, messages=messages, **sampling)
        except (ValueError, RecursionError) as error:  # a body that is no JSON, or nested more deeply than Python reads
            raise NoAnswer(f"expected JSON, found {type(error).__name__}: {error}") from None
        try:
            choice = reply.choices[0]
            said, reason = choice.message.content or "", choice.finish_reason or "stop"
        except (AttributeError, IndexError, TypeError, KeyError):  # the client takes any value for a completion
            raise NoAnswer(f"expected a chat completion with a choice, found {str(reply)!r}") from None
        if not isinstance(said, str) or not isinstance(reason, str):
            raise NoAnswer(f"expected a text, found {said!r}")
        return blotted(SURROGATE.sub("\ufffd", said), [self._key]), reason

    def ask_all(self, what: str, questions: Mapping[str, Callable[[], Any]], cache: Path) -> dict[str, Any]:
        """The answer to each question, by its name (a hash of all that it depends on): from `cache`, else asked.

        Raises UserError if the endpoint gives none; what it gave by then is kept in `cache` (JSON lines). Raises it at
        once if another program is at work with `cache`.
        """
        work = WorkFolder(cache)
        work.hold()
        try:
            return self._ask_all(what, questions, cache)
        finally:
            work.let_go()

    def _ask_all(self, what: str, questions: Mapping[str, Callable[[], Any]], cache: Path) -> dict[str, Any]:
        known = _kept(cache)
        failure: Exception | None = None
        with writing(cache), cache.open("a") as lines, _pool(self._at_once) as pool:
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
                lines.write(_line(asked[future], known[asked[future]]))
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
        return blotted(" ".join(f"{type(error).__name__}: {error}".split()), [self._key])[:MESSAGE_LENGTH]


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to ask in; if the body fails, nothing is asked any more."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _line(asked: str, answer: Any) -> str:
    return json.dumps({"asked": asked, "answer": answer, "sha256": digest([asked, answer])}) + "\n"


def _kept(cache: Path) -> dict[str, Any]:
    """The answers in a cache, by name. Lines that are not as they were written are removed, and asked again."""
    if not cache.exists():
        return {}
    try:
        lines = cache.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UserError(f"{cache}: expected a file of answers: {error.strerror}") from None
    answers, whole = {}, []
    for line in lines:
        try:
            row = json.loads(line)
            good = line.endswith(b"\n") and row["sha256"] == digest([row["asked"], row["answer"]])
        except (ValueError, LookupError, TypeError, RecursionError):
            good = False
        if good:
            answers[row["asked"]] = row["answer"]
            whole.append(line)
    if (damaged := len(lines) - len(whole)) > 0:
        log(f"warning: {cache}: {damaged} of {len(lines)} lines are damaged or cut off; asked again")
        with atomic(cache) as temporary:
            temporary.write_bytes(b"".join(whole))
    return answers
