"""A whole round with vLLM sampling beside the policy: weights pushed in place, log-probabilities compared each step."""

from pathlib import Path

import pytest

from mmr1 import tables
from mmr1.files import read_jsonl
from mmr1.problems import Problem
from trainer_harness import Setup, division, trainers


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_round_with_vllm(tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem], stage: int) -> None:
    pytest.importorskip("vllm")
    setup = Setup(tmp_path, tiny_model_dir, digit_problems)
    engine = {"name": "vllm", "batch_size": 16}
    zero = {"deepspeed": division(stage)}
    settings = setup.settings(group_size=4, mini_batch_size=2, learning_rate=1e-3, engine=engine, **zero)
    schedule = setup.schedule(range(3), size=4)
    with trainers() as server:
        code = server.wait(server.start(setup.arguments("vllm", settings, schedule), setup.log("vllm")))
        assert code == 0, setup.log("vllm").read_text()[-3000:]
    metrics = read_jsonl(tmp_path / "vllm" / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [0, 1, 2]
    # The weights move, and the engine has them: its log-probabilities are the trainer's at every step.
    assert metrics[-1]["kl"] > 1e-4
    assert all(row["logprob_difference_mean"] < 1e-5 for row in metrics)
    rollouts = tables.read(tmp_path / "vllm" / "rollouts.parquet", tables.TRAINING_ROLLOUTS)
    assert rollouts.num_rows == 3 * 4 * 4
    assert len(set(rollouts.column("seed").to_pylist())) == rollouts.num_rows
