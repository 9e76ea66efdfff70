"""A killed trainer run again, and rounds in a chain, land on the same bits. Real processes, real SIGKILL."""

import math
import signal
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from forking import ForkingServer
from grpo_fixtures import PlainPolicy
from grpo_fixtures import settings as settings_of
from mmr1.data import contracts
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.batching import Sample, collate, plan
from mmr1.grpo.loader import place
from mmr1.grpo.losses import Tokens
from mmr1.grpo.memory import saved_bytes
from mmr1.models.checkpoints import count_weights
from mmr1.plumbing.disk import bytes_under
from mmr1.plumbing.files import read_json, read_jsonl
from trainer_harness import Setup, division, run_ranks, small_setup
from work_holder import held_elsewhere

STEPS = 3
KILLED_STEPS = 6  # no phase is over before its kill: the ten of them together leave less than six steps behind

# A state after every step.
EVERY_STEP = {"save_every": 1, "verify_workers": 1}

# Each phase, and where in the code a kill lands in it.
PHASES = {
    "generation": "mmr1.rollout.transformers_engine:TransformersEngine.generate",
    "reward": "mmr1.grpo.sampling:judge",
    "backward": "mmr1.grpo.policy:Policy.backward",
    "optimizer step": "mmr1.grpo.policy:Policy.step",
    "writing a step's results": "mmr1.grpo.state:Work.write_step",
    "saving a state": "mmr1.grpo.policy:Policy.save_state",
    "hashing a state": "mmr1.grpo.state:Work._step_hashes",
    "writing the checkpoint": "mmr1.grpo.policy:Policy.save",
    "writing the outputs": "mmr1.grpo.round:write_outputs",
    "handing the state on": "mmr1.grpo.round:copy_state",
}
ONCE = ("writing the checkpoint", "writing the outputs", "handing the state on")

# Kills of one of two ranks, or of both, in the second step after a start (of two updates and a saved state): for each
# phase the place, the call of it and the seconds into it, by rank.
RANK_KILLS = {
    "generation": {1: (PHASES["generation"], 2, 0.005)},
    "backward": {0: (PHASES["backward"], 3, 0.002)},
    "optimizer step": {1: (PHASES["optimizer step"], 4, 0.0)},
    "saving a state, one rank there": {0: (PHASES["saving a state"], 2, 0.0)},
    "saving a state, the other rank there": {1: (PHASES["saving a state"], 2, 0.0)},
    "writing a state's manifest": {0: ("mmr1.plumbing.states:write_json", 2, 0.0)},
}
WRITING = "deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine:TorchCheckpointEngine.save"


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, digit_problems: list[Problem]) -> Setup:
    return small_setup(tmp_path_factory.mktemp("resume"), digit_problems)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_killed_anywhere_and_run_again_gives_the_same_bits(server: ForkingServer, setup: Setup, stage: int) -> None:
    settings = setup.settings(
        f"zero{stage}",
        group_size=2,
        mini_batch_size=2,
        machine=EVERY_STEP,
        deepspeed=division(stage),
    )
    schedule = setup.schedule(range(KILLED_STEPS), size=4, name="killed")
    straight, killed = f"straight{stage}", f"killed{stage}"
    assert server.wait(server.start(setup.arguments(straight, settings, schedule), setup.log(straight))) == 0

    generator = np.random.default_rng(stage)
    command = setup.arguments(killed, settings, schedule)
    for phase, where in PHASES.items():
        call = 1 if phase in ONCE else int(generator.integers(1, 3))
        kill = (where, call, float(generator.uniform(0.001, 0.05)))
        code = server.wait(server.start(command, setup.log(killed), kill))
        assert code == -signal.SIGKILL, (phase, setup.log(killed).read_text()[-2000:])
    assert server.wait(server.start(command, setup.log(killed))) == 0
    assert setup.hashes(killed) == setup.hashes(straight)
    assert not (setup.folder / killed / "work").exists()
    expected = saved_bytes(count_weights(setup.model), settings_of(**read_json(settings)), division(stage))
    for name, needed in zip(("out", "state-out"), expected, strict=True):  # what is asked of the disk before
        assert needed <= bytes_under(setup.folder / killed / name) < 1.5 * needed + (1 << 20)


@pytest.mark.slow
@pytest.mark.timeout(300)  # a rank that did not hear of the other's end would wait for hours
@pytest.mark.parametrize("stage", [2, 3])
def test_a_killed_rank_ends_the_other_and_both_run_again_give_the_same_bits(
    server: ForkingServer, setup: Setup, stage: int
) -> None:
    settings = setup.settings(
        f"two{stage}",
        group_size=2,
        mini_batch_size=2,
        machine=EVERY_STEP,
        deepspeed=division(stage),
    )
    schedule = setup.schedule(range(len(RANK_KILLS) + 2), size=4, name="two")
    straight, killed = f"two-straight{stage}", f"two-killed{stage}"
    assert run_ranks(server, setup.folder, straight, [setup.arguments(straight, settings, schedule)] * 2) == [0, 0]

    # Last, both are killed when one has written its part of a state (stage 2 has one file of the second rank's, 3 two).
    half = {0: (WRITING, 4, 60.0), 1: (WRITING, 2 * (stage - 1), 0.0)}
    commands = [setup.arguments(killed, settings, schedule)] * 2
    states = setup.folder / killed / "work" / "states"
    for done, (phase, kills) in enumerate([*RANK_KILLS.items(), ("half a state written", half)], 1):
        codes = run_ranks(server, setup.folder, killed, commands, kills)
        assert codes == [-signal.SIGKILL if rank in kills else 1 for rank in (0, 1)], phase
        assert max(states.glob("[0-9]*")).name == f"{done:06d}", phase
    said = [setup.log(f"{killed}-{rank}").read_text() for rank in (0, 1)]
    survived = sum(0 not in kills for kills in RANK_KILLS.values())
    assert [text.count("another rank has ended") for text in said] == [survived, 0]  # the first rank speaks
    assert "Traceback" not in "".join(said)
    (left,) = states.glob(f".{done + 1:06d}.*")
    assert [path.name for path in left.rglob("*optim_states.pt")] == ["zero_pp_rank_0_mp_rank_00_optim_states.pt"]
    assert run_ranks(server, setup.folder, killed, commands) == [0, 0]
    assert setup.hashes(killed) == setup.hashes(straight)


def outputs(setup: Setup, name: str) -> tuple[list[dict], list[dict]]:
    """A run's rollouts and metrics."""
    folder = setup.folder / name
    return contracts.read(folder / "rollouts.parquet", contracts.TRAINING_ROLLOUTS).to_pylist(), read_jsonl(
        folder / "metrics.jsonl"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "zero", "changes"),
    [
        ("zero2", division(2), {}),
        ("zero3", division(3), {"gradient_checkpointing": True, "epochs": 2}),
        ("offload", division(3, offload=True), {}),
    ],
    ids=["zero2", "zero3", "offload"],
)
def test_two_rounds_equal_one_of_twice_the_steps(
    server: ForkingServer, setup: Setup, kind: str, zero: dict, changes: dict
) -> None:
    """Under bf16 the checkpoint alone would not do: the next round needs the float32 master weights."""
    common = {"group_size": 2, "mini_batch_size": 2, "precision": "bf16"}
    settings = setup.settings(f"chain-{kind}", **common, deepspeed=zero, **changes)
    whole = setup.schedule(range(4), size=4, name="whole")
    halves = [setup.schedule(steps, size=4, name=f"half{steps.start}") for steps in (range(2), range(2, 4))]
    once, first, second = (f"{name}-{kind}" for name in ("once", "first", "second"))
    assert server.wait(server.start(setup.arguments(once, settings, whole), setup.log(once))) == 0
    assert server.wait(server.start(setup.arguments(first, settings, halves[0]), setup.log(first))) == 0
    before = setup.folder / first
    command = setup.arguments(second, settings, halves[1], model=before / "out", state=before / "state-out")
    assert server.wait(server.start(command, setup.log(second))) == 0

    at_once, in_two = setup.hashes(once), setup.hashes(second)
    same = [name for name in at_once if name.startswith(("out/", "state-out/"))]
    assert any(name.endswith("optim_states.pt") for name in same)
    assert {name: in_two[name] for name in same} == {name: at_once[name] for name in same}
    rollouts, metrics = outputs(setup, once)
    parts = [outputs(setup, name) for name in (first, second)]
    assert rollouts == parts[0][0] + parts[1][0]
    assert metrics == parts[0][1] + parts[1][1]

    refused = setup.arguments("refused", settings, halves[1], state=before / "state-out")
    assert server.wait(server.start(refused, setup.log("refused"))) == 2
    assert "another checkpoint" in setup.log("refused").read_text()


@pytest.mark.slow
def test_a_damaged_state_is_passed_over(server: ForkingServer, setup: Setup) -> None:
    """First the newest state has a flipped bit, then it is cut short: the one before it is used, and it is said."""
    settings = setup.settings("damage", group_size=2, machine=EVERY_STEP)
    schedule = setup.schedule(range(STEPS), size=4)
    straight, damaged = "whole-again", "damaged"
    assert server.wait(server.start(setup.arguments(straight, settings, schedule), setup.log(straight))) == 0
    command = setup.arguments(damaged, settings, schedule)
    place = "mmr1.grpo.state:Work.write_step"
    assert server.wait(server.start(command, setup.log(damaged), (place, 3, 0.0))) == -signal.SIGKILL
    states = sorted((setup.folder / damaged / "work" / "states").iterdir())
    assert [state.name for state in states] == ["000001", "000002"]

    flip_a_bit(next(states[1].rglob("*model_states.pt")))
    assert server.wait(server.start(command, setup.log(damaged), (place, 2, 0.0))) == -signal.SIGKILL
    log = setup.log(damaged).read_text()
    assert "warning" in log
    assert "expected sha256" in log
    assert f"going on from {states[0]}" in log

    newest = max((setup.folder / damaged / "work" / "states").iterdir())
    optimizer = next(newest.rglob("*optim_states.pt"))
    optimizer.write_bytes(optimizer.read_bytes()[:-100])
    assert server.wait(server.start(command, setup.log(damaged))) == 0
    assert setup.hashes(damaged) == setup.hashes(straight)


@pytest.mark.slow
def test_a_second_program_on_a_work_folder_says_once_who_is_in_it_and_ends_on_every_rank(
    server: ForkingServer, setup: Setup
) -> None:
    settings = setup.settings("second", group_size=2)
    command = setup.arguments("second", settings, setup.schedule(range(1), size=4, name="second"))
    with held_elsewhere(setup.folder / "second" / "work") as other:
        assert run_ranks(server, setup.folder, "second", [command] * 2) == [2, 2]
        last = setup.log("second-0").read_text().splitlines()[-1]
        assert f"work: expected no other program there, found process {other.pid} on " in last
        assert "error" not in setup.log("second-1").read_text()
    assert not (setup.folder / "second" / "work").exists()
    assert run_ranks(server, setup.folder, "second", [command] * 2) == [0, 0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_room_for_a_second_rank_s_part_of_a_state_is_what_the_job_says(server: ForkingServer, setup: Setup) -> None:
    marker = setup.folder / "full.attempt.json"
    settings = setup.settings("full", group_size=2, machine=EVERY_STEP)
    schedule = setup.schedule(range(1), size=4, name="full")
    commands = [setup.arguments("full", settings, schedule, attempt=marker)] * 2
    assert run_ranks(server, setup.folder, "full", commands, FULL="1") == [2, 2]
    said = read_json(marker)
    assert said["state"] == "failed"
    assert "work/states/000001: no room on the disk (" in said["error"]
    for rank in (0, 1):
        assert "work/states/000001: no room on the disk (" in setup.log(f"full-{rank}").read_text().splitlines()[-1]
    assert run_ranks(server, setup.folder, "full", commands) == [0, 0]


@pytest.mark.slow
def test_what_is_no_state_in_the_work_folder_is_passed_over(server: ForkingServer, setup: Setup) -> None:
    """Left by NFS, by an editor, by a copy, by a full disk; among the states as among the steps' results."""
    settings = setup.settings("strays", group_size=2, machine=EVERY_STEP)
    schedule = setup.schedule(range(STEPS), size=4)
    straight, strays = "no-strays", "strays"
    assert server.wait(server.start(setup.arguments(straight, settings, schedule), setup.log(straight))) == 0
    command = setup.arguments(strays, settings, schedule)
    kill = ("mmr1.grpo.state:Work.write_step", 3, 0.0)
    assert server.wait(server.start(command, setup.log(strays), kill)) == -signal.SIGKILL
    work = setup.folder / strays / "work"
    for folder in (work / "states", work / "steps"):
        (folder / ".nfs00000000a1b2").write_bytes(b"")
        (folder / "000001~").mkdir()
        (folder / "notes.txt").write_text("mine")
        (folder / "000007").write_text("a file")
    cut = work / "states" / "000003"
    cut.mkdir()
    (cut / "manifest.json").write_text('{"identity": {"seed": ')
    (work / "states" / "000002" / "notes.txt").write_text("mine")
    assert server.wait(server.start(command, setup.log(strays))) == 0
    log = setup.log(strays).read_text()
    assert f"going on from {work / 'states' / '000002'}" in log
    for name in (".nfs00000000a1b2", "000001~", "notes.txt"):
        assert log.count(f"{name}: a name that no state has; ignored") == 2
    assert f"{cut}: {cut}/manifest.json: expected JSON" in log
    assert setup.hashes(strays) == setup.hashes(straight)
    assert not work.exists()


@pytest.mark.slow
def test_sigterm_and_a_deadline_save_and_leave(server: ForkingServer, setup: Setup) -> None:
    settings = setup.settings("leave", group_size=2, machine=EVERY_STEP | {"save_every": 100})
    schedule = setup.schedule(range(STEPS), size=4)
    straight = "not-left"
    assert server.wait(server.start(setup.arguments(straight, settings, schedule), setup.log(straight))) == 0

    told = setup.arguments("told", settings, schedule)
    terminate = ("mmr1.rollout.transformers_engine:TransformersEngine.generate", 2, 0.0, signal.SIGTERM)
    assert server.wait(server.start(told, setup.log("told"), terminate)) == 75
    assert "SIGTERM: saved with 1 steps done" in setup.log("told").read_text()
    assert server.wait(server.start(told, setup.log("told"))) == 0
    assert setup.hashes("told") == setup.hashes(straight)

    late = setup.arguments("late", settings, schedule, deadline_minutes=1e-6)
    assert server.wait(server.start(late, setup.log("late"))) == 75
    assert "the time limit is near: saved with 1 steps done" in setup.log("late").read_text()


@pytest.mark.slow
def test_a_state_of_other_settings_is_not_used(server: ForkingServer, setup: Setup) -> None:
    schedule = setup.schedule(range(2), size=4, name="short")
    kill = ("mmr1.grpo.round:write_outputs", 1, 0.0)
    before = setup.arguments("changed", setup.settings("before", group_size=2, machine=EVERY_STEP), schedule)
    assert server.wait(server.start(before, setup.log("changed"), kill)) == -signal.SIGKILL
    after = setup.arguments(
        "changed",
        setup.settings("after", group_size=2, machine=EVERY_STEP, learning_rate=1e-5),
        schedule,
    )
    assert server.wait(server.start(after, setup.log("changed"))) == 0
    assert "saved by a job that differed in settings.learning_rate; removed" in setup.log("changed").read_text()
    assert read_jsonl(setup.folder / "changed" / "metrics.jsonl")[-1]["learning_rate"] == 1e-5


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_with_the_batch(server: ForkingServer, setup: Setup) -> None:
    settings = setup.settings("burst", group_size=2, mini_batch_size=4, learning_rate=1e37)
    schedule = setup.schedule(range(3), size=4, name="burst")
    assert server.wait(server.start(setup.arguments("burst", settings, schedule), setup.log("burst"))) == 2
    log = setup.log("burst").read_text()
    assert "error: step 1: gradient norm is inf; problems test-00004, test-00005, " in log
    saved = setup.folder / "burst" / "work" / "non_finite"
    weights = load_file(saved / "checkpoint" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())  # the bad gradient did not reach them
    assert not math.isfinite(reproduced_gradient_norm(saved, setup))
    assert not (setup.folder / "burst" / "out").exists()


def reproduced_gradient_norm(saved: Path, setup: Setup) -> float:
    """The gradient of a saved batch under the saved weights."""
    batch = torch.load(saved / "batch.pt")
    chosen = settings_of(group_size=2)
    policy = PlainPolicy(saved / "checkpoint", chosen)
    encoder = PromptEncoder(policy.processor)
    problems = {problem.id: problem for problem in setup.problems}
    prompts = {
        index: place(policy.hf, encoder.encode(problems[name])) for index, name in enumerate(batch["problem_ids"])
    }
    samples = [Sample(index, len(prompts[index]), response) for index, response in enumerate(batch["responses"])]
    rows = [row for part in plan(samples, 10_000, share_prompts=False) for row in part]
    micro = collate(rows, samples, prompts, policy.processor.tokenizer.pad_token_id)

    def tokens(name: str) -> torch.Tensor:
        return torch.cat([batch[name][member] for member in micro.members])

    def spread(name: str) -> torch.Tensor:
        values = torch.tensor([batch[name][member] for member in micro.members])
        return values.repeat_interleave(torch.tensor(micro.lengths))

    logprobs, _ = policy.logprobs(micro)
    bounds = torch.tensor([0, *accumulate(micro.lengths)])
    given = Tokens(logprobs, tokens("old"), tokens("reference"), spread("advantages"), spread("weights"), bounds)
    loss, _ = chosen.loss.module.loss(given, chosen.loss.settings)
    policy.backward(loss, last=True)
    return policy.step()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
