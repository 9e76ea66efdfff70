"""Pack a results folder for others: a Workflow Run RO-Crate that they unpack beside the checkpoints and audit.

    make export RESULTS=results/digits OUT=digits.zip

Weights, optimizer states and files above --largest MB stay where they are, named by their sha256 (`elsewhere.sha256` in
the crate). Runs in the driver's environment.
"""

import argparse
from pathlib import Path

from mmr1.plumbing.code import SCRIPTS
from mmr1.plumbing.errors import run
from mmr1.provenance.crate import ELSEWHERE, export_crate

MEGABYTE = 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a results folder")
    parser.add_argument("--out", type=Path, required=True, help="the zip file to write")
    parser.add_argument("--largest", type=float, default=100.0, metavar="MB", help="files above it stay elsewhere")
    args = parser.parse_args()
    counts = export_crate(args.results, SCRIPTS.parent, args.out, int(args.largest * MEGABYTE))
    size = f"{counts['files']} files, {counts['bytes'] / MEGABYTE:.1f} MB"
    print(f"{args.out}: {size}; {counts['elsewhere']} are elsewhere ({ELSEWHERE} in it)")
    print("unpack it where the results were, and: make audit ARGS=--full")


if __name__ == "__main__":
    run(main)
