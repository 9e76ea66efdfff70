"""Run a command on GPUs of its own, on a machine that no scheduler divides: `own_gpus.py --gpus 2 --of 8 -- python …`.

Takes that many free GPUs, waiting for them if it must, and puts the command in its own place with CUDA_VISIBLE_DEVICES
saying which. The command holds them until it ends, however it ends: they are file locks, in one folder for all of a
user's checkouts. Where CUDA_VISIBLE_DEVICES is set, the GPUs it names are those to choose from.
"""

import argparse
import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 1.0  # between two looks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, required=True, help="how many")
    parser.add_argument("--of", type=int, required=True, help="how many the machine has")
    parser.add_argument("--nodes", type=int, default=1, help="on how many machines: this one")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command and its words")
    args = parser.parse_args()
    if args.nodes != 1:
        parser.error(
            f"resources: nodes: expected 1 on a machine without a scheduler, found {args.nodes}: for the "
            "paper's recipe "
            "--config 'resources={sft: {nodes: 1}, train: {nodes: 1}}'"
        )
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    present = [str(number) for number in range(args.of)] if named is None else [one for one in named.split(",") if one]
    if args.gpus > len(present) or not words:
        parser.error(f"--gpus: expected at most {len(present)} (GPUs {','.join(present)}), found {args.gpus}")
    folder = Path(tempfile.gettempdir()) / f"mmr1-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    mine = take(folder, present, args.gpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    os.execvp(words[0], words)


def take(folder: Path, present: list[str], count: int) -> list[str]:
    """Hold `count` of these GPUs, in order, as soon as so many are free; a warning says that it waits."""
    told = False
    while True:
        with (folder / "choosing").open("w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)  # one at a time: nobody holds a part of what others wait for
            held = {name: file for name in present if (file := hold(folder / f"{name}.lock")) is not None}
            for name in [*held][count:]:
                os.close(held.pop(name))
        if len(held) == count:
            return [*held]
        for file in held.values():
            os.close(file)
        if not told:
            print(f"own_gpus.py: waiting for {count} of the GPUs {','.join(present)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(SECONDS)


def hold(path: Path) -> int | None:
    """An open file whose lock the command that takes this program's place will keep; None if another has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    os.set_inheritable(file, True)
    return file


if __name__ == "__main__":
    main()
