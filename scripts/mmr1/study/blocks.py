"""The study's blocks: all arms of a group under one seed, which are trained and kept together or not at all.

An arm is a run of the recipe. Main arms have the recipe's seeds; ablations name seeds of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from mmr1.recipe import Recipe

Group = Literal["main", "ablation"]


@dataclass(frozen=True)
class Block:
    """The arms of one group under one seed."""

    group: Group
    seed: int
    arms: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.group}-seed{self.seed}"


def model_of(recipe: Recipe) -> str:
    """The only model that a study trains."""
    return recipe.rl_models()[0]


def blocks(recipe: Recipe, most_seeds: int | None = None, arms: Sequence[str] = ()) -> list[Block]:
    """All blocks in the order in which they are trained: main seeds, then ablations' seeds, at most so many of each.

    With `arms`, only these of each group.
    """
    of_group: dict[Group, tuple[str, ...]] = {
        "main": tuple(name for name, run in recipe.runs.items() if run.seeds is None),
        "ablation": tuple(name for name, run in recipe.runs.items() if run.seeds is not None),
    }
    found = []
    for group, names in of_group.items():
        chosen = tuple(name for name in names if not arms or name in arms)
        seeds = (recipe.runs[names[0]].seeds or recipe.seeds) if names else []
        found += [Block(group, seed, chosen) for seed in seeds[:most_seeds] if chosen]
    return found


def round_folder(results: PurePosixPath, recipe: Recipe, arm: str, seed: int, number: int) -> PurePosixPath:
    """Where a round of an arm lies."""
    return results / model_of(recipe) / arm / f"seed{seed}" / f"round{number}"


def evaluation_folder(results: PurePosixPath, recipe: Recipe, arm: str, seed: int) -> PurePosixPath:
    """Where an arm's evaluation lies."""
    return results / model_of(recipe) / "eval" / f"{arm}-seed{seed}" / recipe.evaluation.benchmarks[0]


def targets(results: PurePosixPath, recipe: Recipe, block: Block) -> list[str]:
    """The files to ask Snakemake for, from which follows all that a block keeps."""
    model = model_of(recipe)
    files = []
    for arm in block.arms:
        files.append(evaluation_folder(results, recipe, arm, block.seed) / "items.parquet")
        rounds = range(recipe.rounds(model, arm))
        files += [round_folder(results, recipe, arm, block.seed, number) / "calibration.jsonl" for number in rounds]
    return list(map(str, files))
