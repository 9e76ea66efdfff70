"""Train the study of docs/study block by block, keep what each block found, and write its pages.

    python scripts/study.py --seeds 8 -- .envs/driver/bin/python scripts/call.py --profile workflow/profiles/local
    python scripts/study.py --pages

A block is all arms of a group under one seed. An arm that lies in docs/study is not trained again; one that is new in
the recipe is added to its blocks. What comes after `--` calls Snakemake; recipe and files are put behind it. A call
that was killed goes on where it was.
"""

import argparse
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import atomic
from mmr1.plumbing.progress import log
from mmr1.provenance.ledger import read_records
from mmr1.recipe import Recipe, load_recipe, read_recipe
from mmr1.study import kept as kept_files
from mmr1.study.blocks import Block, blocks, targets
from mmr1.study.collect import collect
from mmr1.study.findings import findings_page
from mmr1.study.page import pictures, results_page
from mmr1.study.verdicts import study_of


def main() -> None:
    args = parse_arguments()
    recipe = load_recipe(read_recipe(args.recipe))
    results = Path("results") / recipe.folder
    due = [] if args.pages else blocks(recipe, args.seeds, args.arms)
    for block in due:
        kept = kept_files.read_block(args.out, block)
        missing = tuple(arm for arm in block.arms if kept is None or arm not in kept.summary.arms)
        if missing:
            more = replace(block, arms=missing)
            train(args, recipe, results, more)
            found = collect(results, recipe, more, read_records(results))
            kept_files.write(args.out, kept_files.merged(kept, found, list(recipe.runs)))
            log(f"{block}: kept in {args.out}")
            write_pages(args.out, args.findings, recipe)
    write_pages(args.out, args.findings, recipe)


def train(args: argparse.Namespace, recipe: Recipe, results: Path, block: Block) -> None:
    """Have Snakemake make a block's files. Raises UserError where it does not."""
    files = targets(PurePosixPath(results), recipe, block)
    words = [*args.call, "--configfile", str(args.recipe), "--", *files]
    log(f"{block}: {len(block.arms)} arms")
    if subprocess.run(words, check=False).returncode:
        raise UserError(
            f"{block}: Snakemake did not finish; the same call goes on where it was (a lock that a killed one left: "
            "docs/questions.md)"
        )


def write_pages(out: Path, findings: Path, recipe: Recipe) -> None:
    """Write results.md, its figures, and findings.md above it, from all blocks that are kept."""
    kept = kept_files.read_all(out)
    for name, (_, drawing) in pictures(study_of(kept)).items():
        with atomic(out / f"{name}.svg") as path:
            path.write_text(drawing.svg)
    planned = blocks(recipe)
    for page, text in ((out / "results.md", results_page(kept, planned)), (findings, findings_page(kept, planned))):
        with atomic(page) as path:
            path.write_text(text)


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=Path("config/study.yaml"))
    parser.add_argument("--out", type=Path, default=Path("docs/study"), help="where blocks are kept")
    parser.add_argument("--findings", type=Path, default=Path("docs/findings.md"), help="the page that is read first")
    parser.add_argument("--seeds", type=int, help="at most so many seeds of each group (default: all of the recipe)")
    parser.add_argument("--arms", nargs="+", default=(), help="only these (default: all)")
    parser.add_argument("--pages", action="store_true", help="train nothing, write the pages again")
    parser.add_argument("call", nargs="*", help="after --: the words that call Snakemake")
    args = parser.parse_args(words)
    if not args.pages and not args.call:
        parser.error("expected, after --, the words that call Snakemake")
    return args


if __name__ == "__main__":
    run(main)
