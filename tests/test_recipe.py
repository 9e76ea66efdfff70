"""A recipe is checked before any job starts, and says in one line what is wrong with it."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from mmr1.benchmarks.settings import Endpoint
from mmr1.plumbing.errors import UserError
from mmr1.recipe import Recipe, check_files, load_recipe
from mmr1.reference import page

ROOT = Path(__file__).parents[1]
DIGITS = yaml.safe_load((ROOT / "config" / "digits.yaml").read_text())


def changed(path: str, value: object) -> dict:
    """The digits recipe with one value set, `path` in dots."""
    recipe = deepcopy(DIGITS)
    *parents, last = path.split(".")
    section = recipe
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return recipe


@pytest.mark.parametrize(
    "file", sorted((ROOT / "config").glob("*.yaml")) + sorted((ROOT / "tests/recipes").glob("*.yaml"))
)
def test_every_recipe_is_valid(file: Path) -> None:
    load_recipe(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("vas.mix", 1.4, "vas.mix: 1.4 is not in [0, 1]"),
        ("vas.mix", -0.1, "vas.mix: -0.1 is not in [0, 1]"),
        ("vas.mixx", 0.5, "vas.mixx: no such setting"),
        ("vas.samples", "many", "vas.samples: Input should be a valid integer"),
        ("grpo.group_size", 1, "grpo.group_size: expected at least 2, found 1"),
        ("sft.cutof", 9, "sft.cutof: no such setting"),
        ("schedule.batch_size", 5000, "schedule.batch_size: expected at most data.digits.problems (960), found 5000"),
        ("runs.vas", {"vas": {"mix": 2}}, "runs.vas.vas.mix: 2.0 is not in [0, 1]"),
        ("runs.vas", {"models": ["huge"]}, "runs.vas.models: no model huge; there are tiny"),
        ("runs.sft", {}, "runs.sft: this name is taken"),
        ("runs.a/b", {}, "'a/b' is not a name"),
        ("models.tiny.overrides", {"grpo": {"learning_rate": 0}}, "models.tiny.overrides.grpo.learning_rate"),
        ("seeds", [-1], "seeds.0: expected at least 0, found -1"),
        ("seeds", [0, 1, 0], "seeds: 0 is named twice"),
        ("vas", 3, "vas: expected a section with settings of its own, found 3"),
        ("vas.mix", float("nan"), "vas.mix: Input should be a finite number, found nan"),
        ("vas.outcome_weight", float("inf"), "vas.outcome_weight: Input should be a finite number, found inf"),
        ("grpo.learning_rate", float("inf"), "grpo.learning_rate: Input should be a finite number, found inf"),
        ("grpo.validation", {"temperature": float("nan")}, "grpo.validation.temperature: Input should be a finite"),
        (
            "runs.served",
            {"checkpoint": {"url": "host:8000", "model": "m"}},
            "runs.served.checkpoint.url: expected a URL",
        ),
        ("runs.served", {"checkpoint": {"url": "http://host/v1"}}, "runs.served.checkpoint.model: expected a value"),
        ("evaluation.judge", {"url": "http://a b", "model": "m"}, "evaluation.judge.url: expected a URL"),
        (
            "models.tiny.overrides",
            {"evaluation": {"official_prompt": True}},
            "models.tiny.overrides.evaluation.official_prompt: all models have the recipe's",
        ),
        ("resources.trian", {}, "resources.trian: Input should be 'data', 'sft', 'generate', 'score', 'train'"),
        ("evaluation.benchmarks", ["mathvisa"], "evaluation.benchmarks.0: no benchmark mathvisa; there are chartqa,"),
        ("runs.vas", {"models": []}, "runs.vas.models: List should have at least 1 item"),
        ("runs.vas", {"models": ["tiny", "tiny"]}, "runs.vas.models: tiny is named twice"),
        ("runs.vas", {"sft": {"epochs": 2}}, "runs.vas.sft: all runs of a model share it"),
        ("models.tiny.overrides", {"evaluation": {"benchmarks": ["digits"]}}, "overrides.evaluation.benchmarks: all"),
        ("mlflow", "sqlite:///mlflow.db", "mlflow: expected an absolute path, as in sqlite:////home/you/mlflow.db"),
        (
            "mlflow",
            "http://me:secret@host",
            "mlflow: found a user name, password or key in it; give it in MLFLOW_TRACKING_USERNAME",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_path(path: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.digits.problems", 0, "data.digits.problems: expected at least 1, found 0"),
        ("data.digits.problem", 9, "data.digits.problem: no such setting"),
        ("models.tiny.base", {"tiny": {"width": 9}}, "models.tiny.base.tiny.width: no such setting"),
        ("models.tiny.base", {"hub": "a/b"}, "models.tiny.base.revision: expected a value, found none"),
        ("models.tiny.base", {"tiny": {"heads": 3}}, "models.tiny.base.tiny.hidden_size: expected a multiple of 24"),
        ("data", None, "data: expected a section with settings of its own, found None"),
        ("sft.batch_size", 12801, "sft.batch_size: expected at most data.digits.sft (12800), found 12801"),
        (
            "sft.save_every",
            10,
            "sft.save_every: expected the same as evaluate_every (100), for the best of the states that were saved is "
            "kept, found 10",
        ),
        ("rollout", {"min_pixels": 9, "max_pixels": 8}, "rollout.min_pixels: expected at most max_pixels (8), found 9"),
        (
            "vas",
            {"outcome_weight": 0, "diversity_weight": 0},
            "vas.outcome_weight, diversity_weight: expected at least one above 0, found 0 and 0",
        ),
        (
            "prompts.position",
            "user",
            "sft.prompt_position: expected the same as prompts.position (user), found system",
        ),
    ],
)
def test_one_mistake_is_told_once(path: str, value: object, message: str) -> None:
    """Also where a section is one of two kinds, and where settings contradict each other."""
    with pytest.raises(UserError) as caught:
        load_recipe(changed(path, value))
    said = str(caught.value)
    assert said == message or (said.startswith(message) and ";" not in said)


def test_digits_are_evaluated_where_they_are_made() -> None:
    paper = yaml.safe_load((ROOT / "config/mmr1.yaml").read_text())
    paper["evaluation"]["benchmarks"] = ["digits"]
    with pytest.raises(UserError, match=r"digits need data\.digits"):
        load_recipe(paper)


def test_data_name_a_source_and_the_papers_need_no_name() -> None:
    paper = yaml.safe_load((ROOT / "config/mmr1.yaml").read_text())
    named = load_recipe(paper).data
    assert (named.source.name, named.rows()["problems"]) == ("mmr1", ("data.mmr1.rl.rows", 14_996))
    assert load_recipe(paper | {"data": paper["data"]["mmr1"]}).data == named
    for section in ({"digitz": {}}, {"digits": {}, "mmr1": {}}, {}):
        with pytest.raises(UserError, match=rf"^data: expected one of .*, with a section, found {', '.join(section)}"):
            load_recipe(paper | {"data": section})


def test_a_served_checkpoint_is_a_row_and_not_trained() -> None:
    recipe = load_recipe(changed("runs.served", {"checkpoint": {"url": "https://host:8000/v1", "model": "some/model"}}))
    assert "served" not in {run for _, run, _ in recipe.trained()}
    checkpoint = recipe.runs["served"].checkpoint
    assert isinstance(checkpoint, Endpoint)
    assert (checkpoint.url, checkpoint.model) == ("https://host:8000/v1", "some/model")


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("prompts.training", "nowhere.txt", "prompts.training"),
        ("sft.deepspeed", "nowhere.json", "sft.deepspeed"),
        ("grpo.deepspeed", "nowhere.json", "grpo.deepspeed"),
        ("runs.vas", {"grpo": {"deepspeed": "nowhere.json"}}, "runs.vas.grpo.deepspeed"),
        ("runs.vas", {"checkpoint": "nowhere"}, "runs.vas.checkpoint"),
        ("models.tiny.overrides", {"sft": {"deepspeed": "nowhere"}}, "models.tiny.overrides.sft.deepspeed"),
    ],
)
def test_a_file_that_is_not_there_is_one_line_with_its_path(
    monkeypatch: pytest.MonkeyPatch, path: str, value: object, where: str
) -> None:
    monkeypatch.chdir(ROOT)
    check_files(load_recipe(DIGITS))
    with pytest.raises(UserError, match=rf"^{where}: nowhere(\.\w+)?: no such file or folder$"):
        check_files(load_recipe(changed(path, value)))


def test_values_from_the_command_line_may_be_strings() -> None:
    assert load_recipe(changed("vas.mix", "0.25")).vas.mix == 0.25


def test_runs_and_models_override_sections_and_keep_the_rest() -> None:
    recipe = changed("models.tiny.overrides", {"schedule": {"batch_size": 16}})
    recipe["runs"]["ablation"] = {"vas": {"mix": 0.2}, "schedule": {"update_every": 14}}
    resolved = load_recipe(recipe).resolve("tiny", "ablation")
    assert (resolved.vas.mix, resolved.vas.samples) == (0.2, DIGITS["vas"]["samples"])
    assert (resolved.schedule.batch_size, resolved.schedule.update_every) == (16, 14)


@pytest.mark.parametrize(("steps", "update_every", "rounds"), [(60, 20, 3), (61, 20, 4), (20, 20, 1), (5, 20, 1)])
def test_the_last_round_may_be_short(steps: int, update_every: int, rounds: int) -> None:
    recipe = changed("schedule.steps", steps)
    recipe["schedule"]["update_every"] = update_every
    assert load_recipe(recipe).rounds("tiny", "vas") == rounds


def test_a_run_may_have_seeds_and_models_of_its_own() -> None:
    recipe = changed("runs.vas", {"seeds": [1, 2], "models": ["tiny"]})
    assert load_recipe(recipe).trained() == [("tiny", "grpo", 0), ("tiny", "vas", 1), ("tiny", "vas", 2)]


def test_the_schema_that_is_checked_in_is_the_models() -> None:
    checked_in = json.loads((ROOT / "workflow/schemas/recipe.schema.json").read_text())
    assert checked_in == Recipe.model_json_schema(), "run `python scripts/write_schema.py`"


def test_the_page_of_keys_has_every_key_with_its_range_and_its_plugins_settings() -> None:
    text = (ROOT / "docs/recipe.md").read_text()
    assert text == page(Recipe.model_json_schema()), "run `python scripts/write_schema.py`"
    for row in (
        "| `vas.mix` | number ≥ 0, ≤ 1 | `0.5` | λ: ",
        "| `vas.refresh` (stale) `share` | number > 0, ≤ 1 | `0.5` |",
        "| `models.<name>.base.hub` | string | needed |",
    ):
        assert row in text
