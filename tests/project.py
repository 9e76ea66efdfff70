"""A copy of the project's files, in which a test or a benchmark may run the workflow and change things."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "config", "envs", "scripts", "tests/recipes")


def copy_project(folder: Path) -> Path:
    """The files a run needs, as a fresh checkout would have them."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    return folder
