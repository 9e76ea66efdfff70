"""Write what follows from the recipe's models: its JSON schema for editors, and the page of all its keys.

`workflow/schemas/recipe.schema.json` and `docs/recipe.md`, or the same names in another folder.
"""

import argparse
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import atomic, write_json
from mmr1.recipe import Recipe
from mmr1.reference import page

ROOT = Path(__file__).resolve().parents[1]
SCHEMA, REFERENCE = Path("workflow/schemas/recipe.schema.json"), Path("docs/recipe.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="a folder for both files (default: where they are checked in)")
    into = parser.parse_args().into
    schema = Recipe.model_json_schema()
    write_json(ROOT / SCHEMA if into is None else into / SCHEMA.name, schema)
    with atomic(ROOT / REFERENCE if into is None else into / REFERENCE.name) as path:
        path.write_text(page(schema))


if __name__ == "__main__":
    run(main)
