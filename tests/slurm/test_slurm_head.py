"""What can happen to Snakemake itself while its jobs run, on a real SLURM: real rules and profile, quick programs."""

from slurm.checkout import AFTER_ONE_REPEAT, ONCE, RECIPE, SFT, Checkout, start_sft
from slurm.cluster import Cluster, wait_for


def test_ctrl_c_ends_the_jobs_and_the_next_call_goes_on(cluster: Cluster, checkout: Checkout) -> None:
    head, _ = start_sft(cluster, checkout)
    head.interrupt()
    head.end(ok=False)
    wait_for(lambda: not cluster.active(checkout.folder), "the jobs to end")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT


def test_a_job_left_by_a_killed_snakemake_is_ended_by_the_one_that_takes_its_place(
    cluster: Cluster, checkout: Checkout
) -> None:
    head, orphan = start_sft(cluster, checkout)
    head.kill()
    assert cluster.state(orphan) == "RUNNING"
    checkout.call("--profile", "slurm", "--configfile", RECIPE, "--unlock")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == AFTER_ONE_REPEAT
    assert cluster.state(orphan) == "CANCELLED"


def test_a_job_that_ends_after_snakemake_was_killed_is_not_repeated(cluster: Cluster, checkout: Checkout) -> None:
    head, _ = start_sft(cluster, checkout)
    head.kill()
    (checkout.folder / "go").touch()
    wait_for(lambda: not cluster.active(checkout.folder), "the job to end")
    checkout.call("--profile", "slurm", "--configfile", RECIPE, "--unlock")
    checkout.call(*checkout.on_slurm(SFT))
    assert checkout.started() == ONCE


def test_two_recipes_at_once_do_not_disturb_each_other(cluster: Cluster, checkout: Checkout) -> None:
    other = checkout.folder / "other.yaml"
    other.write_text((checkout.folder / RECIPE).read_text().replace("name: tiny", "name: other"))
    first, _ = start_sft(cluster, checkout)
    checkout.call(*checkout.on_slurm("results/other/tiny/base", recipe="other.yaml"))
    (checkout.folder / "go").touch()
    first.end()
    assert checkout.started() == ONCE | {"build_tiny_model": 2}
    assert (checkout.folder / SFT / "file").exists()
    assert (checkout.folder / "results/other/tiny/base/file").exists()
