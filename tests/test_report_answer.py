"""What the report answers first: did VAS help, at what cost, on how many seeds, and do the scores pay?"""

from pathlib import Path

import pytest

from mmr1.provenance.ledger import Record, read_records
from mmr1.recipe import Recipe, read_recipe
from mmr1.report import cost
from mmr1.report.accuracy import verdicts
from mmr1.report.answer import Answer, answers, compared, verdict
from mmr1.report.bootstrap import Difference, difference, paired
from mmr1.report.index import Index, Training
from mmr1.report.page import build, points
from mmr1.report.payoff import Payoff, payoff
from mmr1.report.spending import rollouts
from mmr1.report.steps import share_of_groups
from synthetic_results import POOL, SyntheticResults
from test_report import Page

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticResults:
    """Two runs of two seeds and two rounds each. Read only."""
    return SyntheticResults(tmp_path_factory.mktemp("answer") / "results/digits", seeds=(0, 1))


@pytest.fixture(scope="module")
def records(made: SyntheticResults) -> list[Record]:
    return read_records(made.root)


def answers_of(index: Index, records: list[Record]) -> dict[str, Answer]:
    found = answers(index, "tiny", cost.pass_rollouts(records), cost.group_sizes(records))
    return {one.run: one for one in found}


def text_of(index: Index, records: list[Record]) -> str:
    return " ".join(Page(build(index, records)[0]).text.split())


def one_seed(index: Index) -> Index:
    """The same with the first seed alone."""
    return index.model_copy(
        update={
            "evaluations": tuple(one for one in index.evaluations if not one.seed),
            "trainings": tuple(one for one in index.trainings if one.seed == 0),
        }
    )


def trainings(index: Index, run: str) -> list[Training]:
    return [one for one in index.trainings if one.run == run]


def test_the_first_line_is_the_paired_difference_with_its_interval(
    made: SyntheticResults, records: list[Record]
) -> None:
    by_seed = {
        run: {
            seed: verdicts(made.root / f"tiny/eval/{run}-seed{seed}/digits/items.parquet", "reader") for seed in (0, 1)
        }
        for run in ("vas", "grpo")
    }
    table = paired(by_seed["vas"], by_seed["grpo"])
    assert table is not None
    found = difference({"digits": table})
    line = (
        f"VAS, λ = 0.5 against GRPO (uniform): {points(found.mean)} points of accuracy "
        f"[{points(found.low)}, {points(found.high)}], on 2 seeds, for 2.04 times the rollouts."
    )
    text = text_of(made.index, records)
    assert line in text
    assert text.index(line) < text.index("Percent of responses to held-out problems")
    assert "too few to know how much seeds differ" in text


def test_a_single_seed_says_nothing_about_seeds(made: SyntheticResults, records: list[Record]) -> None:
    text = text_of(one_seed(made.index), records)
    assert "on one seed" in text
    assert "one seed: says nothing about seeds" in text


def test_rollouts_are_those_of_training_and_of_passes(made: SyntheticResults, records: list[Record]) -> None:
    """Two rounds of six steps of eight groups of eight, and two responses to each problem before every round."""
    found = answers_of(made.index, records)
    assert (found["grpo"].training_rollouts, found["grpo"].pass_rollouts) == (768, 0)
    assert (found["vas"].training_rollouts, found["vas"].pass_rollouts) == (768, 4 * POOL)
    assert found["vas"].times == pytest.approx((768 + 800) / 768)
    passes, sizes = cost.pass_rollouts(records), cost.group_sizes(records)
    spent = rollouts(trainings(made.index, "vas")[0], passes, sizes)
    assert spent is not None
    assert [spent.by_step[step] for step in (0, 1, 6, 12)] == [0, 464, 400 + 384, 768 + 800]
    assert rollouts(trainings(made.index, "vas")[0], passes, {}) is None


def test_zero_variance_groups_stand_beside_their_interval(made: SyntheticResults, records: list[Record]) -> None:
    found = answers_of(made.index, records)
    vas, grpo = found["vas"].zero_variance, found["grpo"].zero_variance
    assert vas is not None
    assert grpo is not None
    assert vas.low < vas.mean < vas.high < grpo.low < grpo.mean
    assert vas.mean == pytest.approx(0.35, abs=0.02)
    assert share_of_groups(32, 32).low == pytest.approx(0.89, abs=0.01)  # all of a few groups are not all of any


@pytest.mark.parametrize(
    ("low", "high", "seeds", "times", "words"),
    [
        (-0.045, 0.01, 1, 4.2, ["the interval includes 0", "one seed: says nothing about seeds"]),
        (0.002, 0.03, 3, 1.0, ["the interval lies above 0", "3 seeds: too few to know how much seeds differ"]),
        (0.002, 0.03, 8, 4.2, ["the interval lies above 0", "at equal steps, for 4.2 times the rollouts"]),
        (-0.03, -0.01, 8, 4.2, ["the interval lies below 0"]),
        (-0.03, 0.0, 8, None, ["the interval includes 0"]),
    ],
)
def test_a_verdict_says_what_the_interval_and_the_seeds_allow(
    low: float, high: float, seeds: int, times: float | None, words: list[str]
) -> None:
    assert verdict(Difference((low + high) / 2, low, high, seeds, 100, 50), times) == words


def test_no_colour_calls_a_difference_good(made: SyntheticResults, records: list[Record]) -> None:
    html = build(made.index.model_copy(update={"trainings": ()}), records)[0]
    table = html[html.index('id="accuracy"') : html.index('id="samples"')]
    assert 'class="up"' not in table


def test_without_a_run_with_uniform_draws_nothing_is_claimed(made: SyntheticResults, records: list[Record]) -> None:
    alone = tuple(one.model_copy(update={"baseline": None}) for one in trainings(made.index, "vas"))
    evaluations = tuple(one for one in made.index.evaluations if one.subject != "grpo")
    text = text_of(made.index.model_copy(update={"trainings": alone, "evaluations": evaluations}), records)
    assert "Cannot be said. No run of Tiny Qwen2.5-VL draws problems uniformly" in text
    found = compared(made.index, "tiny", "vas", "sft")
    assert found is not None
    assert f"{points(found.mean)} [{points(found.low)}, {points(found.high)}] to SFT" in text


def test_an_evaluation_alone_has_no_answer(made: SyntheticResults, records: list[Record]) -> None:
    html = build(made.index.model_copy(update={"trainings": (), "sft": ()}), records)[0]
    assert 'id="answer"' not in html
    assert 'id="payoff"' not in html
    assert 'href="#answer"' not in html


def test_seeds_that_have_no_partner_are_not_compared(made: SyntheticResults, records: list[Record]) -> None:
    evaluations = tuple(
        one for one in made.index.evaluations if (one.subject, one.seed) not in {("vas", 0), ("grpo", 1)}
    )
    index = made.index.model_copy(update={"evaluations": evaluations})
    assert compared(index, "tiny", "vas", "grpo") is None
    assert "have no seed with verdicts in common" in text_of(index, records)


def payoff_of(index: Index, records: list[Record], run: str = "vas") -> Payoff | None:
    baseline = trainings(index, "grpo")
    return payoff(trainings(index, run), baseline, cost.pass_rollouts(records), cost.group_sizes(records))


def test_scores_pay_below_the_break_even_only(made: SyntheticResults, records: list[Record]) -> None:
    """λ is .5, 80% of weighted draws vary and half of the uniform ones: c* is .5 (.8/.5 - 1) = .3, and c 800/768."""
    found = payoff_of(made.index, records)
    assert found is not None
    assert found.weighted.mean == pytest.approx(0.8, abs=0.02)
    assert found.uniform.mean == pytest.approx(0.5, abs=0.02)
    assert found.weighted_share == 0.5
    assert not found.borrowed
    assert found.effective is not None
    assert found.effective.mean == 0.6
    assert found.cost == pytest.approx(800 / 768)
    assert found.break_even is not None
    assert found.break_even.mean == pytest.approx(0.5 * (found.weighted.mean / found.uniform.mean - 1))
    assert found.break_even.low < found.break_even.mean < found.break_even.high < found.cost
    assert found.verdict == "they do not pay: c is above the break-even's interval"
    free = payoff(trainings(made.index, "vas"), [], {}, cost.group_sizes(records))
    assert free is not None
    assert free.verdict == "they pay: c is below the break-even's interval"


def test_uniform_draws_have_no_scores_to_pay_for(made: SyntheticResults, records: list[Record]) -> None:
    assert payoff_of(made.index, records, "grpo") is None


def test_a_run_without_uniform_draws_is_held_against_the_baselines(
    made: SyntheticResults, records: list[Record], tmp_path: Path
) -> None:
    """λ = 1: nothing in its batches says how often uniform draws vary."""
    path = tmp_path / "calibration.jsonl"
    row = '{"step": %d, "groups": 8, "groups_uniform": 0, "zero_variance": 0.25, "zero_variance_uniform": null}\n'
    path.write_text("".join(row % step for step in range(6)))
    first = trainings(made.index, "vas")[0]
    only = first.model_copy(update={"rounds": (first.rounds[0].model_copy(update={"calibration": path}),)})
    baseline = trainings(made.index, "grpo")
    passes, sizes = cost.pass_rollouts(records), cost.group_sizes(records)
    found = payoff([only], baseline, passes, sizes)
    assert found is not None
    assert found.borrowed
    assert found.weighted_share == 1
    assert found.break_even is not None
    assert found.break_even.mean == pytest.approx(0.75 / found.uniform.mean - 1)
    assert payoff([only], [], passes, sizes) is None


def recipe(runs: dict[str, object]) -> Recipe:
    return Recipe.model_validate(read_recipe(ROOT / "config/digits.yaml") | {"runs": runs})


def test_the_baseline_follows_from_settings_and_not_from_a_name() -> None:
    named = recipe({"grpo": {}, "plain": {"vas": {"mix": 0}}, "half": {"vas": {"mix": 0.2}}})
    assert named.baselines("tiny") == {"grpo": "plain", "plain": None, "half": "plain"}
    sampler = recipe({"a": {"schedule": {"sampler": "uniform"}}, "b": {"schedule": {"sampler": "mopps"}}})
    assert sampler.baselines("tiny") == {"a": None, "b": "a"}
    assert recipe({"vas": {}}).baselines("tiny") == {"vas": None}


def test_a_run_is_compared_with_the_uniform_run_that_learns_as_it_does() -> None:
    dapo = {"gate": {"name": "dapo", "batch_size": 16}}
    runs = {
        "filter": {"vas": {"mix": 0}, "grpo": dapo},
        "grpo": {"vas": {"mix": 0}},
        "both": {"grpo": dapo},
        "longer": {"vas": {"mix": 0}, "schedule": {"steps": 80}},
        "hot": {"grpo": {"learning_rate": 1e-3}},
    }
    expected = {"filter": "grpo", "grpo": None, "both": "filter", "longer": "grpo", "hot": "grpo"}
    assert recipe(runs).baselines("tiny") == expected


def test_points_have_a_sign() -> None:
    assert [points(share) for share in (0.0123, -0.0345, -0.0001, 0)] == ["+1.2", "−3.5", "0.0", "0.0"]
