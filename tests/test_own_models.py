"""Models and checkpoints of one's own, or of others: nothing is trained that is there already."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from forking import ForkingServer
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.recipe import load_recipe
from project import ROOT, TINY, copy_project, snakemake

RELEASED = {"hub": "MMR1/MMR1-7B-SFT", "revision": "abc1234"}
EVALUATE = "tests/recipes/evaluate.yaml"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 * 60)]


def recipe(file: str, **changes: Any) -> dict[str, Any]:
    """A recipe with some of its sections replaced; None leaves one out."""
    values = yaml.safe_load((ROOT / file).read_text()) | changes
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def planned(project: Path, values: dict[str, Any], target: str = "all") -> dict[str, int]:
    """How many jobs of each rule a dry run of a recipe would start."""
    (project / "own.yaml").write_text(yaml.safe_dump(values))
    table = snakemake(project, "-n", target, recipe="own.yaml").rpartition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}


def test_rl_starts_from_a_cold_start_of_others_and_plans_no_sft(project: Path, tiny_model_dir: Path) -> None:
    whole = planned(project, recipe(TINY))
    base = {"tiny": {}}
    for name, model, more in (
        ("folder", {"sft": {"checkpoint": str(tiny_model_dir)}}, {}),
        ("hub", {"sft": {"checkpoint": RELEASED}}, {"download_model": 1}),
        ("base, too", {"base": base, "sft": {"checkpoint": RELEASED}}, {"download_model": 1, "build_tiny_model": 1}),
    ):
        jobs = planned(project, recipe(TINY, models={"tiny": model}, sft=None))
        subjects = 3 + ("base" in model)
        assert jobs["generate_predictions"] == jobs["score_benchmark"] == subjects, name
        assert "train_sft" not in jobs
        for rule in ("build_tiny_model", "download_model"):
            assert jobs.get(rule, 0) == more.get(rule, 0), name
        for rule in ("generate_initial", "score_vps", "draw_schedule", "train_grpo_kept", "generate"):
            assert jobs[rule] == whole[rule], name


def test_a_base_model_is_used_where_it_lies(project: Path, tiny_model_dir: Path) -> None:
    whole = planned(project, recipe(TINY))
    jobs = planned(project, recipe(TINY, models={"tiny": {"base": {"path": str(tiny_model_dir)}}}))
    del whole["build_tiny_model"]
    assert jobs == whole


def test_a_recipe_with_checkpoints_only_evaluates_them(project: Path, tiny_model_dir: Path) -> None:
    values = recipe(EVALUATE)
    values["runs"] = {"mine": {"checkpoint": str(tiny_model_dir)}, "vas": {"checkpoint": RELEASED}}
    assert planned(project, values) == {
        "prepare_data": 1, "download_model": 1, "generate_predictions": 2, "score_benchmark": 2,
        "make_tables": 1, "make_report": 1, "export_mlflow": 1, "all": 1,
    }  # fmt: skip
    values["evaluation"] |= {"judge": {"hub": "Qwen/Qwen2.5-VL-32B-Instruct", "revision": "7cfb30d"}}
    judged = planned(project, values)
    assert {name: judged[name] for name in ("download_model", "select_undecided", "judge", "score_benchmark")} == {
        "download_model": 2, "select_undecided": 2, "judge": 2, "score_benchmark": 2
    }  # fmt: skip
    with_everything = recipe(TINY, runs={"mine": {"checkpoint": str(tiny_model_dir)}})
    assert not planned(project, with_everything).keys() & {"train_sft", "train_grpo", "train_grpo_kept", "generate"}


def test_only_what_is_needed_is_downloaded(project: Path) -> None:
    """The paper's recipe, from the released cold start, and with the released checkpoint alone."""
    start = {"7b": {"sft": {"checkpoint": RELEASED}}}
    from_start = recipe("config/mmr1.yaml", models=start, runs={"vas": {}})
    assert planned(project, from_start, "downloads") == {
        "download_model": 1, "download_dataset": 1, "prepare_benchmark": 5, "downloads": 1
    }  # fmt: skip
    released = recipe("config/mmr1.yaml", models={"7b": {}}, runs={"vas": {"checkpoint": RELEASED}})
    assert planned(project, released, "downloads") == {"download_model": 1, "prepare_benchmark": 5, "downloads": 1}


def test_its_tables_report_and_records_are_made(server: ForkingServer, project: Path, tiny_model_dir: Path) -> None:
    """Also where its folder and the prompt have names that a shell and Snakemake would read as something else."""
    name = 'it\'s {model} <r> $(touch pwned) "ü"'
    shutil.copytree(tiny_model_dir, project / "models" / name)
    shutil.copy(project / "config/prompts/digits.txt", project / "config/prompts" / name)
    values = recipe(EVALUATE, runs={"mine": {"checkpoint": f"models/{name}"}})
    values["prompts"] = {"evaluation": f"config/prompts/{name}"}
    (project / "own.yaml").write_text(yaml.safe_dump(values))
    snakemake(project, "all", recipe="own.yaml", PATH=server.path)
    results = project / "results/evaluate"
    assert "mine" in (results / "tables/accuracy.md").read_text()
    assert "mine" in (results / "report.html").read_text()
    assert read_json(results / "7b/eval/mine/digits/scores.json")["n"] == 8
    assert [path.name for path in (results / "data").rglob("*.parquet")] == ["digits.parquet"]
    record = read_json(results / "records/generate_predictions/7b/mine/digits.json")
    assert [file["path"] for file in record["key"]["inputs"]["system_prompt"]] == [f"config/prompts/{name}"]
    assert "Nothing to be done" in snakemake(project, "all", recipe="own.yaml")
    assert not list(project.rglob("pwned"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vas": None}, "vas: expected a section with settings of its own, found None, and runs.grpo is trained"),
        ({"data": None}, "data: expected a section with settings of its own, found None, and runs.grpo is trained"),
        ({"sft": None}, "sft: expected a section with settings of its own, found None, and runs.grpo is trained"),
        ({"models": {"tiny": {}}}, "models.tiny: expected base or sft.checkpoint, for runs.grpo is trained from it"),
        (
            {"data": {"digits": {"problems": 16, "sft": 64, "sft_validation": 8, "test": 8}}},
            "data.digits.validation: expected held-out problems, for the validation curve of RL, which training needs, "
            "found none",
        ),
        (
            {"models": {"tiny": {"sft": {"checkpoint": {"hub": "a/b"}}}}},
            "models.tiny.sft.checkpoint.revision: expected a value, found none",
        ),
    ],
)
def test_what_training_needs_is_said_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(recipe(TINY, **changes))
    assert str(caught.value) == message
