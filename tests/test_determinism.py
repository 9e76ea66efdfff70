"""`deterministic: true`: what is asked for before a GPU starts, what a record says; nothing is due without it."""

import os
import subprocess
import sys

import pytest

from mmr1.models import determinism
from mmr1.models.determinism import VARIABLES, check_capability, set_variables
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.settings import numbers
from mmr1.sft.settings import SFTSettings, SFTTrainerSettings
from project import ROOT


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_each_variable_is_set_and_a_contradiction_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(VARIABLES)
    assert {name: os.environ[name] for name in VARIABLES} == VARIABLES
    monkeypatch.setenv("NCCL_ALGO", "Tree")
    with pytest.raises(UserError, match=r"^NCCL_ALGO: expected Ring or nothing, .*, found Tree$"):
        set_variables(VARIABLES)


def test_a_gpu_without_such_kernels_is_refused() -> None:
    check_capability("NVIDIA H100", (9, 0))
    with pytest.raises(
        UserError, match=r"expected a GPU of compute capability 8\.0 or more, found Tesla V100 \(7\.0\)"
    ):
        check_capability("Tesla V100", (7, 0))


CODE = """
from mmr1.models import determinism
determinism.require_determinism()
import torch
values = torch.tensor([[1.0, 2.0]], requires_grad=True)
try:
    torch.nn.functional.max_unpool1d(values, torch.tensor([[0, 1]]), 2)
except RuntimeError as error:
    print("refused:", "deterministic" in str(error))
with determinism.any_kernel():
    torch.nn.functional.max_unpool1d(values, torch.tensor([[0, 1]]), 2)
print(torch.are_deterministic_algorithms_enabled(), determinism.notes())
"""


def test_torch_refuses_an_operation_without_a_deterministic_kernel_but_in_an_engine() -> None:
    """In a process of its own: the switch is global."""
    path = {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["refused: True", "True {'deterministic': {}}"]
    assert determinism.notes() == {}


def test_the_key_is_in_no_digest_until_it_is_set() -> None:
    assert numbers(SFTTrainerSettings()) == numbers(SFTSettings())
    assert numbers(SFTTrainerSettings(deterministic=True))["deterministic"] is True
