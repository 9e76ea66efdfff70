"""Work in several processes whose results come in the order of what they were made from."""

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from mmr1.plumbing.errors import UserError

Given = TypeVar("Given")
Made = TypeVar("Made")

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when its parent ends
_make: Callable[[Any], Any]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(make: Callable[[Given], Made], given: Iterable[Given], workers: int) -> Iterator[Made]:
    """`make` of each of `given`, in order. At most two per worker are under way or waiting to be taken.

    The processes are forked, so that `make` may hold what is too large to be sent, an index say, and end with this one.
    With one worker all is made here.
    """
    if workers == 1:
        yield from map(make, given)
        return
    waiting: deque[Future[Made]] = deque()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin, (make, os.getpid())) as pool:
        try:
            for one in given:
                waiting.append(pool.submit(_call, one))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "a worker was killed, for want of memory perhaps: ask for more, or for fewer workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(make: Callable[[Any], Any], parent: int) -> None:
    global _make
    _make = make
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be told
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _call(given: Any) -> Any:
    return _make(given)
