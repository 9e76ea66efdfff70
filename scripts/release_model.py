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
from mmr1.provenance.model_card import made, model_card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint's folder in a results folder")
    parser.add_argument("--to", type=Path, required=True, help="the folder to make")
    args = parser.parse_args()
    if not args.checkpoint.is_dir():
        raise UserError(f"{args.checkpoint}: expected a checkpoint's folder, found none")
    if args.to.exists():
        raise UserError(f"{args.to}: expected no such file or folder yet")
    checkpoint = made(args.checkpoint, SCRIPTS.parent)
    text = model_card(checkpoint)  # first: a mistake leaves no folder behind
    files = {path.relative_to(args.checkpoint).as_posix(): sha256(path) for path in files_under(args.checkpoint)}
    checkpoint.check(files)
    half = args.to.with_name(f".{args.to.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for name in files:
        (half / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(args.checkpoint / name, half / name)
    (half / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in files.items()))
    (half / "README.md").write_text(text)
    os.rename(half, args.to)
    print(f"{args.to}: {len(files)} files of the checkpoint, SHA256SUMS and README.md, its model card")


if __name__ == "__main__":
    run(main)
