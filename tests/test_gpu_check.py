"""The GPU check runs whole, at a toy shape on the CPU: every part says its numbers and none fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmr1.plumbing.files import read_jsonl
from project import ROOT

EQUAL = ("same run twice", "killed and resumed", "sleep, wake, same weights", "seeds in other company")


@pytest.mark.slow
def test_every_part_runs_and_says_equal_where_a_cpu_is_exact(tmp_path: Path) -> None:
    out = tmp_path / "check.jsonl"
    program = [sys.executable, str(ROOT / "performance/gpu_check.py"), "--smoke", "--out", str(out)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    lines = {line["name"]: line for line in read_jsonl(out)}
    assert {line["part"] for line in lines.values()} >= {"machine", "vision", "update", "zero", "plain", "trl", "vllm"}
    assert not [line for line in lines.values() if "error" in line]
    assert lines["grouped"]["difference_to_float32_max"] == 0
    for name in EQUAL:
        assert lines[name]["equal"] == lines[name].get("of", True)
    for name in ("vision grouped", "shared prompts", "packed", "nothing recomputed", "as it was"):
        phases = lines[name]["phases"]
        assert {"encode", "vision", "text", "head", "reference", "backward", "optimizer"} <= phases.keys()
        assert sum(phases.values()) == pytest.approx(lines[name]["seconds"], rel=0.3)
    assert 0.99 < lines["bf16 against float32"]["gradient_cosine"] < 1 + 1e-9
    assert lines["one by one"]["loss"] == pytest.approx(lines["one row"]["loss"])  # of the cold start
    assert all({"device", "torch", "transformers"} <= line.keys() for line in lines.values())
