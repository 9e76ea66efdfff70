"""The options recipe's DAG: what each refresh and each sampler asks for, and a run whose sampler observes, for real."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from forking import ForkingServer
from mmr1.data import contracts
from mmr1.plumbing.files import read_json, read_jsonl
from project import copy_project, environment, snakemake

RECIPE = "tests/recipes/options.yaml"
RUNS = "results/options/tiny"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30 * 60)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def planned(project: Path, target: str) -> dict[str, int]:
    """How many jobs of each rule a target needs."""
    printed = snakemake(project, "-n", "--", target, recipe=RECIPE)
    table = printed.rpartition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}


@pytest.mark.parametrize(
    ("run", "jobs"),
    [
        ("grpo", {"draw_schedule": 2}),
        ("vas", {"draw_schedule": 2, "generate_initial": 2, "generate": 2, "score_vps": 2}),
        ("reuse", {"draw_schedule": 2, "generate_initial": 2, "score_vps": 2}),
        ("stale", {"draw_schedule": 2, "generate_initial": 2, "generate": 2, "score_vps": 2, "select_problems": 1}),
        ("tracked", {"draw_schedule": 2, "generate_initial": 2, "generate": 2, "score_vps": 2, "select_problems": 1}),
        ("untouched", {"draw_schedule": 2, "score_vps": 2}),
        ("later", {"draw_schedule": 2, "generate": 2, "score_vps": 2, "select_problems": 1}),
        ("dapo", {"draw_schedule": 2}),
        ("mopps", {}),
    ],
)
def test_a_run_samples_scores_and_draws_what_its_refresh_and_sampler_ask_for(
    project: Path, run: str, jobs: dict[str, int]
) -> None:
    """Two rounds; rollouts are sampled in two shards."""
    found = planned(project, f"{RUNS}/{run}/seed0/round1/calibration.jsonl")
    names = {"draw_schedule", "generate_initial", "generate", "score_vps", "select_problems"}
    assert {name: count for name, count in found.items() if name in names} == jobs
    assert sum(count for name, count in found.items() if name.startswith("train_grpo")) == 2


def test_scores_that_are_followed_are_made_of_all_verdicts_before(server: ForkingServer, project: Path) -> None:
    folders = {run: f"{RUNS}/{run}/seed0/round1" for run in ("tracked", "untouched")}
    snakemake(project, "--", *(f"{one}/schedule.parquet" for one in folders.values()), recipe=RECIPE, PATH=server.path)
    new = {run: contracts.read(project / one / "rewards.parquet", contracts.REWARDS) for run, one in folders.items()}
    assert {run: len(rows) for run, rows in new.items()} == {"tracked": 4 * 2, "untouched": 0}, "4 of 16 problems"
    for run, passes in (("tracked", 1), ("untouched", 0)):
        inputs = read_json(project / f"results/options/records/score_vps/tiny/{run}/seed0/round1.json")["key"]["inputs"]
        assert len(inputs["training_rewards"]) == 1
        assert len(inputs.get("pass_rewards") or []) == passes


def test_what_scores_would_buy_is_measured_before_any_round(server: ForkingServer, project: Path) -> None:
    """The model is one of random weights, so that no group varies and no weights can gain: said, and no error."""
    asked, folder = "counterfactual={truth: 4, new: 2, shares: [1]}", f"{RUNS}/tracked/seed0/round1/counterfactual"
    snakemake(project, "--config", asked, "--", f"{folder}/weightings.jsonl", recipe=RECIPE, PATH=server.path)
    rows = {row["weights"]: row for row in read_jsonl(project / folder / "weightings.jsonl")}
    assert list(rows) == [
        "perfect P(1-P)", "its posterior mean, N = 1", "P(1-P), N = 2", "its posterior mean, N = 2", "tracked",
        "tracked, none new", "tracked, 1 to 100%", "tracked, 2 to 100%",
    ]  # fmt: skip
    assert rows["tracked, 2 to 100%"]["cost"] == 2 * 16 / (2 * 4 * 2), "of two steps of four groups of two"
    inputs = read_json(project / "results/options/records/replay_scores/tiny/tracked/seed0/round1.json")["key"][
        "inputs"
    ]
    assert {name: len(inputs[name]) for name in ("training_rewards", "pass_rewards")} == {
        "training_rewards": 1, "pass_rewards": 1
    }  # fmt: skip
    before_rl = planned(project, "counterfactual")
    assert (before_rl["replay_scores"], before_rl["counterfactual_responses"]) == (1, 2), "of vas, in two shards"
    assert not any(rule.startswith("train_grpo") for rule in before_rl)
    too_few = ["--config", "grpo={group_size: 8}", "counterfactual={truth: 4}", "-n", "--", "counterfactual"]
    printed = snakemake(project, *too_few, recipe=RECIPE, rc=2)
    assert "counterfactual.truth: expected at least grpo.group_size (8), found 4" in printed


def test_a_run_that_observes_writes_the_schedules_that_it_used(server: ForkingServer, project: Path) -> None:
    rounds = [f"{RUNS}/mopps/seed0/round{r}" for r in range(2)]
    targets = [f"{folder}/calibration.jsonl" for folder in rounds]
    snakemake(project, "--", *targets, recipe=RECIPE, PATH=server.path)
    assert "Nothing to be done" in snakemake(project, "--", *targets, recipe=RECIPE)

    rows = [
        row
        for folder in rounds
        for row in contracts.read(project / folder / "schedule.parquet", contracts.SCHEDULE).to_pylist()
    ]
    assert [row["step"] for row in rows] == [step for step in range(4) for _ in range(4)]
    assert {(row["origin"], row["weight"]) for row in rows} == {("mopps", None)}
    calibration = [line for folder in rounds for line in read_jsonl(project / folder / "calibration.jsonl")]
    assert [line["step"] for line in calibration] == [0, 1, 2, 3]
    assert calibration[0]["predicted_ovs"] == pytest.approx(1 / 6), "of the prior"
    assert all(line["groups_weighted"] == line["groups_uniform"] == 0 for line in calibration)

    record = read_json(project / "results/options/records/train_grpo/tiny/mopps/seed0/round1.json")
    assert [file["path"] for file in record["key"]["inputs"]["earlier_rewards"]] == [
        f"{rounds[0]}/train_rewards.parquet"
    ]
    assert record["key"]["settings"]["draw"]["sampler"]["name"] == "mopps"
    assert "mmr1/vas/samplers/mopps.py" in record["key"]["code"]["files"]
    maker = read_json(project / "results/options/records/calibrate/tiny/mopps/seed0/round1.json")["parents"]
    assert any(parent["record"].endswith("train_grpo/tiny/mopps/seed0/round1.json") for parent in maker)

    words = "--first-step 2 --steps 2 --seed 0 --batch-size 4 --sampler mopps --out again.parquet --rewards"
    files = [f"{folder}/train_rewards.parquet" for folder in rounds]
    command = [sys.executable, "scripts/draw_schedule.py", "--problems", "results/options/data/problems.parquet"]
    subprocess.run([*command, *words.split(), *files], cwd=project, env=environment(), check=True)
    assert (project / "again.parquet").read_bytes() == (project / rounds[1] / "schedule.parquet").read_bytes()
