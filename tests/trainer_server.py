"""Starts `train_grpo.py` over and over in processes of its own: torch is imported once, then it forks.

Reads one JSON object a line: `argv`, `log` (a file for both streams), `environment`, and `kill`: into which call of
which function, after how many seconds, a signal comes (SIGKILL unless another is named). Answers with the process id; a
request `wait` with that id is answered with the exit code, or minus the signal that ended it.
"""

import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

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
