"""What a node of GPUs lacks is one line at a job's start, whatever it is; other environments ask for nothing."""

from pathlib import Path

import pytest

from mmr1.plumbing import gpu_node
from mmr1.plumbing.environment import locked
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.gpu_node import check_gpu_node

LOCKS = Path(__file__).parents[1] / "envs"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node with the packages of gpu.lock, a driver for CUDA 13.1, and a folder of programs with a compiler."""
    packages = locked(LOCKS / "gpu.lock")
    monkeypatch.setattr(gpu_node, "locked_by", lambda: "gpu")
    monkeypatch.setattr(gpu_node, "environment", lambda: {"packages": packages})
    monkeypatch.setattr(gpu_node, "driver_cuda", lambda: 13010)
    (tmp_path / "cc").write_text("")
    (tmp_path / "cc").chmod(0o755)
    (tmp_path / "Python.h").write_text("")
    monkeypatch.setattr(gpu_node.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


def test_a_node_with_all_of_it_starts(node: Path) -> None:
    check_gpu_node()


def test_all_that_is_missing_is_named_in_one_line(
    node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_node, "driver_cuda", lambda: 12080)
    (node / "cc").unlink()
    (node / "Python.h").unlink()
    expected = (
        "environment gpu: expected an NVIDIA driver for CUDA 13 (R580 or newer), found one for CUDA 12.8; "
        f"a C compiler (cc, gcc, clang or $CC), found none; {node}/Python.h, found no such file"
    )
    with pytest.raises(UserError) as caught:
        check_gpu_node()
    assert str(caught.value) == f"{expected} (docs/first-hour.md); MMR1_NODE=warn tries it as it is"
    monkeypatch.setenv("MMR1_NODE", "warn")
    check_gpu_node()
    assert capsys.readouterr().err == f"{expected}\n"


def test_a_node_without_a_driver_does_not_compute_on_its_processor(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_node, "driver_cuda", lambda: None)
    with pytest.raises(UserError, match=r"for CUDA 13 \(R580 or newer\), found none \("):
        check_gpu_node()


@pytest.mark.parametrize("lock", ["cpu", None])
def test_an_environment_without_cuda_asks_for_nothing(
    node: Path, lock: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_node, "locked_by", lambda: lock)
    monkeypatch.setattr(gpu_node, "driver_cuda", lambda: None)
    packages = locked(LOCKS / "cpu.lock") if lock else {"nvidia-cuda-runtime": "13.0.96"}
    monkeypatch.setattr(gpu_node, "environment", lambda: {"packages": packages})
    check_gpu_node()
