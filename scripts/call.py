"""Call Snakemake with its own words, and tell a mistake in them in one line where Snakemake shows a traceback.

    .envs/driver/bin/python scripts/call.py --profile workflow/profiles/local -n all

`make demo` does. Runs in the driver's environment. What the recipe says is checked by the workflow itself.
"""

import re
import sys
from argparse import Namespace
from pathlib import Path

from snakemake import cli
from snakemake.exceptions import CliException

from mmr1.plumbing.errors import UserError, run
from mmr1.recipe import read_recipe

PRINTED = ("table2", "table3", "table4", "figure2", "figure3")
TARGETS = ("all", "downloads", "train", "theorem", "evaluate", "tables", *PRINTED)


def main() -> None:
    words = sys.argv[1:]
    if {"-h", "--help"} & {*words}:
        print(__doc__)
    try:
        _, args = cli.parse_args(words)
    except CliException as error:
        raise UserError(str(error)) from None
    check(args)
    cli.main(words)


def check(args: Namespace) -> None:
    """Raises UserError, in one line, for words that Snakemake took for something else than was meant."""
    for entry in args.config or []:
        name, _, value = entry.partition("=")
        if "." in name:
            section, *keys = name.split(".")
            for key in reversed(keys):
                value = f"{{{key}: {value}}}"
            raise UserError(f"--config {entry}: expected a section and its keys, as in --config '{section}={value}'")
        if not re.fullmatch(r"[a-zA-Z_][\w-]*\w", name) or "=" not in entry:
            raise UserError(f"--config {entry}: expected NAME=VALUE; give targets after --")
    for file in args.configfile or []:
        if not Path(file).exists() and (str(file) in TARGETS or str(file).startswith("results/")):
            raise UserError(f"--configfile: found the target {file} among its files; give targets after --")
        read_recipe(file)
    if swallowed := sorted({*TARGETS} & {*map(str, args.forcerun or [])}):
        raise UserError(f"--forcerun: found the target {swallowed[0]} among its rules; give targets after --")


if __name__ == "__main__":
    run(main)
