"""What the finished trainings of a results folder were trained with: `recipe.json`, beside what it is of.

A call writes it before its first job. It says which file the recipe stood in, and for each training the recipe's values
as they held for its model and run. So a later call can say which keys differ before it does days of training again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmr1.plumbing.curves import flat
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, read_json, sha256, write_json
from mmr1.plumbing.settings import numbers
from mmr1.recipe import Recipe, read_recipe

Values = dict[str, Any]

SHARED = ("prompts", "sft")  # what a cold start reads
OF_RL = ("schedule", "vas", "rollout", "grpo", "validation")


def training_values(recipe: Recipe, model: str, run: str | None) -> Values:
    """What a training reads of a recipe, by keys in dots: of SFT without a run, else of RL.

    Keys that only fit a machine are not among them. Of files, such as prompts, the content's sha256 is.
    """
    sections = recipe.resolve(model, run)
    names = SHARED if run is None else (*SHARED, *OF_RL)
    threads = sections.stage_resources("sft" if run is None else "train").threads
    values: Values = {
        "seed": recipe.seed,
        "data": _data(recipe),
        "models": {model: recipe.models[model].model_dump(mode="json", exclude={"overrides"})},
        **{name: numbers(getattr(sections, name)) for name in names},
        "resources": {"threads": threads},
    }
    del values["prompts"]["evaluation"]
    leaves: Values = json.loads(json.dumps(flat(values)))
    files = {key: value for key, value in leaves.items() if key.startswith("prompts.") or key.endswith(".deepspeed")}
    contents = {f"{key} (its content)": sha256(path) for key, path in files.items() if path and Path(path).is_file()}
    return leaves | contents


def _data(recipe: Recipe) -> Values:
    if recipe.data is None:
        return {}
    values = numbers(recipe.preparation())
    source = dict(values.pop("source"))
    return {source.pop("name"): source, **values}


def differences(then: Values, now: Values) -> list[str]:
    """The keys that differ, each with both values."""
    keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    return [key if "content" in key else f"{key} was {then.get(key)}, is {now.get(key)}" for key in keys]


class KeptRecipe:
    """`recipe.json` of a results folder; a training is named as its record is, `train_grpo/tiny/vas/seed0/round1`."""

    def __init__(self, results: Path) -> None:
        self.path = results / "recipe.json"
        kept = read_json(self.path) if self.path.exists() else {}
        self.file: str | None = kept.get("file")
        self.trained: dict[str, str] = kept.get("trained", {})
        self.recipes: dict[str, Values] = kept.get("recipes", {})

    def check_file(self, file: str, name: str) -> None:
        """Raises UserError if the results are those of another recipe's file that goes by the same name."""
        if self.file not in (None, file) and Path(self.file).is_file() and read_recipe(self.file).get("name") == name:
            raise UserError(
                f"{file}: name: {name} is the name of {self.file} too, whose results are in {self.path.parent}; "
                "give this recipe another name"
            )

    def redone(self, due: Mapping[str, Values]) -> tuple[list[str], list[str]]:
        """Which of these trainings, finished and due again, had another recipe, and what differs in it."""
        changes = {
            name: differences(self.recipes[self.trained[name]], now)
            for name, now in due.items()
            if name in self.trained
        }
        names = [name for name, different in changes.items() if different]
        return names, list(dict.fromkeys(key for name in names for key in changes[name]))

    def keep(self, file: str, trainings: Mapping[str, Values], call: str) -> None:
        """Write down the recipe's file, the call, and what these trainings are trained with from now on."""
        self.file = file
        for name, values in trainings.items():
            self.trained[name] = digest(values)[:12]
            self.recipes[self.trained[name]] = values
        used = set(self.trained.values())
        self.recipes = {name: values for name, values in self.recipes.items() if name in used}
        read = sha256(file) if Path(file).is_file() else None
        content = {"file": file, "sha256": read, "call": call, "trained": self.trained, "recipes": self.recipes}
        write_json(self.path, content)
