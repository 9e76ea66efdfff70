"""The memory estimate against what a small model really uses, and against the published sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import Qwen2_5_VLConfig

from mmr1.grpo.memory import count_parameters, estimate, lines
from mmr1.grpo.settings import GRPOSettings

STATIC = ("policy weights", "gradients", "optimizer state", "reference weights")

# Qwen2.5-VL-7B-Instruct's config.json.
TEXT_7B = {
    **{"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
    **{"num_key_value_heads": 4, "vocab_size": 152_064},
}
VISION_7B = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "way"), [(2, "plain"), (3, "plain"), (2, "checkpointing")])
def test_the_estimate_is_what_a_small_model_uses(tmp_path: Path, stage: int, way: str) -> None:
    program = Path(__file__).with_name("measured_memory.py")
    command = [sys.executable, str(program), str(tmp_path), str(stage), way]
    paths = f"{program.parent}:{program.parents[1] / 'scripts'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    measured = json.loads(printed.splitlines()[-1])
    assert sum(measured["parts"][name] for name in STATIC) == pytest.approx(measured["held"], rel=0.1)
    assert measured["parts"]["activations"] == pytest.approx(measured["activations"], rel=0.3)


def test_the_seven_billion_model_on_eight_ranks() -> None:
    """Under ZeRO-3 an eighth each of: 2 bytes per weight, 12 for the optimizer, 4 for gradients."""
    config = Qwen2_5_VLConfig(text_config=TEXT_7B, vision_config=VISION_7B, tie_word_embeddings=False)
    weights = count_parameters(config)
    assert weights == 8_292_166_656  # as the released checkpoint's index says
    zero3 = {"zero_optimization": {"stage": 3, "reduce_bucket_size": 0}}
    parts = estimate(config, GRPOSettings(), zero3, ranks=8, device_bytes=80 * 2**30)
    assert parts["policy weights"] == parts["reference weights"] == weights * 2 // 8
    assert parts["optimizer state"] == weights * 12 // 8
    assert parts["gradients"] == weights * 4 // 8
    offload = {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}
    assert "optimizer state (host)" in estimate(config, GRPOSettings(), offload, ranks=8)
    alone = estimate(config, GRPOSettings(), {"zero_optimization": {"stage": 2}}, ranks=1)
    assert lines(alone, 80 * 2**30)[-1].strip() == "warning: the device has 81,920 MiB"
