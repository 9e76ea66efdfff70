"""Seconds of a step by phase, for its timings: nothing that computes reads them.

A part of a program that does not know who measures it says `with phase("vision"):`. Within `Stopwatch.running` that is
measured, elsewhere it does nothing. A phase inside another is a part of that one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stopwatch:
    """Seconds by phase. With `on_gpu`, those of `phase` are a CUDA device's own, which runs behind this process."""

    seconds: dict[str, float] = field(default_factory=dict)
    on_gpu: bool = False
    started: float = field(default_factory=time.monotonic)
    started_cpu: float = field(default_factory=time.process_time)
    _events: list[tuple[str, Any, Any]] = field(default_factory=list)

    @contextmanager
    def time(self, phase: str) -> Iterator[None]:
        """Add the body's time to a phase."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(phase, time.monotonic() - start)

    def add(self, phase: str, seconds: float) -> None:
        """Add to a phase."""
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def total(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self.started

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure every `phase` of this thread in the body."""
        token = _running.set(self)
        try:
            yield
        finally:
            _running.reset(token)
            self._settle()

    @contextmanager
    def _time_on_gpu(self, phase: str) -> Iterator[None]:
        import torch

        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        try:
            yield
        finally:
            end.record()
            self._events.append((phase, start, end))

    def _settle(self) -> None:
        """Wait for the device, and read its clock."""
        for phase, start, end in self._events:
            end.synchronize()
            self.add(phase, start.elapsed_time(end) / 1000)
        self._events.clear()


_running: ContextVar[Stopwatch | None] = ContextVar("running", default=None)


@contextmanager
def phase(name: str, waiting: bool = False) -> Iterator[None]:
    """The body is a phase of the stopwatch that runs, if one does; `waiting` is time of this process in any case."""
    watch = _running.get()
    if watch is None:
        yield
        return
    token = _running.set(None)
    try:
        with watch._time_on_gpu(name) if watch.on_gpu and not waiting else watch.time(name):
            yield
    finally:
        _running.reset(token)
