"""Progress of long work: a bar in a terminal, a plain line every few seconds in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmr1.plumbing.secrets import blotted

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def log(message: str) -> None:
    """Say something on stderr, where logs go, with the time of day and without secrets."""
    print(f"[{time.strftime('%H:%M:%S')}] {blotted(message)}", file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Go through `items` and show how far it is; `total` is needed where `items` has no length."""
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from _bar(items, what, total)
    else:
        yield from _lines(items, what, total)


def _bar(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=what)


def _lines(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done == total:
            log(f"{what}: {done}/{total} in {now - start:.0f} s")
            last = now
