"""What a job used: memory of its processes, and of GPUs what `nvidia-smi` says, which is a script here."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmr1.plumbing import usage
from mmr1.plumbing.usage import Usage, query_gpus

# Two GPUs, of which `-i` chooses; each call notes itself, and the utilization grows with every call.
NVIDIA_SMI = """#!{python}
import pathlib, sys

calls = pathlib.Path(__file__).with_name("calls")
calls.write_text(calls.read_text() + "x")
if pathlib.Path(__file__).with_name("broken").exists() and len(calls.read_text()) == 2:
    sys.exit(9)
chosen = sys.argv[2] if sys.argv[1] == "-i" else "0,1"
if not set(chosen.split(",")) <= {{"0", "1"}}:
    sys.exit("No devices were found")
for index in chosen.split(","):
    share = 10 * len(calls.read_text()) if index == "0" else "[N/A]"
    print(f"NVIDIA H100, 580.1, 81559, {{share}}, {{1000 + int(index)}}")
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI.format(python=sys.executable))
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "calls").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, 2),
        ({"CUDA_VISIBLE_DEVICES": "1"}, 1),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"}, 2),
        ({"SLURM_JOB_ID": "7"}, 0),  # a job without a GPU on a node that has some
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
    ],
)
def test_a_job_sees_the_gpus_that_it_was_given(
    tools: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], found: int
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert len(query_gpus(usage.FIELDS)) == found


def looks(tools: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> Usage:
    """A job that lasts until that many looks have been taken."""
    monkeypatch.setattr(usage, "SECONDS_BETWEEN_LOOKS", 0.01)
    with Usage() as used:
        while len((tools / "calls").read_text()) < count:
            pass
    return used


def test_use_is_the_mean_and_memory_the_most_over_the_job(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = looks(tools, monkeypatch, 3)
    calls = len((tools / "calls").read_text())
    first, second = used.gpus()
    shares = [10 * call for call in range(1, calls + 1)]
    assert first["utilization"] == pytest.approx(sum(shares) / len(shares))
    assert first["peak_memory_mib"] == 1000
    assert (first["name"], first["memory.total"]) == ("NVIDIA H100", "81559")
    assert second["utilization"] is None, "a device that does not tell is not idle"
    assert second["peak_memory_mib"] == 1001


def test_one_look_that_fails_ends_nothing(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "broken").touch()
    first, _ = looks(tools, monkeypatch, 3).gpus()
    calls = len((tools / "calls").read_text())
    shares = [10 * call for call in range(1, calls + 1) if call != 2]
    assert first["utilization"] == pytest.approx(sum(shares) / len(shares))


def test_memory_is_that_of_all_processes_together() -> None:
    size = 200
    child = f"x = bytearray({size} << 20); print('ready', flush=True); input()"
    alone = usage._memory_of_tree()
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert usage._memory_of_tree() > alone + size
        process.communicate(b"\n")
