"""What can happen to jobs, on a real SLURM: the real rules and profile, quick programs."""

from slurm.checkout import AFTER_ONE_REPEAT, RECIPE, SFT, Checkout, start_sft
from slurm.cluster import FRAGILE, Cluster, command, wait_for


def test_a_failing_job_shows_its_own_last_lines(cluster: Cluster, checkout: Checkout) -> None:
    words = checkout.on_slurm(SFT, "--retries", "1")
    said = checkout.call(*words, ok=False, STAND_IN_FAILS="train_sft")
    assert "the last words of train_sft" in said
    assert checkout.started() == AFTER_ONE_REPEAT, "as often as the retries say, no more"


def test_leave_to_use_changed_inputs_reaches_the_jobs(cluster: Cluster, checkout: Checkout) -> None:
    checkout.call(*checkout.on_slurm(SFT), MMR1_CHANGED_INPUTS="warn")
    submitted = [entry for entry in checkout.journal() if entry["SLURM_JOB_ID"]]
    assert {(entry["program"], entry["MMR1_CHANGED_INPUTS"]) for entry in submitted} >= {("train_sft", "warn")}


def test_a_cancelled_job_is_submitted_again(cluster: Cluster, checkout: Checkout) -> None:
    head, number = start_sft(cluster, checkout)
    command("scancel", number)
    head.end()
    assert checkout.started() == AFTER_ONE_REPEAT


def test_a_job_that_slurm_ends_at_its_time_limit_is_submitted_again(cluster: Cluster, checkout: Checkout) -> None:
    head, number = start_sft(cluster, checkout)
    cluster.end_now(number)
    head.end()
    assert cluster.state(number) == "TIMEOUT"
    assert checkout.started() == AFTER_ONE_REPEAT


def test_after_a_cancelled_job_the_next_call_repeats_nothing_that_was_done(
    cluster: Cluster, checkout: Checkout
) -> None:
    head, number = start_sft(cluster, checkout, "--retries", "0")
    command("scancel", number)
    head.end(ok=False)
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT


def test_a_node_that_goes_down_takes_no_finished_work_with_it(cluster: Cluster, checkout: Checkout) -> None:
    head, _ = start_sft(cluster, checkout, "--default-resources", f"slurm_partition={FRAGILE}")
    node = next(line["SLURMD_NODENAME"] for line in checkout.journal() if line["program"] == "train_sft")
    command("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        head.end()
    finally:
        command("scontrol", "update", f"nodename={node}", "state=resume")
    assert checkout.started() == AFTER_ONE_REPEAT
    nodes = [line["SLURMD_NODENAME"] for line in checkout.journal() if line["program"] == "train_sft"]
    assert nodes[-1] != node
    wait_for(lambda: "idle" in command("sinfo", "--noheader", "--nodes", node, "--format=%T"), "the node")


def test_ranks_of_several_nodes_find_each_other(cluster: Cluster, checkout: Checkout) -> None:
    """Two GPUs on each of two nodes: srun starts torchrun on both, and torchrun one process per GPU."""
    resources = "resources: {sft: {nodes: 2, gpus: 2, threads: 4}}"
    recipe = checkout.folder / RECIPE
    recipe.write_text(f"{recipe.read_text()}\n{resources}\n")
    checkout.call(*checkout.on_slurm(SFT))
    ranks = [line for line in checkout.journal() if line["program"] == "train_sft" and line["event"] == "start"]
    assert sorted(line["RANK"] for line in ranks) == ["0", "1", "2", "3"]
    assert {line["WORLD_SIZE"] for line in ranks} == {"4"}
    assert sorted(line["SLURMD_NODENAME"] for line in ranks) == ["n1", "n1", "n2", "n2"]
    assert [len(set(line["CUDA_VISIBLE_DEVICES"].split(","))) for line in ranks] == [2] * 4
