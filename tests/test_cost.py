"""GPU hours over nodes and attempts, and VPS passes as a share of training."""

from pathlib import Path
from typing import Any

import pytest

from mmr1.provenance.ledger import Record
from mmr1.report import cost, page
from synthetic_results import SyntheticResults

START, GPU = "2026-01-02T03:00:00+00:00", {"name": "NVIDIA H100", "utilization": 80.0}


def record(rule: str, place: str, hours: float, parents: tuple[str, ...] = (), **execution: Any) -> Record:
    """A finished job that ran for some hours; its digest is its rule and place."""
    path = Path(f"records/{rule}/{place}.json")
    key = {"rule": rule, "wildcards": place, "program": rule, "params": {}, "inputs": {}, "code": {}}
    ran = {
        "start": START,
        "end": START,
        "seconds": hours * 3600,
        "cpu_seconds": 0,
        "peak_memory_mib": 0,
        "host": "host",
    }
    return Record.model_validate(
        {
            "path": path,
            "name": f"{rule}/{place}",
            "integrity": "i" * 64,
            "key": key,
            "outputs": {},
            "parents": [{"record": name, "name": name} for name in parents],
            "execution": {**ran, "git": {"commit": "a" * 40}, **execution},
        }
    )


def attempt(minutes: int | None, state: str = "failed") -> dict[str, Any]:
    """An earlier start of a job, which ended after some minutes or never said so."""
    end = None if minutes is None else f"2026-01-02T03:{minutes:02d}:00+00:00"
    return {"state": state, "start": START, "end": end, "slurm": {}}


@pytest.fixture
def records() -> list[Record]:
    """A round on 2 nodes of 8 GPUs, after 2 shards of one GPU each and scores without a GPU."""
    place = "3b/vas/seed0/round0"
    shards = [record("generate", f"{place}/{shard}", 2, gpu=[GPU]) for shard in range(2)]
    scores = record("score_vps", place, 1, tuple(shard.name for shard in shards))
    return [*shards, scores, record("train_grpo", place, 4, gpu=[GPU] * 8, nodes=2)]


def test_the_share_of_vps_passes_is_of_gpu_hours_where_there_are_gpus(records: list[Record]) -> None:
    """Five hours of jobs beside four, but four GPU hours beside 64."""
    (passes,) = cost.vps_passes(records)
    assert (passes.vps_seconds, passes.training_seconds) == (5 * 3600, 4 * 3600)
    assert (passes.vps_gpu_hours, passes.training_gpu_hours) == (4, 64)
    assert passes.share == pytest.approx(4 / 64)
    for one in records:
        one.execution.gpu = []
    assert cost.vps_passes(records)[0].share == pytest.approx(5 / 4)


def test_attempts_that_a_job_went_on_from_are_counted(records: list[Record]) -> None:
    """Half an hour until a time limit; of one that was killed outright nobody knows how long it ran."""
    records[-1].execution.earlier = [attempt(30), attempt(None, "running")]
    stages = {stage.rule: stage for stage in cost.by_stage(records)}
    assert stages["train_grpo"].seconds == 4.5 * 3600
    assert stages["train_grpo"].gpu_hours == pytest.approx(4.5 * 16)
    assert stages["train_grpo"].gpu_utilization == pytest.approx(80)
    assert stages["generate"].gpu_hours == pytest.approx(4)
    assert stages["score_vps"].gpu_hours is None
    assert cost.vps_passes(records)[0].share == pytest.approx(4 / (4.5 * 16))


def test_the_report_shows_gpu_hours_of_passes(records: list[Record], tmp_path: Path) -> None:
    index = SyntheticResults(tmp_path / "results/made").index
    html, _ = page.build(index.model_copy(update={"trainings": ()}), records)
    assert "64.0 GPU h" in html
    assert "4.0 GPU h" in html
    assert "6 %" in html
