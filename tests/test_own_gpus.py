"""Jobs side by side on one machine have GPUs of their own; the devices are counted, there are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT, copy_project, environment

PROGRAM = Path(__file__).parents[1] / "scripts" / "own_gpus.py"
# Says which GPUs it has, and holds them until it is told to end.
HOLDER = "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"


class Machine:
    """Four counted GPUs, and the jobs on them."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, "TMPDIR": str(folder)}
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)
        self.jobs: list[subprocess.Popen[str]] = []

    def start(self, gpus: int, *options: str, **environment: str) -> subprocess.Popen[str]:
        words = [sys.executable, str(PROGRAM), "--gpus", str(gpus), "--of", "4", *options]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*words, "--", sys.executable, "-c", HOLDER]
        job = subprocess.Popen(command, text=True, env={**self.environment, **environment}, **pipes)  # type: ignore[call-overload]
        self.jobs.append(job)
        return job


@pytest.fixture
def machine(tmp_path: Path):
    machine = Machine(tmp_path)
    yield machine
    for job in machine.jobs:
        job.kill()
        job.communicate()


def has(job: subprocess.Popen[str]) -> set[str]:
    """The GPUs of a job, once it has them."""
    assert job.stdout is not None
    return set(job.stdout.readline().strip().split(","))


def test_jobs_have_other_gpus_and_one_too_many_waits_for_them(machine: Machine) -> None:
    first, second = machine.start(2), machine.start(1)
    held, other = has(first), has(second)
    assert (len(held), len(other), held & other) == (2, 1, set())
    third = machine.start(2)
    assert third.stderr is not None
    assert third.stderr.readline() == "own_gpus.py: waiting for 2 of the GPUs 0,1,2,3\n"
    fourth = machine.start(1)  # what is free is not kept for who waits
    left = has(fourth)
    assert left == {"0", "1", "2", "3"} - held - other
    first.kill()  # however a job ends
    assert has(third) == held


def test_gpus_that_a_person_names_are_those_to_choose_from(machine: Machine) -> None:
    assert has(machine.start(1, CUDA_VISIBLE_DEVICES="3,2")) == {"3"}
    assert has(machine.start(1, CUDA_VISIBLE_DEVICES="3,2")) == {"2"}
    assert has(machine.start(2)) == {"0", "1"}


@pytest.mark.parametrize(
    ("gpus", "options", "message"),
    [
        (5, (), "--gpus: expected at most 4 (GPUs 0,1,2,3), found 5"),
        (1, ("--nodes", "2"), "resources: nodes: expected 1 on a machine without a scheduler, found 2"),
    ],
)
def test_what_one_machine_does_not_have_is_told_at_once(
    machine: Machine, gpus: int, options: tuple[str, ...], message: str
) -> None:
    job = machine.start(gpus, *options)
    assert message in job.communicate()[1]
    assert job.returncode == 2


@pytest.mark.parametrize(("profile", "own"), [("gpu", True), ("local", False), ("slurm", False)])
def test_only_the_profile_of_one_machine_hands_gpus_out(tmp_path: Path, profile: str, own: bool) -> None:
    """As Snakemake would start the jobs; on a cluster SLURM gives each its GPUs."""
    words = ["-n", "-p", "--configfile", "config/smoke.yaml", "--profile", f"workflow/profiles/{profile}", "--", "all"]
    snakemake = [str(ROOT / ".envs/driver/bin/snakemake"), *words]
    project = copy_project(tmp_path)
    done = subprocess.run(snakemake, cwd=project, env=environment(), capture_output=True, text=True, check=True)
    for program in ("train_sft", "train_grpo", "generate"):
        handed_out = f"python scripts/own_gpus.py --gpus 1 --of 8 -- python scripts/{program}.py "
        assert (handed_out in done.stdout) == own
        assert f"python scripts/{program}.py " in done.stdout
