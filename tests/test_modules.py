"""Which module is which: what computes, what is chosen by name, what declares settings, and what changes no number."""

import ast
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from mmr1.grpo.distributed import Ranks
from mmr1.plumbing import code
from mmr1.plumbing.states import States
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import identify

PACKAGE = code.SCRIPTS / "mmr1"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

# Whoever adds a module places it here. Plumbing stands outside every code digest, so that its files are named one by
# one: none of them may change a number that a job computes.
PLUMBING = {
    f"plumbing/{name}.py"
    for name in [
        "__init__",
        "attempt",
        "code",
        "curves",
        "disk",
        "environment",
        "errors",
        "fields",
        "files",
        "folder_id",
        "folders",
        "gpu_node",
        "interruption",
        "live",
        "machine",
        "makers",
        "orphan",
        "program",
        "progress",
        "record",
        "seal",
        "secrets",
        "settings",
        "states",
        "stopwatch",
        "usage",
        "work_folder",
    ]
}
# Settings count by their values, which are params of the rules: classes, their checks, and no computation.
DECLARATIONS = {"recipe.py", "plugins.py"} | {
    f"{package}/settings.py" for package in ("benchmarks", "data", "grpo", "models", "rollout", "sft", "vas")
}
# One file is one idea, and counts for the jobs whose recipe names it.
PLUGINS = {
    "benchmarks/suite",
    "data/sources",
    "grpo/gates",
    "grpo/losses",
    "models/families",
    "rewards",
    "rollout/engines",
    "vas/diversities",
    "vas/refreshes",
    "vas/samplers",
}
# Everything else of these packages counts for each program that imports it.
COMPUTES = {
    "answers",
    "benchmarks",
    "data",
    "grpo",
    "models",
    "plan",
    "provenance",
    "report",
    "rewards",
    "rollout",
    "sft",
    "study",
    "training",
    "vas",
}
ALONE = {"__init__.py", "reference.py", "seeds.py"}


def kind(module: str) -> str:
    """The place of a module, as a path under `mmr1/`; a new one has none."""
    if module in PLUMBING:
        return "plumbing"
    if module in DECLARATIONS:
        return "declarations"
    package = Path(module).parent.as_posix()
    if package in PLUGINS and not Path(module).name.startswith("_"):
        return "plugin"
    if module in ALONE or (package.split("/")[0] in COMPUTES and not fnmatch(module, "*settings.py")):
        return "computes"
    return "nowhere"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_place_and_the_code_digest_takes_it_for_what_it_is(module: str) -> None:
    assert kind(module) != "nowhere", "place it in tests/test_modules.py"
    assert code.computes(f"mmr1/{module}") == (kind(module) in ("computes", "plugin"))


def test_a_module_that_nobody_placed_is_noticed() -> None:
    assert kind("plumbing/new.py") == kind("new/settings.py") == kind("new/idea.py") == kind("new.py") == "nowhere"


@pytest.mark.parametrize("module", sorted(PLUMBING))
def test_plumbing_imports_nothing_but_plumbing(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text())
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in imported if name.startswith("mmr1") and not name.startswith("mmr1.plumbing")] == []


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code whose digests are taken."""
    shutil.copytree(code.SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "SCRIPTS", tmp_path / "scripts")
    code._parsed.cache_clear()
    return tmp_path / "scripts"


def add_a_line(path: Path) -> None:
    path.write_text(path.read_text() + "\nNEW = 1\n")
    code._parsed.cache_clear()  # a running program reads each file once


@pytest.mark.parametrize("trainer", ["train_sft", "train_grpo"])
def test_plumbing_is_no_part_of_what_a_trainer_computes(trainer: str, scripts: Path) -> None:
    before = code.code_digest(trainer)
    for file in ("record", "usage", "errors", "progress", "states", "interruption"):
        add_a_line(scripts / f"mmr1/plumbing/{file}.py")
    assert code.code_digest(trainer) == before
    add_a_line(scripts / "mmr1/models/checkpoints.py")
    assert code.code_digest(trainer) != before


def test_a_saved_state_outlives_a_change_of_plumbing_and_no_change_of_what_computes(
    scripts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def states() -> States:
        identity = identify(SFTSettings(), {"conversations": "a" * 64}, 0, Ranks(0, 1, None))  # type: ignore[arg-type]
        return States(tmp_path / "states", identity, digits=6)

    folder = states().path(7)
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    states().seal(7)
    add_a_line(scripts / "mmr1/plumbing/interruption.py")
    assert states().newest() == 7
    add_a_line(scripts / "mmr1/sft/train.py")
    assert states().newest() is None
    assert "code" in capsys.readouterr().err
