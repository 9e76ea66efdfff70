"""How long a full audit takes, against `sha256sum` of the same files on as many cores.

    python performance/bench_audit.py [--gigabytes 4] [--files 40]

Files of random bytes are made by a recorded job in a temporary folder, and both sides read them twice: the second time
counts, when they lie in the page cache. Printed is the ratio, and what a quick audit takes that remembers them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from mmr1.plumbing.record import job
from mmr1.provenance.audit.audit import audit

RECORD = Path("results/large/records/calibrate/all.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--files", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        files = make(int(args.gigabytes * 1e9), args.files)
        cores = str(len(os.sched_getaffinity(0)))
        command = ["xargs", "-0", "-n1", f"-P{cores}", "sha256sum"]
        names = "\0".join(map(str, files)).encode()
        plain = timed(lambda: subprocess.run(command, input=names, check=True, stdout=subprocess.DEVNULL))
        whole = timed(lambda: audit(Path(folder) / "results/large", Path(folder), full=True))
        quick = timed(lambda: audit(Path(folder) / "results/large", Path(folder)))
    print(f"{args.gigabytes:g} GB in {args.files} files on {cores} cores")
    print(
        f"sha256sum {plain:.1f} s, audit --full {whole:.1f} s: ratio {whole / plain:.2f}; a quick audit {quick:.2f} s"
    )


def make(size: int, count: int) -> list[Path]:
    """Files of random bytes under a results folder, with the record of the job that made them."""
    folder = Path("results/large/files")
    sys.argv = ["scripts/calibrate.py", "--record", str(RECORD)]
    given = argparse.Namespace(record=RECORD, attempt=None, limited=None, out=folder)
    with job(given, inputs={}, outputs={"out": folder}):
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"{number}.bin").write_bytes(os.urandom(size // count))
    return sorted(folder.iterdir())


def timed(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
