"""The shrunken digits recipe from nothing to the report on a real SLURM, with real programs, through interruptions."""

import json
from pathlib import Path
from typing import Any

import pytest

from slurm.checkout import RECIPE, Checkout
from slurm.cluster import Cluster

LAST = "records/train_grpo/tiny/{run}/seed0/round1.json"


@pytest.fixture(scope="module")
def results(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that `snakemake --profile slurm all` makes.

    GRPO's run trains on two ranks (SLURM hands out two GPUs, gloo stands for NCCL). The last rounds get a deadline that
    is over after the first of their two steps, as a job's time limit may be.
    """
    checkout = Checkout(tmp_path_factory.mktemp("tiny") / "checkout")
    recipe = checkout.folder / RECIPE
    text = recipe.read_text()
    assert "  grpo: {vas: {mix: 0}}" in text
    two_ranks = "  grpo: {vas: {mix: 0}, resources: {train: {gpus: 2, threads: 2, mem_mb: 4000}}}"
    recipe.write_text(text.replace("  grpo: {vas: {mix: 0}}", two_ranks))
    words = checkout.on_slurm("all", "--set-resources", "train_grpo_last:deadline='0.01'")
    checkout.call(*words)
    said = checkout.call(*words)
    assert "Nothing to be done" in said
    return checkout.folder / "results/tiny"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_everything_is_made(results: Path) -> None:
    assert (results / "report.html").stat().st_size > 10_000
    assert read(results / "mlflow_runs.json")


def test_a_job_before_its_time_limit_saves_and_its_next_attempt_goes_on(results: Path) -> None:
    for run in ("grpo", "vas"):
        attempt = read(results / f"logs/train_grpo/tiny/{run}/seed0/round1.attempt.json")
        assert attempt["state"] == "finished"
        (first,) = attempt["earlier"]
        assert first["state"] == "failed"
        assert "the time limit is near: saved with 3 steps done" in first["error"]
        assert first["slurm"]["SLURM_JOB_ID"] != attempt["slurm"]["SLURM_JOB_ID"]
        lines = (results / f"tiny/{run}/seed0/round1/metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [2, 3], "each step once"


def test_two_ranks_train_where_the_recipe_gives_two_gpus(results: Path) -> None:
    log = (results / "logs/train_grpo/tiny/grpo/seed0/round0.log").read_text()
    record = read(results / "records/train_grpo/tiny/grpo/seed0/round0.json")
    assert record["notes"]["ranks"] == 2, log


def test_every_record_says_what_its_job_used(results: Path) -> None:
    local = {"write_settings", "write_run_settings", "write_report_index", "write_tables_index", "export_mlflow"}
    for path in sorted((results / "records").rglob("*.json")):
        execution, rule = read(path)["execution"], path.relative_to(results / "records").parts[0]
        assert execution["seconds"] > 0
        assert execution["peak_memory_mib"] > 10
        assert ("SLURM_JOB_ID" in execution["slurm"]) == (rule not in local), path
