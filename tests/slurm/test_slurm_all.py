"""The shrunken digits recipe from nothing to the report on a real SLURM, with real programs, through interruptions."""

import json
from pathlib import Path
from typing import Any

import pytest

from slurm.checkout import RECIPE, Checkout
from slurm.cluster import Cluster, wait_for

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which `snakemake --profile slurm all` has come to its end, its results on another file system.

    GRPO's run trains on two nodes of one GPU each (gloo stands for NCCL). The last rounds get a deadline that is over
    after the first of their two steps, as a job's time limit may be.
    """
    checkout = Checkout(tmp_path_factory.mktemp("all") / "checkout")
    (checkout.folder / "results").symlink_to(tmp_path_factory.mktemp("scratch"))
    recipe = checkout.folder / RECIPE
    text = recipe.read_text()
    assert "  grpo: {vas: {mix: 0}}" in text
    two_nodes = "  grpo: {vas: {mix: 0}, resources: {train: {nodes: 2, gpus: 1}}}"
    recipe.write_text(text.replace("  grpo: {vas: {mix: 0}}", two_nodes))
    words = checkout.on_slurm("all", "--set-resources", "train_grpo_kept:deadline='0.01'")
    assert "plan: 34 jobs, about " in checkout.call(*words), "its cost in one line before anything is submitted"
    said = checkout.call(*words)
    assert "plan: " not in said
    assert "Nothing to be done" in said
    return checkout


@pytest.fixture
def results(finished: Checkout) -> Path:
    return finished.folder / "results/tiny"


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


def test_ranks_train_on_the_nodes_that_the_recipe_gives(results: Path) -> None:
    record = read(results / "records/train_grpo/tiny/grpo/seed0/round0.json")
    assert record["notes"]["ranks"] == 2
    assert record["execution"]["nodes"] == 2


def test_every_record_says_what_its_job_used(results: Path) -> None:
    local = {"make_tables"}
    for path in sorted((results / "records").rglob("*.json")):
        execution, rule = read(path)["execution"], path.relative_to(results / "records").parts[0]
        assert execution["seconds"] > 0
        assert execution["peak_memory_mib"] > 10
        assert ("SLURM_JOB_ID" in execution["slurm"]) == (rule not in local | {"export_mlflow"}), path


def test_a_trainer_that_slurm_ends_at_its_time_limit_goes_on_in_the_next_job(
    cluster: Cluster, finished: Checkout
) -> None:
    """A round without an end in sight: SLURM ends its first job, and the second goes on from the state it finds."""
    recipe = finished.folder / RECIPE
    short = recipe.read_text()
    long_run = "  long: {vas: {mix: 0}, schedule: {steps: 4000, update_every: 4000}}"
    recipe.write_text(f"{short}{long_run}\n")
    place = "tiny/long/seed0/round0"
    log = finished.folder / f"results/tiny/logs/train_grpo/{place}.log"
    states = finished.folder / f"results/tiny/work/train_grpo/{place}/states"
    head = finished.start(*finished.on_slurm(f"results/tiny/{place}/metrics.jsonl"))
    try:
        wait_for(lambda: any(states.glob("0*")) or head.has_ended(), "a first saved state")
        (number,) = cluster.running(finished.folder)
        cluster.end_now(number)
        wait_for(lambda: head.has_ended() or (log.exists() and "going on from" in log.read_text()), "the next attempt")
        assert cluster.state(number) == "TIMEOUT"
        (earlier,) = read(log.with_suffix(".attempt.json"))["earlier"]
        assert earlier["slurm"]["SLURM_JOB_ID"] == number
        assert "SIGTERM: saved with" in earlier["error"]
    finally:
        head.interrupt()
        head.end(ok=False)
        cluster.drain(finished.folder)
        recipe.write_text(short)
