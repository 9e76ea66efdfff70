"""Two runs, or two recipes, side by side: what they were told otherwise, and how far their accuracies are apart."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmark_fixtures import Call
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import write_json
from mmr1.provenance.kept_recipe import KeptRecipe

ITEMS = 40


def evaluated(results: Path, run: str, right: dict[int, int], mix: float = 0.5, temperature: float = 0.0) -> None:
    """A trained run of which each seed answered that many of the first problems of ChartQA."""
    trained, name = {}, f"values of {run}"
    for seed, count in right.items():
        place = f"tiny/{run}-seed{seed}/chartqa"
        for rule, settings in (("generate_predictions", {"temperature": temperature}), ("score_benchmark", None)):
            problems = [{"path": f"{results}/data/chartqa.parquet", "sha256": "a" * 64}]
            key = {"settings": settings, "inputs": {"problems": problems}}
            write_json(results / f"records/{rule}/{place}.json", {"key": key})
        items = results / f"tiny/eval/{run}-seed{seed}/chartqa/items.parquet"
        items.parent.mkdir(parents=True)
        ids = [f"q{number:03d}" for number in range(ITEMS)]
        pq.write_table(pa.table({"id": ids, "reader": [n < count for n in range(ITEMS)]}), items)
        trained[f"{results}/records/train_grpo/tiny/{run}/seed{seed}/round0.json"] = name
    path = results / "recipe.json"
    kept = KeptRecipe(results)
    write_json(path, {
        "file": "r.yaml", "trained": kept.trained | trained,
        "recipes": kept.recipes | {name: {"vas.mix": mix, "schedule.steps": 4}},
    })  # fmt: skip


def test_two_runs_of_a_recipe(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated(tmp_path, "vas", {0: 30, 1: 28})
    evaluated(tmp_path, "grpo", {0: 20, 1: 20, 2: 40}, mix=0)
    call("compare_results", tmp_path / "tiny/vas", tmp_path / "tiny/grpo")
    head, changed, accuracy = capsys.readouterr().out.splitlines()
    assert head == f"{tmp_path}/tiny/vas less {tmp_path}/tiny/grpo"
    assert changed == "  vas.mix: 0.5, 0"
    assert accuracy.startswith("  chartqa (reader): 72.5% and 50.0%; +22.5 points [+")
    assert accuracy.endswith("] over 40 problems and 2 seeds"), "seed 2 has no partner"


def test_two_recipes_are_compared_run_by_run(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    evaluated(one, "vas", {0: 20})
    evaluated(one, "grpo", {0: 20})
    evaluated(other, "vas", {0: 20}, temperature=0.7)
    evaluated(other, "mix-0.2", {0: 20})
    call("compare_results", one, other)
    head, changed, accuracy = capsys.readouterr().out.splitlines()
    assert head == f"{one}/tiny/vas less {other}/tiny/vas"
    assert changed == "  chartqa: temperature: 0.0, 0.7"
    assert "+0.0 points [-" in accuracy
    assert accuracy.endswith("1 seed, which says nothing about seeds; no difference is shown")


def test_what_cannot_be_compared_is_one_line(call: Call, tmp_path: Path) -> None:
    evaluated(tmp_path / "one", "vas", {0: 20})
    evaluated(tmp_path / "other", "vas", {1: 20})
    with pytest.raises(UserError, match=r"expected a seed in common, found \(0,\) and \(1,\)"):
        call("compare_results", tmp_path / "one", tmp_path / "other")
    with pytest.raises(UserError, match=r"tiny/no: expected a recipe's results, or MODEL/RUN in them"):
        call("compare_results", tmp_path / "one/tiny/no", tmp_path / "other")
