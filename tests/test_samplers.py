"""Samplers that observe: what they believe, whom they find, and that a schedule is drawn again from its history."""

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmr1.data import contracts
from mmr1.plugins import names
from mmr1.plumbing.errors import UserError
from mmr1.vas.history import iter_steps
from mmr1.vas.samplers import Choice, ProblemSampler, make_sampler
from mmr1.vas.schedule import draw_schedule
from mmr1.vas.settings import DrawSettings
from synthetic_rollouts import rewards_of, write_rewards, write_set

IDS = [f"p{i}" for i in range(40)]


def settings(sampler: str | dict[str, Any] = "mopps", **more: Any) -> DrawSettings:
    return DrawSettings.model_validate({"batch_size": 8, "sampler": sampler, **more})


def rewards(step: int, *groups: tuple[str, str]) -> pa.Table:
    """A step's training rewards, from (problem, verdicts) of each slot."""
    rows = [row for slot, group in enumerate(groups) for row in rewards_of(*group, step=step, slot=slot)]
    return pa.Table.from_pylist(rows, schema=contracts.TRAINING_REWARDS)


def simulated(choice: Choice, step: int, rates: np.ndarray, n: int = 8, ids: list[str] = IDS) -> pa.Table:
    """What the groups of a choice show where problem i is right with probability `rates[i]`."""
    draw = np.random.default_rng([7, step])
    return rewards(
        step,
        *(
            (ids[problem], "".join("01"[int(right)] for right in draw.random(n) < rates[problem]))
            for problem in choice.problems.tolist()
        ),
    )


def run(sampler: ProblemSampler, rates: np.ndarray, steps: int) -> dict[int, Choice]:
    """The choices of steps whose groups are simulated."""
    choices = {}
    for step in range(steps):
        choices[step] = sampler.choose(step)
        sampler.observe(step, simulated(choices[step], step, rates))
    return choices


def test_beliefs_decay_towards_the_prior_and_count_what_was_observed() -> None:
    """By hand, d = 1/2 and the prior Beta(1, 3): a group of 3 right of 4, then one of 0 of 4."""
    sampler = make_sampler(settings({"name": "mopps", "decay": 0.5, "prior_right": 1, "prior_wrong": 3}), IDS, 0)
    sampler.observe(0, rewards(0, ("p5", "1101")))
    assert (sampler.right[5], sampler.wrong[5]) == (0.5 * 1 + 0.5 * 1 + 3, 0.5 * 3 + 0.5 * 3 + 1) == (4, 4)
    sampler.observe(1, rewards(1, ("p5", "0000"), ("p6", "1111")))
    assert (sampler.right[5], sampler.wrong[5]) == (0.5 * 4 + 0.5 * 1, 0.5 * 4 + 0.5 * 3 + 4) == (2.5, 7.5)
    assert (sampler.right[6], sampler.wrong[6]) == (5, 3)
    assert (sampler.right[7], sampler.wrong[7]) == (1, 3), "what is not observed stays as it was"


def test_a_choice_predicts_the_mean_of_the_variance_under_the_belief() -> None:
    sampler = make_sampler(settings(), IDS, 0)
    assert sampler.choose(0).ovs.tolist() == pytest.approx([1 / 6] * 8), "of a uniform prior"
    sampler.observe(0, rewards(0, *((name, "1110") for name in IDS)))
    draws = np.random.default_rng(0).beta(4, 2, size=400_000)
    assert sampler.choose(1).ovs[0] == pytest.approx(np.mean(draws * (1 - draws)), abs=1e-3)


def test_problems_of_pass_rate_one_half_are_found_more_often_than_by_uniform_draws() -> None:
    """A tenth of the problems vary; the others are always right or always wrong."""
    rates = np.array([0.5] * 4 + [0.0] * 18 + [1.0] * 18)
    share = {}
    for name in ("mopps", "uniform"):
        choices = run(make_sampler(settings(name), IDS, 1), rates, steps=40)
        late = np.concatenate([choices[step].problems for step in range(20, 40)])
        share[name] = np.mean(late < 4)
    assert share["uniform"] == pytest.approx(0.1, abs=0.05)
    assert share["mopps"] > 0.35, "at most 4 of 8 slots: no problem is chosen twice in a step"


def test_a_step_has_different_problems_and_its_queue_is_at_most_the_set() -> None:
    sampler = make_sampler(settings(queue_factor=3), IDS, 0)
    chosen = sampler.choose(0).problems.tolist()
    assert len(chosen) == len(set(chosen)) == 24
    assert set(make_sampler(settings(), IDS, 0).choose(0).problems.tolist()) == set(chosen[:8])
    assert sorted(make_sampler(settings(queue_factor=9), IDS, 0).choose(0).problems.tolist()) == list(range(40))


@pytest.mark.parametrize(
    ("name", "digest"), [("mopps", "c51c9660e6d78d5b"), ("greso", "371174f4068784e7"), ("pool", "14d0981cfa2d5059")]
)
def test_the_draws_are_these_on_every_machine(name: str, digest: str) -> None:
    """A change here means that schedules used before can no longer be drawn again."""
    choices = run(make_sampler(settings(name), IDS, 3), np.linspace(0, 1, 40), steps=12 if name == "greso" else 5)
    rows = [[step, *choice.problems.tolist()] for step, choice in choices.items()]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] == digest


def greso(queue_factor: int = 1, **own: Any) -> ProblemSampler:
    return make_sampler(settings({"name": "greso", **own}, queue_factor=queue_factor), IDS, 4)


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        ([], 1.0),
        (["1111"], 0.5),
        (["1111", "1111", "1111"], 0.5**3),
        (["1111", "1101"], 1.0),
        (["1100", "0000", "0000"], 0.5**2),
        (["0000", "1111"], 0.5),
        (["1111"] * 9, 0.01),
    ],
)
def test_greso_skips_a_problem_as_its_authors_code_does(trace: list[str], kept: float) -> None:
    """Infini-AI-Lab/GRESO at caf63f4, DataProfiler: 1 - max(p^count, 0.01), the count of one kind up to now."""
    sampler = greso()
    for step, verdicts in enumerate(trace):
        sampler.observe(step, rewards(step, ("p5", verdicts)))
    assert sampler.kept()[5] == pytest.approx(kept)
    assert sampler.kept()[6] == 1


def test_greso_moves_its_probabilities_from_the_second_pass_on() -> None:
    """The aim is that a twelfth of the groups are all right and a sixth all wrong; here one of 8 is, of each kind."""
    sampler, groups = greso(), ["1111", "0000", *["1100"] * 6]

    def step(number: int) -> None:
        chosen = sampler.choose(number).problems.tolist()
        pairs = zip((IDS[problem] for problem in chosen), groups, strict=True)
        sampler.observe(number, rewards(number, *pairs))

    for number in range(5):
        step(number)
    assert (sampler.walked, sampler.p_easy, sampler.p_hard) == (40, 0.5, 0.5), "a pass of 40"
    step(5)
    assert (sampler.p_easy, sampler.p_hard) == (0.49, 0.51)
    for number in range(6, 80):
        step(number)
    assert (sampler.p_easy, sampler.p_hard) == (0.05, 0.95), "their limits"


def test_greso_goes_through_the_set_and_on_behind_what_was_sampled() -> None:
    """Nothing is skipped without history, and what a gate did not sample of the queue is left for the next step."""
    sampler, seen = greso(queue_factor=2), []
    for step in range(8):
        chosen = sampler.choose(step).problems[:5].tolist()
        sampler.observe(step, rewards(step, *((IDS[problem], "10") for problem in chosen)))
        seen += chosen
    assert sorted(seen) == list(range(40))


def test_greso_samples_fewer_groups_without_variance_than_uniform_draws() -> None:
    rates = np.array([0.5] * 4 + [0.0] * 18 + [1.0] * 18)
    choices = run(greso(), rates, steps=60)
    late = np.concatenate([choices[step].problems for step in range(30, 60)])
    assert np.mean(late < 4) > 0.25, "0.1 under uniform draws"
    assert len(set(late.tolist())) > 20, "others are tried again"


def test_pools_weigh_by_the_last_group() -> None:
    """prime-rl's DifficultyPoolSampler: limits belong to the lower pool, what was never seen weighs as the middle."""
    sampler = make_sampler(settings("pool"), IDS, 0)
    verdicts = ["0001", "0011", "0111", "1111", "0000"]
    sampler.observe(0, rewards(0, *((IDS[i], one) for i, one in enumerate(verdicts))))
    assert sampler.weight[:6].tolist() == [0.2, 1.0, 1.0, 0.2, 0.2, 1.0]
    sampler.observe(1, rewards(1, ("p4", "0000"), ("p4", "1010")))
    assert sampler.weight[4] == 1.0, "the last of its groups"


def test_pools_are_drawn_in_proportion_to_their_weights() -> None:
    rates = np.array([0.5] * 20 + [0.0] * 20)
    sampler = make_sampler(settings("pool"), IDS, 0)
    sampler.observe(0, rewards(0, *((IDS[i], "10" if rate else "00") for i, rate in enumerate(rates))))
    choices = [sampler.choose(step) for step in range(400)]
    chosen = np.concatenate([choice.problems for choice in choices])
    assert np.mean(chosen < 20) == pytest.approx(20 / (20 + 0.2 * 20), abs=0.02)
    assert choices[0].weight == pytest.approx(np.where(choices[0].problems < 20, 1, 0.2) / 24)
    nothing = make_sampler(settings({"name": "pool", "hard": 0, "easy": 0}), IDS, 0)
    nothing.observe(0, rewards(0, *((name, "11") for name in IDS)))
    assert len(set(np.concatenate([nothing.choose(step).problems for step in range(40)]))) > 30, "none has weight"


@pytest.mark.parametrize("name", names("vas/samplers"))
def test_the_same_history_makes_the_same_schedule(name: str) -> None:
    """Also in two rounds, and where a choice was asked for twice, as after a kill in the middle of a step."""
    rates = np.linspace(0, 1, 40)
    scores = pa.table({"ovs": rates * (1 - rates), "vps": rates})
    whole, again = (make_sampler(settings(name), IDS, 2, scores) for _ in range(2))
    choices = run(whole, rates, steps=6)
    observed = {step: simulated(choice, step, rates) for step, choice in choices.items()}
    for step in range(4):
        again.observe(step, observed[step])
    again.choose(4)
    second = draw_schedule(again, IDS, range(4, 6), observed)
    first = draw_schedule(make_sampler(settings(name), IDS, 2, scores), IDS, range(4), observed)
    both = draw_schedule(make_sampler(settings(name), IDS, 2, scores), IDS, range(6), observed)
    assert pa.concat_tables([first, second]).equals(both)
    assert both["problem_id"].to_pylist() == [IDS[i] for choice in choices.values() for i in choice.problems]


def test_the_program_draws_a_used_schedule_again_from_its_rewards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ids = write_set(tmp_path / "p.parquet", 40)
    sampler, used = make_sampler(settings(), ids, 5), {}
    for step in range(4):
        used[step] = draw_schedule(sampler, ids, range(step, step + 1))
        chosen = enumerate(used[step]["problem_id"].to_pylist())
        groups = (rewards_of(name, "1010" if slot % 2 else "1111", step=step, slot=slot) for slot, name in chosen)
        write_rewards(tmp_path / f"{step}.parquet", *groups)
        sampler.observe(*next(iter_steps([tmp_path / f"{step}.parquet"])))
    second = pa.concat_tables([used[2], used[3]]).combine_chunks()
    contracts.write(tmp_path / "used.parquet", second, contracts.SCHEDULE)

    def draw(*files: str) -> None:
        words = "--problems p.parquet --out again.parquet --first-step 2 --steps 2 --seed 5 --batch-size 8"
        monkeypatch.setattr(sys, "argv", ["draw_schedule", *words.split(), "--sampler", "mopps", "--rewards", *files])
        importlib.import_module("draw_schedule").main()

    draw("0.parquet", "1.parquet", "2.parquet", "3.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "used.parquet").read_bytes()
    with pytest.raises(UserError, match="--rewards: expected those of steps 0 to 3, found none of step 1"):
        draw("0.parquet", "2.parquet", "3.parquet")
