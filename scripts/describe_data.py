"""Write the data card: what is in each table, what was left out of it, and what it has in common with the benchmarks.

python scripts/describe_data.py --tables problems.parquet sft.parquet --processor model --out card.json
"""

import argparse
from pathlib import Path
from typing import Any

from mmr1.data.card import card, duplicates, left_out
from mmr1.data.chat import read_prompt
from mmr1.data.prompts import PromptEncoder
from mmr1.data.settings import CardSettings
from mmr1.models.checkpoints import load_processor
from mmr1.models.family import family_file
from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, CardSettings)
    inputs = {name: getattr(args, name) for name in ("tables", "rejects", "duplicates", "processor", "system_prompt")}
    with job(args, inputs=inputs, outputs={"out": args.out}, settings=settings) as work:
        work.plugins.append(family_file(args.processor))
        encoder = PromptEncoder(
            load_processor(args.processor),
            read_prompt(args.system_prompt),
            settings.prompt_position,
            settings.min_pixels,
            settings.max_pixels,
            cache_bytes=0,
        )
        alike = duplicates(args.duplicates) if args.duplicates else {}
        rejects = {path.stem.removesuffix("_rejects"): left_out(path) for path in args.rejects}
        tables: dict[str, Any] = {}
        for path in args.tables:
            log(f"{path}: what is in it")
            own = {"left_out": rejects.get(path.stem), "near_duplicates": alike.get(path.stem, [])}
            tables[path.stem] = card(path, encoder, args.seed) | own
        write_json(args.out, about(settings) | {"tables": tables})
        work.metrics |= {f"{name}_rows": float(one["rows"]) for name, one in tables.items()}


def about(settings: CardSettings) -> dict[str, Any]:
    """What the source of the data says of itself, and where each of its parts comes from."""
    source = settings.source.module
    downloads = settings.asked("downloads", {})
    origins = {table: f"{one.hub}@{one.revision}" for one, _, table in downloads.values()}
    origins |= {name: path.as_posix() for name, path in settings.asked("inputs", {}).items()}
    return {
        "title": source.TITLE,
        "about": source.__doc__.split("\n\n")[0].replace("\n", " "),
        "licence": getattr(source, "LICENCE", None),
        "overlap": getattr(source, "OVERLAP", None),
        "origins": origins,
        "near_duplicates": settings.near_duplicates,
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--tables", type=Path, nargs="+", required=True, help="problems or conversations, Parquet, each by its name")
    add("--rejects", type=Path, nargs="*", default=[], help="tables of rows that were left out, NAME_rejects.parquet")
    add("--duplicates", type=Path, help="the table that find_duplicates.py wrote")
    add("--processor", type=Path, required=True, help="a model whose tokenizer and image processor give the lengths")
    add("--system-prompt", type=Path, help="a text file")
    add("--seed", type=int, default=0, help="of the rows whose lengths are measured")
    add("--out", type=Path, required=True, help="card.json to write")
    add_settings_arguments(parser, CardSettings)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
