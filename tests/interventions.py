"""What tests do to a program from inside: a signal in the middle of a call, calls that begin late, a full disk."""

import importlib
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


def intervene(kill: Sequence[Any] | None) -> None:
    """A kill as `install_kill` takes it, and what variables ask for.

    With a seed in LATE, what ranks, engine and verifier do begins at random up to 0.1 seconds late. The rank that FULL
    names can write no file of more than 32 KiB.
    """
    if kill:
        install_kill(*kill)
    if "LATE" in os.environ:
        install_delays(os.environ["LATE"])
    if "FULL" in os.environ and os.environ["FULL"] == os.environ.get("RANK"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, 32 << 10))


def install_kill(where: str, call: int, delay: float, number: int = signal.SIGKILL) -> None:
    """Send this process a signal `delay` seconds into the `call`-th call of `module:Class.function`.

    If the call takes less, SIGKILL comes as it returns: the process never outlives it.
    """
    module, _, path = where.partition(":")
    owner = importlib.import_module(module)
    *holders, name = path.split(".")
    for holder in holders:
        owner = getattr(owner, holder)
    function = getattr(owner, name)
    calls = [0]

    def wrapped(*args, **kwargs):
        calls[0] += 1
        if calls[0] != call:
            return function(*args, **kwargs)
        if not delay:
            os.kill(os.getpid(), number)
            return function(*args, **kwargs)
        threading.Timer(delay, os.kill, (os.getpid(), number)).start()
        try:
            return function(*args, **kwargs)
        finally:
            if number == signal.SIGKILL:
                os.kill(os.getpid(), number)

    setattr(owner, name, wrapped)


# Where one rank, request or worker waits for another, or could come before it.
MEETINGS = (
    ("mmr1.grpo.distributed", "Ranks.gather"),
    ("mmr1.grpo.distributed", "Ranks.barrier"),
    ("mmr1.grpo.loader", "Loader._make"),
    ("mmr1.rollout.transformers_engine", "TransformersEngine.generate"),
    ("mmr1.rewards.verifier.verify", "Verifier.verify"),
)


def install_delays(seed: str) -> None:
    """Let every call of `MEETINGS` begin late, each time by another random time that `seed` and this rank give."""
    generator = random.Random(f"{seed} {os.environ['RANK']}")
    for module, path in MEETINGS:
        holder, name = path.split(".")
        owner = getattr(importlib.import_module(module), holder)
        setattr(owner, name, late(getattr(owner, name), generator))


def late(function: Callable[..., Any], generator: random.Random) -> Callable[..., Any]:
    """The function, but each call begins up to 0.1 seconds late."""

    def after_a_while(*args, **kwargs):
        time.sleep(generator.random() / 10)
        return function(*args, **kwargs)

    return after_a_while
