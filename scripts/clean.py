"""What may go, how much room it frees, and what it costs to have it again; removes what is named, after a question.

    .envs/driver/bin/python scripts/clean.py results/digits
    .envs/driver/bin/python scripts/clean.py results/digits --what caches work --yes

Of what is named here no job is due because it is gone, but for `results`. Runs in the driver's environment.
"""

import argparse
import sys
from pathlib import Path

from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.states import remove
from mmr1.provenance.disposal import Disposable, disposables
from mmr1.provenance.status import RUNNING, job_states


def main() -> None:
    args = parse_arguments()
    kinds = disposables(Path(), args.results)
    names = [kind.name for kind in kinds]
    if unknown := set(args.what) - set(names):
        raise UserError(f"--what: expected some of {', '.join(names)}, found {', '.join(sorted(unknown))}")
    show(kinds)
    chosen = [kind for kind in kinds if kind.name in args.what and kind.paths]
    if not args.what:
        print("nothing is removed; say what: --what caches work (make clean WHAT='caches work')")
    elif not chosen:
        print("none of it is there")
    else:
        check_idle(args.results, chosen)
        size = gib(sum(kind.bytes for kind in chosen))
        if not args.yes and not confirmed(f"remove {', '.join(kind.name for kind in chosen)} ({size})?"):
            raise UserError("nothing was removed; --yes (make clean YES=1) answers the question")
        for path in (path for kind in chosen for path in kind.paths):
            take_away(path)
        print(f"freed {size}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a recipe's folder, such as results/digits")
    parser.add_argument("--what", nargs="*", default=[], help="what to remove: names of the list; none lists only")
    parser.add_argument("--yes", action="store_true", help="remove without a question")
    return parser.parse_args()


def show(kinds: list[Disposable]) -> None:
    """A line for each kind: its name, what it is, its size, what it costs."""
    for kind in kinds:
        print(f"{kind.name:<10}{gib(kind.bytes):>10}  {kind.what}; {kind.again}")


def check_idle(results: Path, chosen: list[Disposable]) -> None:
    """Raises UserError while jobs of these results run, or Snakemake does in this checkout."""
    if all(kind.name == "caches" for kind in chosen):
        return
    if any(Path(".snakemake/locks").glob("*")):
        raise UserError(".snakemake is locked: Snakemake runs here, or was killed (then --unlock first)")
    if running := [job for job in job_states(results) if job.state == RUNNING]:
        raise UserError(
            f"{results}: {running[0].rule} {running[0].place} runs, by its start marker; nothing was removed"
        )


def confirmed(question: str) -> bool:
    """Whether a person says yes."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def take_away(path: Path) -> None:
    """A file, a folder, or a linked folder with what it points to."""
    if not path.exists():
        return  # it lay in a folder that went before
    if path.is_symlink():
        remove(path.resolve())
        path.unlink()
    elif path.is_dir():
        remove(path)
    else:
        path.unlink()


def gib(size: int) -> str:
    """A size that people read."""
    return f"{size / 2**30:,.2f} GiB" if size >= 2**28 else f"{size / 2**20:,.1f} MiB"


if __name__ == "__main__":
    run(main)
