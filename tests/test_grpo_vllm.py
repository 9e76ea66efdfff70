"""A whole round with vLLM sampling beside the policy: weights pushed in place, log-probabilities compared each step."""

import signal
from pathlib import Path
from typing import Any

import pytest

from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.plumbing.files import read_jsonl
from trainer_harness import Setup, division, run_ranks


@pytest.fixture(scope="module")
def server(server: ForkingServer) -> ForkingServer:
    pytest.importorskip("vllm")
    return server


@pytest.fixture
def setup(tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem]) -> Setup:
    return Setup(tmp_path, tiny_model_dir, digit_problems)


def command(setup: Setup, stage: int, **engine: Any) -> list[str]:
    """A round of three steps, of four groups each, at a rate that moves the weights."""
    settings = setup.settings(
        group_size=4,
        mini_batch_size=2,
        learning_rate=1e-3,
        machine={"save_every": 1, "verify_workers": 1},
        engine={"name": "vllm", "max_num_seqs": 16, **engine},
        deepspeed=division(stage),
    )
    return setup.arguments("vllm", settings, setup.schedule(range(3), size=4))


def check_outputs(setup: Setup) -> None:
    """The weights move, and the engine has them: its log-probabilities are the trainer's at every step."""
    metrics = read_jsonl(setup.folder / "vllm" / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [0, 1, 2]
    assert metrics[-1]["kl"] > 1e-4
    assert all(row["logprob_difference_mean"] < 1e-5 and row["logprobs_differing"] == 0 for row in metrics)
    rollouts = contracts.read(setup.folder / "vllm" / "rollouts.parquet", contracts.TRAINING_ROLLOUTS)
    assert rollouts.num_rows == 3 * 4 * 4
    assert len(set(rollouts.column("seed").to_pylist())) == rollouts.num_rows


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_round_with_vllm(server: ForkingServer, setup: Setup, stage: int) -> None:
    code = server.wait(server.start(command(setup, stage), setup.log("vllm")))
    assert code == 0, setup.log("vllm").read_text()[-3000:]
    check_outputs(setup)


@pytest.mark.slow
@pytest.mark.timeout(300)  # a rank that did not hear of the other's end would wait for hours
def test_a_round_with_one_engine_of_two_ranks(server: ForkingServer, setup: Setup) -> None:
    """Each holds a part of every weight. One is killed in the engine: the other ends, and leaves nothing in the way."""
    commands = [command(setup, stage=3, tensor_parallel=2)] * 2
    killed = ("mmr1.rollout.vllm_engine:VllmEngine._rollout", 20, 0.0)  # the fourth response of the second step
    assert run_ranks(server, setup.folder, "vllm", commands, {1: killed}) == [1, -signal.SIGKILL]
    assert run_ranks(server, setup.folder, "vllm", commands) == [0, 0], setup.log("vllm-0").read_text()[-3000:]
    assert "1 steps done" in setup.log("vllm-0").read_text()
    check_outputs(setup)
