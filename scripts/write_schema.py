"""Write the JSON schema of a recipe, for editors and readers: `workflow/schemas/recipe.schema.json`."""

import argparse
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.recipe import Recipe

SCHEMA = Path(__file__).resolve().parents[1] / "workflow" / "schemas" / "recipe.schema.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SCHEMA, help="the schema (default: the one that is checked in)")
    write_json(parser.parse_args().out, Recipe.model_json_schema())


if __name__ == "__main__":
    run(main)
