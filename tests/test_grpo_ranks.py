"""Several ranks do what one does: on replayed rollouts the same losses, whatever the number of ranks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.data.sources import digits
from mmr1.plugins import names
from mmr1.plumbing.files import read_jsonl
from trainer_harness import Setup, division, run_ranks, small_setup

STEPS = 3


@pytest.fixture(scope="module")
def setup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, digit_problems: list[Problem]
) -> Setup:
    """Every other problem is text alone: there are micro-batches without an image, on one rank or another."""
    problems = [
        replace(problem, question=problem.question.replace("<image>", ""), images=()) if index % 2 else problem
        for index, problem in enumerate(digit_problems)
    ]
    return small_setup(tmp_path_factory.mktemp("ranks"), problems, family=getattr(request, "param", "qwen2_5_vl"))


@pytest.mark.slow
@pytest.mark.parametrize("setup", names("models/families"), indirect=True)
def test_two_and_three_ranks_have_the_losses_of_one(server: ForkingServer, setup: Setup) -> None:
    """Five problems of two rollouts, a few to a micro-batch: neither two nor three ranks divide them."""
    schedule = setup.schedule(range(STEPS), size=5)
    changes: dict[str, Any] = {"group_size": 2, "mini_batch_size": 3, "micro_batch_tokens": 200, "share_prompts": False}
    one = setup.settings("one", **changes)
    assert server.wait(server.start(setup.arguments("sampled", one, schedule), setup.log("sampled"))) == 0
    replay = with_rewards(setup, setup.folder / "sampled" / "rollouts.parquet")
    curves = []
    for name, ranks, zero in (
        ("one", 1, division(2)),
        ("two", 2, division(2)),
        ("three", 3, division(2)),
        ("two-zero3", 2, division(3)),
        ("two-offload", 2, division(3, offload=True)),
    ):
        chosen = setup.settings(name, **changes, deepspeed=zero)
        command = setup.arguments(name, chosen, schedule, replay=replay)
        codes = run_ranks(server, setup.folder, name, [command] * ranks)
        assert codes == [0] * ranks, setup.log(f"{name}-0").read_text()[-2000:]
        curves.append(read_jsonl(setup.folder / name / "metrics.jsonl"))
    expected, *others = curves
    assert all(row["zero_variance_share"] < 1 for row in expected)
    assert expected[-1]["kl"] > 1e-4
    for curve in others:
        for row, other in zip(curve, expected, strict=True):
            for metric in ("loss", "kl", "entropy", "gradient_norm", "reward_mean", "updates"):
                assert row[metric] == pytest.approx(other[metric], abs=1e-5), (row["step"], metric)


def with_rewards(setup: Setup, rollouts: Path) -> Path:
    """The rollouts of a model that knows nothing, with every third text one that is right: advantages are not zero."""
    table = contracts.read(rollouts, contracts.TRAINING_ROLLOUTS)
    problems = {problem.id: problem for problem in setup.problems}
    rows = table.to_pylist()
    for row in rows[::3]:
        row["text"] = digits.worked_response(problems[row["problem_id"]])
    path = setup.folder / "replay.parquet"
    contracts.write(path, rows, contracts.TRAINING_ROLLOUTS)
    return path


@pytest.mark.slow
def test_ranks_that_sample_for_themselves_chain_and_refuse_another_number(server: ForkingServer, setup: Setup) -> None:
    """Two ranks draw their shares of the rollouts. A single rank takes their state only if it is asked to."""
    settings = setup.settings("own", group_size=2, mini_batch_size=4)
    halves = [setup.schedule(steps, size=4, name=f"own{steps.start}") for steps in (range(1), range(1, 2))]
    first = setup.arguments("own-first", settings, halves[0])
    assert run_ranks(server, setup.folder, "own-first", [first] * 2) == [0, 0]
    before = setup.folder / "own-first"
    second = setup.arguments("own-second", settings, halves[1], model=before / "out", state=before / "state-out")
    assert run_ranks(server, setup.folder, "own-second", [second] * 2) == [0, 0]
    rows = read_jsonl(setup.folder / "own-second" / "metrics.jsonl")
    assert rows[0]["logprob_difference_mean"] < 1e-5
    assert rows[0]["logprobs_differing"] == 0  # engine and trainer agree on every token

    alone = setup.arguments("own-alone", settings, halves[1], model=before / "out", state=before / "state-out")
    assert server.wait(server.start(alone, setup.log("own-alone"))) == 2
    assert "saved by 2 ranks; expected as many as this job has, 1" in setup.log("own-alone").read_text()
    replay = setup.folder / "own-second" / "rollouts.parquet"
    assert server.wait(server.start([*alone, "--any-world-size", "--replay", str(replay)], setup.log("own-alone"))) == 0
    (found,) = read_jsonl(setup.folder / "own-alone" / "metrics.jsonl")
    for metric in ("loss", "kl", "gradient_norm"):
        assert found[metric] == pytest.approx(rows[0][metric], abs=1e-5, rel=1e-4)


@pytest.mark.slow
def test_ranks_that_disagree_stop_at_once(server: ForkingServer, setup: Setup, tmp_path: Path) -> None:
    settings = setup.settings("disagree", group_size=2)
    schedules = [setup.schedule(range(STEPS), size=size, name=f"disagree{size}") for size in (4, 5)]
    commands = [setup.arguments("disagree", settings, schedule) for schedule in schedules]
    assert run_ranks(server, setup.folder, "disagree", commands) == [2, 2]
    said = [setup.log(f"disagree-{rank}").read_text().count("error: schedule: expected the same") for rank in (0, 1)]
    assert said == [1, 0]


@pytest.mark.slow
def test_what_comes_late_changes_no_bit_and_neither_does_the_request_for_determinism(
    server: ForkingServer, setup: Setup
) -> None:
    """Ranks, the engine and the verifier begin at random times, twice; torch is asked to refuse other kernels."""
    schedule = setup.schedule(range(2), size=4)
    folders = []
    for name, deterministic, late in (
        ("prompt", True, None),
        ("late", True, "1"),
        ("later", True, "2"),
        ("any", False, None),
    ):
        chosen = setup.settings(name, group_size=2, mini_batch_size=2, deterministic=deterministic)
        command = setup.arguments(name, chosen, schedule)
        environment = {} if late is None else {"LATE": late}
        codes = run_ranks(server, setup.folder, name, [command] * 2, **environment)
        assert codes == [0, 0], setup.log(f"{name}-0").read_text()[-2000:]
        folders.append(setup.hashes(name))
    prompt, late_once, late_twice, any_kernel = folders
    assert prompt == late_once == late_twice
    computed = [name for name in prompt if not name.startswith("state-out")]  # a state says the settings it is of
    assert "out/model.safetensors" in computed
    assert {name: any_kernel[name] for name in computed} == {name: prompt[name] for name in computed}


@pytest.mark.slow
def test_copies_of_the_weights_on_two_nodes_change_no_bit(server: ForkingServer, setup: Setup) -> None:
    """Four ranks, as if they were on one node, and on two, where each node has all weights for the backward pass."""
    settings = setup.settings("nodes", group_size=2, mini_batch_size=2, learning_rate=1e-2, deepspeed=division(3))
    schedule = setup.schedule(range(2), size=4)
    found = []
    for name, on_node in (("one-node", "4"), ("two-nodes", "2")):
        command = setup.arguments(name, settings, schedule)
        codes = run_ranks(server, setup.folder, name, [command] * 4, LOCAL_WORLD_SIZE=on_node)
        assert codes == [0] * 4, setup.log(f"{name}-0").read_text()[-2000:]
        found.append({path: value for path, value in setup.hashes(name).items() if not path.startswith("state-out")})
    assert "out/model.safetensors" in found[0]
    assert found[0] == found[1]
