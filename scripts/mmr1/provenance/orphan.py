"""A SLURM job that a killed Snakemake left behind, and that the job which takes its place has to end first."""

import os
import subprocess
import sys
import time
from pathlib import Path

from mmr1.errors import UserError
from mmr1.files import read_json

SECONDS = 300  # a trainer saves its state when it is told to end


def end_orphan(marker: Path) -> None:
    """Cancel the SLURM job that a start marker names, if there is one that still runs, and wait until it is gone.

    When Snakemake is killed its jobs go on. The next Snakemake knows nothing of them and submits its own, which would
    write the same files at the same time. Raises UserError if the other job does not end.
    """
    own = os.environ.get("SLURM_JOB_ID")
    if own is None or not marker.exists():
        return
    last = read_json(marker)
    other = last.get("slurm", {}).get("SLURM_JOB_ID")
    if last["state"] != "running" or other in (None, own) or not _active(other):
        return
    # No progress.log: rich is not in the driver's environment, where the export into MLflow runs.
    print(
        f"SLURM job {other} does the same, for a Snakemake that was killed: cancelling it", file=sys.stderr, flush=True
    )
    subprocess.run(["scancel", other], check=False)
    end = time.monotonic() + SECONDS
    while _active(other):
        if time.monotonic() > end:
            raise UserError(f"{marker}: SLURM job {other} does the same and does not end; expected it to be cancelled")
        time.sleep(1)


def _active(number: str) -> bool:
    """Whether a job waits, runs or is ending; False where SLURM has forgotten it, or cannot be asked."""
    try:
        found = subprocess.run(
            ["squeue", "--noheader", "--jobs", number, "--format=%T"], capture_output=True, text=True
        )
    except OSError:
        return False
    return bool(found.stdout.strip())
