"""A checkpoint ready to be handed on: its files, their hashes, and a model card (accuracies, records, data, licences).

    make release CHECKPOINT=results/digits/tiny/vas/seed0/round1/checkpoint TO=release

A checkpoint's own folder stays as its record says; the card stands in the copy. Runs in the stack's environment.
"""

import argparse
import os
import shutil
from pathlib import Path

from mmr1.plumbing.code import SCRIPTS
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import files_under, sha256
from mmr1.provenance.model_card import model_card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint's folder in a results folder")
    parser.add_argument("--to", type=Path, required=True, help="the folder to make")
    args = parser.parse_args()
    if not args.checkpoint.is_dir():
        raise UserError(f"{args.checkpoint}: expected a checkpoint's folder, found none")
    if args.to.exists():
        raise UserError(f"{args.to}: expected no such file or folder yet")
    text = model_card(args.checkpoint, SCRIPTS.parent)  # first: a mistake leaves no folder behind
    half = args.to.with_name(f".{args.to.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    sums = []
    for path in files_under(args.checkpoint):
        name = path.relative_to(args.checkpoint)
        (half / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, half / name)
        sums.append(f"{sha256(half / name)}  {name.as_posix()}\n")
    (half / "SHA256SUMS").write_text("".join(sums))
    (half / "README.md").write_text(text)
    os.rename(half, args.to)
    print(f"{args.to}: {len(sums)} files of the checkpoint, SHA256SUMS and README.md, its model card")


if __name__ == "__main__":
    run(main)
