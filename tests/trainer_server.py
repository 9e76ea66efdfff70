"""Starts `train_grpo.py` over and over in processes of its own: torch is imported once, then it forks.

Reads one JSON object a line: `argv`, `log` (a file for both streams), `environment`, and `kill`: into which call of
which function, after how many seconds, a signal comes (SIGKILL unless another is named). With a seed in the
variable LATE, what ranks, engine and verifier do begins at random up to 0.1 seconds late. The rank that FULL names can
write no file of more than 32 KiB. Answers with the process id;
a request `wait` with that id is answered with the exit code, or minus the signal that ended it.
"""

import json
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))


def install_kill(where: str, call: int, delay: float, number: int = signal.SIGKILL) -> None:
    """Send this process a signal `delay` seconds into the `call`-th call of `module:Class.function`.

    If the call takes less, SIGKILL comes as it returns: the process never outlives it.
    """
    import importlib

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
    ("mmr1.grpo.learner", "Learner._collate"),
    ("mmr1.rollout.transformers_engine", "TransformersEngine.generate"),
    ("mmr1.rewards.verifier.verify", "Verifier.verify"),
)


def install_delays(seed: str) -> None:
    """Let every call of `MEETINGS` begin late, each time by another random time that `seed` and this rank give."""
    import importlib

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


def child(request: dict) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= request.get("environment", {})
    sys.argv = ["train_grpo.py", *request["argv"]]
    code = 1
    try:
        if request.get("kill"):
            install_kill(*request["kill"])
        if request.get("environment", {}).get("FULL") == os.environ.get("RANK", ""):
            resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, 32 << 10))
        if "LATE" in request.get("environment", {}):
            install_delays(request["environment"]["LATE"])
        import train_grpo
        from mmr1.plumbing.errors import run

        run(train_grpo.main)
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # imports print
    import deepspeed  # noqa: F401
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor  # noqa: F401

    import mmr1.grpo.round  # noqa: F401
    import train_grpo  # noqa: F401

    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), file=answers, flush=True)
            continue
        process = os.fork()
        if not process:
            child(request)
        print(process, file=answers, flush=True)


if __name__ == "__main__":
    main()
