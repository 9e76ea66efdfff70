"""Processes that read conversations ahead, and outlive a signal that a scheduler sends to every process of a job.

The trainer saves on such a signal and needs its readers for that; torch's own end at once, and take it with them.
"""

import mmap
import os
import signal
from multiprocessing import util

_over = mmap.mmap(-1, 1)  # shared with the processes that are forked


def outlive_signals(reader: int) -> None:
    """What a reader does first (`worker_init_fn`): let SIGTERM pass, unless the trainer ends itself."""
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0) if _over[0] else None)


def _end_readers() -> None:
    _over[0] = 1


# At exit Python ends what is left of them by SIGTERM, and waits; this comes before that.
util.Finalize(None, _end_readers, exitpriority=0)
