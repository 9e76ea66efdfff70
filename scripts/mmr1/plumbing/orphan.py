"""A SLURM job that a killed Snakemake left behind, and that the job which takes its place has to end first."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json

SECONDS = 300  # a trainer saves its state when it is told to end


def end_orphan(marker: Path) -> None:
    """Cancel the SLURM job that a start marker names, if there is one that still runs, and wait until it is gone.

    When Snakemake is killed its jobs go on. The next Snakemake knows nothing of them and submits its own, which would
    write the same files at the same time. Of two jobs that do the same, the one that was submitted later stays. Raises
    UserError if that is the other one, and if the other one does not end.

    A number alone says little: results may have been copied from another cluster, and numbers are used again. So the
    other job must be of the same rule and wildcards, which Snakemake's plugin writes into a job's comment.
    """
    own = os.environ.get("SLURM_JOB_ID")
    last = None if own is None else read_marker(marker)
    if own is None or last is None:
        return
    other = last.get("slurm", {}).get("SLURM_JOB_ID")
    if last["state"] != "running" or other in (None, own) or not _same_job(own, other):
        return
    if int(other) > int(own):
        raise UserError(
            f"{marker}: SLURM job {other}, submitted after this one ({own}), does the same; expected one job"
        )
    # No progress.log: rich is not in the driver's environment, where the export into MLflow runs.
    print(
        f"SLURM job {other} does the same, for a Snakemake that was killed: cancelling it", file=sys.stderr, flush=True
    )
    subprocess.run(["scancel", other], check=False)
    end = time.monotonic() + SECONDS
    while _comment(other) is not None:
        if time.monotonic() > end:
            raise UserError(f"{marker}: SLURM job {other} does the same and does not end; expected it to be cancelled")
        time.sleep(1)


def read_marker(path: Path) -> dict[str, Any] | None:
    """A start marker. None if there is none, or a damaged one, which is passed over in one line and stops no job."""
    if not path.exists():
        return None
    try:
        marker = read_json(path)
    except UserError as error:
        problem = str(error)
    else:
        kinds = {"state": str, "slurm": dict, "earlier": list}
        if isinstance(marker, dict) and all(isinstance(marker.get(name, kind()), kind) for name, kind in kinds.items()):
            return {"state": "running", **marker}
        problem = f"{path}: expected a start marker"
    print(f"warning: {problem}; passed over", file=sys.stderr, flush=True)
    return None


def _same_job(own: str, other: str) -> bool:
    """Whether another job waits, runs or is ending, and is of the same rule and wildcards as this one."""
    comment = _comment(other)
    return comment is not None and comment == _comment(own)


def _comment(number: str) -> str | None:
    """The comment of a job that waits, runs or is ending; None where it has none or SLURM does not know the job."""
    try:
        scontrol = subprocess.run(
            ["squeue", "--noheader", "--jobs", number, "--format=%k"], capture_output=True, text=True
        )
    except OSError:
        return None
    comment = scontrol.stdout.strip()
    return None if comment in ("", "(null)") else comment
