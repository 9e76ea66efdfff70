"""Move a recipe's results to another disk; a link stays where they were, and everything goes on as before.

    .envs/driver/bin/python scripts/move_results.py results/digits /big/disk

What a file holds makes a job due, not where or when it was written: after a move nothing is. Files are compared byte by
byte before the old ones go. Runs in the driver's environment.
"""

import argparse
import filecmp
import os
import shutil
from pathlib import Path

from mmr1.plumbing.disk import bytes_under, free_bytes
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.states import remove
from mmr1.provenance.status import RUNNING, job_states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a recipe's folder, such as results/digits")
    parser.add_argument("to", type=Path, help="the folder that they shall lie in, on another disk")
    args = parser.parse_args()
    source = args.results.resolve()
    target = args.to.resolve() / args.results.name
    check(args.results, source, target)
    copy(source, target)
    leave_link(args.results, source, target)
    print(f"{args.results}: now a link to {target}")


def check(results: Path, source: Path, target: Path) -> None:
    """Raises UserError for what is no folder of results, has no room, or is worked in."""
    if not (results / "records").is_dir():
        raise UserError(f"{results}: expected a recipe's results, found no records in it")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent}: expected a folder, found none")
    if target.exists() or target.is_relative_to(source):
        raise UserError(f"{target}: expected a name that is not taken, outside {results}")
    if any(Path(".snakemake/locks").glob("*")):
        raise UserError(".snakemake is locked: Snakemake runs here, or was killed (then --unlock first)")
    if running := [job for job in job_states(results) if job.state == RUNNING]:
        raise UserError(f"{results}: {running[0].rule} {running[0].place} runs, by its start marker; move them later")
    size, room = bytes_under(source), free_bytes(target)
    if source.stat().st_dev != target.parent.stat().st_dev and size > room:
        raise UserError(f"{target.parent}: expected room for {size:,} bytes, found {room:,}")


def copy(source: Path, target: Path) -> None:
    """A copy under a name of its own until it is whole. Raises UserError if a file of it differs."""
    part = target.with_name(f".{target.name}.part")
    if part.exists():
        remove(part)
    shutil.copytree(source, part, symlinks=True)
    for folder, _, names in os.walk(source):
        for name in names:
            one = Path(folder, name)
            other = part / one.relative_to(source)
            if not one.is_symlink() and not filecmp.cmp(one, other, shallow=False):
                raise UserError(f"{other}: expected the content of {one}, found other; nothing was moved")
    part.rename(target)


def leave_link(results: Path, source: Path, target: Path) -> None:
    """The link takes the name of what was moved, which goes last."""
    if results.is_symlink():
        results.unlink()
    else:
        source = source.rename(source.with_name(f".{source.name}.moved"))
    results.symlink_to(target)
    remove(source)


if __name__ == "__main__":
    run(main)
