"""What can happen to jobs and to Snakemake itself, on a real SLURM: the real rules and profile, quick programs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.checkout import RECIPE, Checkout
from slurm.cluster import Cluster, command, wait_for

SFT = "results/tiny/tiny/sft/checkpoint"
ONCE = {"prepare_digits": 1, "build_tiny_model": 1, "train_sft": 1}
AFTER_ONE_REPEAT = ONCE | {"train_sft": 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which everything before SFT has been made."""
    checkout = Checkout(tmp_path_factory.mktemp("prepared") / "checkout").with_stand_ins()
    checkout.call(*checkout.here("results/tiny/data/problems.parquet", "results/tiny/tiny/base"))
    return checkout


@pytest.fixture
def checkout(cluster: Cluster, prepared: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    yield prepared.copy(tmp_path / "checkout")
    cluster.drain()


def running_sft(cluster: Cluster) -> str | None:
    """The number of the SFT job, once its program runs."""
    return next((number for number, what in cluster.running().items() if "train_sft" in what), None)


def wait_for_sft(cluster: Cluster, checkout: Checkout, times: int = 1) -> str:
    wait_for(lambda: checkout.started()["train_sft"] == times, 120, "SFT to start")
    number = running_sft(cluster)
    assert number
    return number


def test_a_failing_job_shows_its_own_last_lines(cluster: Cluster, checkout: Checkout) -> None:
    words = checkout.on_slurm(SFT, "--retries", "1")
    said = checkout.call(*words, ok=False, STAND_IN_FAILS="train_sft")
    assert "the last words of train_sft" in said
    assert checkout.started() == AFTER_ONE_REPEAT, "as often as the retries say, no more"


def test_a_cancelled_job_is_submitted_again(cluster: Cluster, checkout: Checkout) -> None:
    head = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="600")
    command("scancel", wait_for_sft(cluster, checkout))
    said, _ = head.communicate(timeout=180)
    assert head.returncode == 0, said
    assert checkout.started() == AFTER_ONE_REPEAT


def test_after_a_cancelled_job_the_next_call_repeats_nothing_that_was_done(
    cluster: Cluster, checkout: Checkout
) -> None:
    head = checkout.start(*checkout.on_slurm(SFT, "--retries", "0"), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="600")
    command("scancel", wait_for_sft(cluster, checkout))
    head.communicate(timeout=180)
    assert head.returncode != 0
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT


def test_a_node_that_goes_down_takes_no_finished_work_with_it(cluster: Cluster, checkout: Checkout) -> None:
    head = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="600")
    wait_for_sft(cluster, checkout)
    node = next(line["SLURMD_NODENAME"] for line in checkout.journal() if line["program"] == "train_sft")
    command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        said, _ = head.communicate(timeout=180)
    finally:
        command("scontrol", "update", f"nodename={node}", "state=resume")
    assert head.returncode == 0, said
    assert checkout.started() == AFTER_ONE_REPEAT
    nodes = [line["SLURMD_NODENAME"] for line in checkout.journal() if line["program"] == "train_sft"]
    assert nodes[-1] != node
    wait_for(lambda: "idle" in command("sinfo", "--noheader", "--nodes", node, "--format=%T"), 30, "the node")


def test_ctrl_c_ends_the_jobs_and_the_next_call_goes_on(cluster: Cluster, checkout: Checkout) -> None:
    head = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="600")
    wait_for_sft(cluster, checkout)
    os.kill(head.pid, signal.SIGINT)
    head.communicate(timeout=120)
    assert head.returncode != 0
    wait_for(lambda: not cluster.active(), 60, "the jobs to end")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT


def test_a_job_left_by_a_killed_snakemake_is_ended_by_the_one_that_takes_its_place(
    cluster: Cluster, checkout: Checkout
) -> None:
    head = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="600")
    orphan = wait_for_sft(cluster, checkout)
    os.killpg(head.pid, signal.SIGKILL)
    head.communicate()
    assert cluster.queue()[orphan] == "RUNNING"
    checkout.call("--profile", "slurm", "--configfile", RECIPE, "--unlock")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT
    assert cluster.queue()[orphan] == "CANCELLED"


def test_a_job_that_ends_after_snakemake_was_killed_is_not_repeated(cluster: Cluster, checkout: Checkout) -> None:
    head = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="10")
    wait_for_sft(cluster, checkout)
    os.killpg(head.pid, signal.SIGKILL)
    head.communicate()
    wait_for(lambda: not cluster.active(), 60, "the job to end")
    checkout.call("--profile", "slurm", "--configfile", RECIPE, "--unlock")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == ONCE


def test_two_recipes_at_once_do_not_disturb_each_other(cluster: Cluster, checkout: Checkout) -> None:
    other = checkout.folder / "other.yaml"
    other.write_text((checkout.folder / RECIPE).read_text().replace("name: tiny", "name: other"))
    first = checkout.start(*checkout.on_slurm(SFT), STAND_IN_SLOW="train_sft", STAND_IN_SECONDS="20")
    second = checkout.start(*checkout.on_slurm("results/other/tiny/base", recipe="other.yaml"))
    for head in (first, second):
        said, _ = head.communicate(timeout=180)
        assert head.returncode == 0, said
    assert checkout.started() == ONCE | {"build_tiny_model": 2}
    assert (checkout.folder / SFT / "file").exists()
    assert (checkout.folder / "results/other/tiny/base/file").exists()


def test_ranks_of_several_nodes_find_each_other(cluster: Cluster, checkout: Checkout) -> None:
    """Two GPUs on each of two nodes: srun starts torchrun on both, and torchrun one process a GPU."""
    resources = "resources: {sft: {nodes: 2, gpus: 2, threads: 4}}"
    (checkout.folder / "two_nodes.yaml").write_text(f"{(checkout.folder / RECIPE).read_text()}\n{resources}\n")
    checkout.call(*checkout.on_slurm(SFT, recipe="two_nodes.yaml"))
    ranks = [line for line in checkout.journal() if line["program"] == "train_sft" and line["event"] == "start"]
    assert sorted(line["RANK"] for line in ranks) == ["0", "1", "2", "3"]
    assert {line["WORLD_SIZE"] for line in ranks} == {"4"}
    assert sorted(line["SLURMD_NODENAME"] for line in ranks) == ["n1", "n1", "n2", "n2"]
    assert sorted(line["CUDA_VISIBLE_DEVICES"] for line in ranks) == ["0,1"] * 4
