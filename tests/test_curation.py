"""`curate`: a pool is divided by a model's pass rates into what SFT learns and a balanced RL set."""

import csv
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.conversations import ConversationFile
from mmr1.data.curation import Judged, balanced, chains, difficulty, shares
from mmr1.data.problems import read_problems, write_problems
from mmr1.data.settings import CurationSettings
from mmr1.data.sources import digits
from mmr1.plumbing.files import read_json
from project import ROOT, copy_project, snakemake

SETTINGS = CurationSettings()


@pytest.mark.parametrize(
    ("right", "expected"), [(0, "hard"), (2, "hard"), (3, "medium"), (7, "medium"), (8, "easy"), (10, "easy")]
)
def test_the_bounds_are_the_papers(right: int, expected: str) -> None:
    assert difficulty(right / 10, SETTINGS) == expected


def test_sft_learns_right_responses_of_problems_that_are_not_easy() -> None:
    two = SETTINGS.model_copy(update={"chains": 2})
    assert chains(Judged("a", None, 8, (3, 5, 6)), two) == (3, 5)
    assert chains(Judged("a", None, 8, (3,)), two) == (3,)
    assert chains(Judged("a", None, 8, ()), two) == chains(Judged("a", None, 8, tuple(range(8))), two) == ()


def test_types_have_equal_shares_as_far_as_they_go() -> None:
    there = {"algebra": 100, "counting": 2, "topology": 40}
    assert shares(there, 30) == {"algebra": 14, "counting": 2, "topology": 14}
    assert shares(there, 100) == {"algebra": 58, "counting": 2, "topology": 40}
    assert shares(there, 1000) == there
    assert shares(there, 4) == {"algebra": 2, "counting": 1, "topology": 1}
    assert shares(there, None) == {"algebra": 2, "counting": 2, "topology": 2}
    assert shares({}, 5) == {}


def test_the_rl_set_is_drawn_by_the_seed_from_the_difficulties_asked_for() -> None:
    kinds = ("algebra", "topology", None)
    pool = [Judged(f"{number}", kinds[number % 3], 10, tuple(range(number % 11))) for number in range(330)]
    hard = balanced(pool, SETTINGS.model_copy(update={"rl_problems": 20}), 0)
    assert hard == balanced(pool, SETTINGS.model_copy(update={"rl_problems": 20}), 0)
    assert hard != balanced(pool, SETTINGS.model_copy(update={"rl_problems": 20}), 1)
    chosen = [one for one in pool if one.id in hard]
    assert [sum(one.type == kind for one in chosen) for kind in kinds] == [10, 10, 0]
    assert {difficulty(one.pass_rate, SETTINGS) for one in chosen} == {"hard"}
    untyped = [Judged(one.id, None, one.n, one.right) for one in pool]
    assert len(balanced(untyped, SETTINGS.model_copy(update={"rl_problems": 20}), 0)) == 20


def test_hard_stands_below_easy() -> None:
    with pytest.raises(ValidationError, match=r"expected hard below easy, found 0\.9 and 0\.8"):
        CurationSettings(hard=0.9)


VERDICTS = {"a": [1, 1, 0, 0], "b": [0, 0, 0, 0], "c": [1, 1, 1, 1], "d": [0, 1, 1, 0]}


def test_a_pool_becomes_conversations_and_an_rl_set(server: ForkingServer, tmp_path: Path) -> None:
    drawn = digits.make_problems("pool", 4, seed=0, digits=digits.load(held_out=False))
    pool = [replace(one, id=name) for one, name in zip(drawn, VERDICTS, strict=True)]
    write_problems(tmp_path / "pool.parquet", pool)
    pairs = [(name, rollout, right) for name, some in VERDICTS.items() for rollout, right in enumerate(some)]
    said = {"seed": 0, "token_ids": [1], "finish_reason": "stop", "logprob": 0.0}
    rows = [{"problem_id": name, "rollout": k, "text": f"{name}{k}", **said} for name, k, _ in pairs]
    contracts.write(tmp_path / "0.parquet", rows, contracts.ROLLOUTS)
    judged = {"format": 1.0, "extracted": None, "reason": ""}
    rows = [{"problem_id": name, "rollout": k, "accuracy": float(right), **judged} for name, k, right in pairs]
    contracts.write(tmp_path / "rewards.parquet", rows, contracts.REWARDS)
    words = [
        "--problems", tmp_path / "pool.parquet", "--rollouts", tmp_path / "0.parquet", "--rewards",
        tmp_path / "rewards.parquet", "--problems-out", tmp_path / "problems.parquet", "--sft-out",
        tmp_path / "sft.parquet", "--difficulty-out", tmp_path / "difficulty.parquet", "--type-key", "task",
    ]  # fmt: skip
    settings = '{"chains": 2, "rl_difficulties": ["medium", "hard"]}'
    program = [server.python, "scripts/curate.py", *map(str, words), "--settings", settings]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    learned = [(problem.id, response) for problem, response in ConversationFile(tmp_path / "sft.parquet", None)]
    assert learned == [("a/0", "a0"), ("a/1", "a1"), ("d/1", "d1"), ("d/2", "d2")]
    listed = {row["problem_id"]: row for row in pq.read_table(tmp_path / "difficulty.parquet").to_pylist()}
    assert [(row["difficulty"], row["type"]) for row in listed.values()] == [
        ("medium", "max"), ("hard", "sum"), ("easy", "max"), ("medium", "sum")
    ]  # fmt: skip
    chosen = [one.id for one in read_problems(tmp_path / "problems.parquet")]
    assert chosen == [name for name, row in listed.items() if row["rl"]]
    assert sorted(listed[name]["type"] for name in chosen) == ["max", "sum"]


@pytest.mark.slow
def test_digits_are_curated_and_their_gradients_measured(server: ForkingServer, tmp_path: Path) -> None:
    """The targets, with a model of random weights, for which all is hard: no group varies, and no gradient is known."""
    project = copy_project(tmp_path)
    curation = "curation={type_key: task, samples: 4, rl_problems: 10}"
    snakemake(project, "--config", curation, "--", "curate", "theorem", PATH=server.path)
    folder = project / "results/tiny/tiny/curated"
    listed = pq.read_table(folder / "difficulty.parquet").to_pylist()
    assert [row["n"] for row in listed] == [4] * 16
    chosen = read_problems(folder / "problems.parquet")
    assert [one.id for one in chosen] == [row["problem_id"] for row in listed if row["rl"]]
    assert sorted(one.metadata["task"] for one in chosen) == ["max"] * 5 + ["sum"] * 5
    record = read_json(project / "results/tiny/records/curate_data/tiny.json")
    assert record["notes"]["rl_by_type"] == {"max": 5, "sum": 5}
    assert record["metrics"]["sft"] == sum(row["chains"] for row in listed)
    theorem = project / "results/tiny/tiny/theorem"
    assert read_json(theorem / "summary.json")["varying"] == 0
    rows = list(csv.DictReader((theorem / "signal_to_noise.csv").open()))
    assert [(row["weights"], row["advantages"]) for row in rows] == [("uniform", "centred"), ("uniform", "divided")]
    assert {(row["varying"], row["signal"], row["snr"]) for row in rows} == {("0.0", "0.0", "nan")}
