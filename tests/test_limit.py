"""`limit: 20` takes the first problems, for a first look: under a name of its own, and never beside whole runs."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark_fixtures import Call
from forking import ForkingServer
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.settings import merged
from mmr1.recipe import Recipe, load_recipe
from project import ROOT, TINY, copy_project, snakemake


def tiny(changes: dict[str, Any]) -> Recipe:
    return load_recipe(merged(deepcopy(yaml.safe_load((ROOT / TINY).read_text())), changes))


SMALL = {"sft": {"batch_size": 4, "micro_batch_size": 4}}


@pytest.mark.parametrize(
    ("changes", "folder", "data", "evaluation"),
    [
        ({}, "tiny", None, None),
        ({"limit": 5}, "tiny-limit5", 5, 5),
        ({"data": {"limit": 5}}, "tiny-data-limit5", 5, None),
        ({"evaluation": {"limit": 5}}, "tiny-evaluation-limit5", None, 5),
        ({"limit": 6, "evaluation": {"limit": 5}}, "tiny-limit6-evaluation-limit5", 6, 5),
    ],
)
def test_a_limited_run_has_its_own_results(
    changes: dict[str, Any], folder: str, data: int | None, evaluation: int | None
) -> None:
    recipe = tiny(SMALL | changes)
    assert (recipe.folder, recipe.data_limit, recipe.evaluation_limit) == (folder, data, evaluation)
    assert recipe.preparation().limits() == {
        "problems": data, "sft": data, "sft_validation": data, "validation": data, "test": evaluation
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 8}, "sft.batch_size: expected at most limit (8), found 16"),
        (SMALL | {"data": {"limit": 3}}, "schedule.batch_size: expected at most data.limit (3), found 4"),
        ({"limit": 0}, "limit: expected at least 1, found 0"),
        (
            {"models": {"tiny": {"overrides": {"evaluation": {"limit": 3}}}}},
            "models.tiny.overrides.evaluation.limit: all models have the recipe's",
        ),
    ],
)
def test_a_batch_that_the_limit_cannot_fill_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        tiny(changes)
    assert str(caught.value) == message


def test_digits_are_cut_to_the_first(call: Call, tmp_path: Path) -> None:
    from mmr1.data.problems import read_problems

    for limit, expected in (("null", 6), ("2", 2), ("9", 6)):
        call("prepare_data", "--source", "{name: digits, problems: 6}", "--limit", limit,
             "--problems", tmp_path / f"{limit}.parquet")  # fmt: skip
        problems = read_problems(tmp_path / f"{limit}.parquet")
        assert problems == read_problems(tmp_path / "null.parquet")[:expected]


def scores(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    """A score of four items, as an evaluation of the tables' index."""
    one = {"correct": 2, "accuracy": 0.5, "ci95": [0.1, 0.9], "by": {}}
    path = folder / f"{name}.json"
    write_json(path, {"benchmark": "digits", "n": 4, "scores": {"official": one, "reader": one}, **more})
    return {"model": "tiny", "subject": name, "benchmark": "digits", "scores": str(path)}


def test_tables_refuse_limited_scores_beside_whole_ones(call: Call, tmp_path: Path) -> None:
    whole, limited = scores(tmp_path, "whole"), scores(tmp_path, "limited", limited="limit20")
    for chosen in ([limited], [whole]):
        write_json(tmp_path / "index.json", {"evaluations": chosen})
        call("make_tables", "--index", tmp_path / "index.json", "--table", "accuracy", "--markdown", tmp_path / "a.md")
        assert ("limit20" in (tmp_path / "a.md").read_text()) == (chosen == [limited])
    write_json(tmp_path / "index.json", {"evaluations": [whole, limited]})
    with pytest.raises(
        UserError, match=r"limited\.json: limited: expected a whole run, as in .*whole\.json, found limit20"
    ):
        call("make_tables", "--index", tmp_path / "index.json", "--table", "accuracy", "--markdown", tmp_path / "b.md")
    assert not (tmp_path / "b.md").exists()


@pytest.mark.slow
@pytest.mark.timeout(20 * 60)
def test_every_file_of_a_limited_run_says_so(server: ForkingServer, tmp_path: Path, tiny_model_dir: Path) -> None:
    project = copy_project(tmp_path)
    recipe = project / "tests/recipes/evaluate.yaml"
    recipe.write_text(recipe.read_text().replace("FOLDER", str(tiny_model_dir)))
    snakemake(project, "--config", "limit=3", "--", "all", recipe="tests/recipes/evaluate.yaml", PATH=server.path)
    assert [path.name for path in (project / "results").iterdir()] == ["evaluate-limit3"]
    results = project / "results/evaluate-limit3"
    scores = read_json(results / "7b/eval/mine/digits/scores.json")
    assert (scores["n"], scores["limited"]) == (3, "limit3")
    for path in (results / "records").rglob("*.json"):
        assert read_json(path)["key"]["limited"] == "limit3", path
    assert "limit3" in (results / "tables/accuracy.md").read_text()
    assert "evaluate-limit3" in (results / "report.html").read_text()
