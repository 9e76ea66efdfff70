"""Runs programs in processes of their own: what takes seconds to import is imported once, then this forks.

Listens at a Unix socket until its standard input ends, and removes the socket's folder then. Who connects sends a byte
with three open files, for the program's streams, and a line of JSON: `argv`, `cwd`, `environment` and `kill` (see
`interventions.py`). The answer, once the program has ended, is its exit code, or minus the signal that ended it. A
program of another checkout has that one's modules.
"""

import atexit
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interventions import intervene

SCRIPTS = str(Path(__file__).resolve().parents[1] / "scripts")


def import_driver() -> None:
    """What takes Snakemake, the workflow and an export into MLflow long to import."""
    import pydantic  # noqa: F401
    import snakemake.cli  # noqa: F401
    import yaml  # noqa: F401
    from mlflow.store.tracking import sqlalchemy_store  # noqa: F401

    sys.path[0] = SCRIPTS
    import mmr1.provenance.tracking.compare
    import mmr1.provenance.tracking.export  # noqa: F401

    sys.executable = str(Path(sys.argv[1]).with_name("python"))  # with it Snakemake starts jobs of its environment


def import_torch() -> None:
    """What takes programs long to import."""
    import datasets  # noqa: F401
    import deepspeed.ops
    import matplotlib.pyplot  # noqa: F401
    import numba  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import transformers.tokenization_mistral_common  # noqa: F401  # imported for any processor
    from transformers import (  # noqa: F401
        AutoModelForImageTextToText,
        AutoProcessor,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Trainer,
    )
    from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING

    # What libraries find out once in a process.
    list(VIDEO_PROCESSOR_MAPPING.values())  # when a processor is loaded
    deepspeed.ops.__compatible_ops__  # noqa: B018  # by calling compilers

    sys.path[0] = SCRIPTS
    import mmr1.grpo.round
    import mmr1.sft.train  # noqa: F401
    from mmr1.plumbing.code import tree_digest

    for path in Path(SCRIPTS).rglob("*.py"):
        tree_digest(path)  # each job has a digest of its code, and a process reads a file once


def serve(place: str) -> dict[str, Any] | None:
    """Returns in the process of each program, with what was asked for; in this one, with None, when the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return None
            client, _ = listening.accept()
            if os.fork():
                client.close()
            elif request := fork_program(client):
                return request
            else:
                os._exit(0)


def fork_program(client: socket.socket) -> dict[str, Any] | None:
    """In the program's process what was asked for; in this one None, once the program has ended and that was said."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, *_ = socket.recv_fds(client, 1, 3)
    request: dict[str, Any] = json.loads(client.makefile().readline())
    process = os.fork()
    for number, stream in enumerate(streams):
        if not process:
            os.dup2(stream, number)
        os.close(stream)
    if not process:
        client.close()
        return request
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    client.sendall(f"{code}\n".encode())
    return None


def run_program(argv: Sequence[str], cwd: str, environment: dict[str, str], kill: Sequence[Any] | None) -> int:
    """As `python PROGRAM WORDS` would; gives the exit code."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(argv)
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    if sys.path[0] != SCRIPTS:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mmr1"]:
            del sys.modules[name]
    try:
        intervene(kill)
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as leaving:
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    {"torch": import_torch, "driver": import_driver}[sys.argv[2]]()
    gc.freeze()  # so that no process looks through what they all share
    request = serve(sys.argv[1])
    if request is None:
        shutil.rmtree(Path(sys.argv[1]).parent)
    else:
        code = run_program(**request)
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # to take the libraries apart would cost a second or two
