"""Being told to stop: SIGTERM (preemption), or a job's time limit coming near."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

# sysexits.h EX_TEMPFAIL: not done, try again. The state is saved.
EXIT_CODE = 75

# How long a rank waits for another. NCCL's own 10 minutes are too few: all wait while a state of hundreds of gigabytes
# is written or read.
PATIENCE = timedelta(hours=2)


class Interrupted(Exception):
    """The job was asked to stop, and its state is saved."""


class Preempted(Exception):
    """Raised inside a phase that changes nothing, so that it can be left at once."""


class Interruption:
    """Whether this process was asked to stop, or soon will be killed.

    `minutes` is the time the job has, counted from `started` (a `time.monotonic()`); None is no limit.
    """

    def __init__(self, minutes: float | None = None, started: float | None = None) -> None:
        started = time.monotonic() if started is None else started
        self.deadline = float("inf") if minutes is None else started + 60 * minutes
        self.reason: str | None = None
        self._may_leave = False
        self._longest = {"step": 0.0, "save": 0.0}
        signal.signal(signal.SIGTERM, self._on_signal)

    def took(self, what: str, seconds: float) -> None:
        """Remember how long the longest step and the longest save took: the deadline is kept by them."""
        self._longest[what] = max(self._longest[what], seconds)

    def requested(self) -> bool:
        """Whether to save and leave now: after SIGTERM, or when one more step and two saves may not fit."""
        if self.reason is None:
            needed = self._longest["step"] * 1.2 + self._longest["save"] * 2
            if time.monotonic() + needed >= self.deadline:
                self.reason = "the time limit is near"
        return self.reason is not None

    @contextmanager
    def may_leave(self) -> Iterator[None]:
        """While the body runs, SIGTERM ends it at once with `Preempted`: for phases whose results can be dropped."""
        self._may_leave = True
        try:
            if self.reason is not None:
                raise Preempted
            yield
        finally:
            self._may_leave = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = "SIGTERM"
        if self._may_leave:
            raise Preempted
