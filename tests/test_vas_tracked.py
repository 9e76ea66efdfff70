"""Pass rates followed through training: the filter, the weights, what they buy, and the programs on small files."""

import importlib
import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from scipy.stats import binom, multivariate_normal

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_jsonl
from mmr1.vas.evidence import Evidence, joined
from mmr1.vas.features import ROWS, features
from mmr1.vas.gain import gain_of, varies
from mmr1.vas.read import SCORES
from mmr1.vas.refreshes import tracked
from mmr1.vas.thinning import effective_share, thinned
from mmr1.vas.tracking import Belief, Model, filtered, fit
from synthetic_rollouts import rewards_of, rollouts_of, write_rewards, write_rollouts, write_scores, write_set

CONSTANT = np.ones((1, 1))


def groups(*rows: tuple[int, int, int, int]) -> Evidence:
    """Evidence of rows (step, problem, right, n)."""
    step, problem, right, n = np.array(rows, np.int64).reshape(-1, 4).T
    return Evidence(step, problem, right.astype(float), n)


@given(
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=2),
    counts=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=2, max_size=2),
    half_life=st.sampled_from([4.0, 16.0]),
    spread=st.floats(0.5, 2.5),
    level=st.floats(-2, 2),
    drift=st.floats(-1, 2),
)
@settings(max_examples=25)
def test_the_filter_is_the_posterior_by_brute_force(
    steps: list[int],
    counts: list[tuple[int, int]],
    half_life: float,
    spread: float,
    level: float,
    drift: float,
) -> None:
    """Against the integral over all deviations at once, at each group's step and now, on a finer kind of grid."""
    now, rows = 31, [(step, 0, min(right, n), n) for step, (right, n) in zip(sorted(steps), counts, strict=False)]
    times = np.array([*(row[0] for row in rows), now])
    nodes, weight = np.polynomial.legendre.leggauss(72)
    nodes = 5 * nodes
    apart = 2.0 ** (-np.abs(times[:, None] - times[None, :]) / half_life) + 1e-9 * np.eye(len(times))
    points = np.stack(np.meshgrid(*[nodes] * len(times), indexing="ij"), axis=-1)
    joint = multivariate_normal(cov=apart).pdf(points)
    for axis, (step, _, right, n) in enumerate(rows):
        rate = expit(level + drift * (step - now) / now + spread * points[..., axis])
        joint = joint * binom.pmf(right, n, rate)
    for axis in range(len(times)):
        joint = joint * weight.reshape([-1 if one == axis else 1 for one in range(len(times))])
    last = joint.sum(axis=tuple(range(len(times) - 1)))
    rate = expit(level + spread * nodes)
    assume(len(set(times.tolist())) == len(times))  # two groups of one step have one deviation: no density

    model = Model(np.array([level]), np.array([drift]), spread)
    belief = filtered(groups(*rows), CONSTANT, now, model, half_life)
    assert belief.mean(belief.rate)[0] == pytest.approx((last * rate).sum() / last.sum(), abs=4e-3)
    assert belief.variance[0] == pytest.approx((last * rate * (1 - rate)).sum() / last.sum(), abs=4e-3)


def test_without_groups_every_problem_is_alike_and_draws_are_uniform() -> None:
    rows = pa.table({name: ["a", "b"] for name in ROWS.names if name != "choices"} | {"choices": [None, None]})
    belief = tracked.follow(tracked.Settings(), rows, joined([]), 0)
    assert belief.mean(belief.rate) == pytest.approx([0.5, 0.5], abs=1e-6)
    assert len(set(tracked.weigh(tracked.Settings(), belief))) == 1


def test_old_groups_say_less_than_new_ones() -> None:
    model = Model(np.zeros(1), np.zeros(1), 2.0)
    means = [filtered(groups((step, 0, 8, 8)), CONSTANT, 60, model, 32.0) for step in (0, 40, 60)]
    rates = [float(belief.mean(belief.rate)[0]) for belief in means]
    assert 0.5 < rates[0] < rates[1] < rates[2]


def test_what_problems_of_a_kind_do_says_what_one_does_that_was_never_tried() -> None:
    """Kind A is solved, kind B is not; and A got there on the way."""
    size = 100
    kinds = np.array([[1.0, 1.0]] * size + [[1.0, 0.0]] * size)
    rows = []
    for step, slot in itertools.product(range(12), range(8)):
        rows.append((step, 8 * step + slot, (1, 2)[slot % 2] if step < 4 else (5, 8)[slot % 2], 8))
        rows.append((step, size + 8 * step + slot, (0, 2)[slot % 2], 8))
    model = fit(groups(*rows), kinds, 12, recent=5.0)
    belief = filtered(groups(*rows), kinds, 12, model, 32.0)
    rate = belief.mean(belief.rate)
    assert rate[size - 1] > 0.7, "of kind A, never tried"
    assert rate[2 * size - 1] < 0.25, "of kind B, never tried"


def test_responses_go_where_the_pass_rate_is_least_certain() -> None:
    """Known to be at 1/2, known to be wrong, and unknown: one or the other."""
    rates = np.tile([0.001, 0.5, 0.999], (3, 1))
    belief = Belief(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.4, 0.2, 0.4]]), rates)
    assert belief.deviation == pytest.approx([0, 0, 0.499 * 0.8**0.5])
    assert tracked.choose(tracked.Settings(share=0.1), belief).tolist() == [False, False, True]
    assert tracked.choose(tracked.Settings(share=1.0), belief).all()


VALUES = arrays(np.float64, st.integers(5, 60), elements=st.floats(0, 0.25), unique=True)


@given(values=VALUES, share=st.floats(0.25, 0.95))
def test_thinning_reaches_its_effective_sample_size(values: np.ndarray, share: float) -> None:
    assume(np.ptp(values) > 1e-6)
    assert effective_share(thinned(values, share)[0]) == pytest.approx(share, rel=1e-6)


@given(values=VALUES, weight=arrays(np.float64, 60, elements=st.floats(0.01, 1)))
def test_no_weights_of_the_same_size_draw_more(values: np.ndarray, weight: np.ndarray) -> None:
    weight = weight[: len(values)] * values + 1e-9
    share = effective_share(weight)
    assume(np.ptp(values) > 1e-3 and share > 0.25)
    best = thinned(values, share)[0]
    assert best @ values / best.sum() >= weight @ values / weight.sum() - 1e-9


def test_thinning_of_equals_prefers_none() -> None:
    assert thinned(np.full(6, 0.2), 0.3)[0].tolist() == [1] * 6
    assert thinned(np.array([0.2, 0.2, 0.1, 0.0]), 0.3)[0].tolist() == [1, 1, 0, 0], "half of them are the largest"


@given(verdicts=st.lists(st.integers(0, 1), min_size=3, max_size=9), n=st.integers(2, 3))
def test_the_chance_to_vary_counts_all_groups_of_the_truth(verdicts: list[int], n: int) -> None:
    chosen = list(itertools.combinations(verdicts, n))
    expected = np.mean([len(set(group)) > 1 for group in chosen])
    found = varies(np.array([float(sum(verdicts))]), np.array([len(verdicts)]), n)
    assert found[0] == pytest.approx(expected)


def test_followed_scores_recover_more_than_two_fresh_rollouts_for_a_fraction() -> None:
    """Simulated: two kinds, slow drift, 40 steps of 16 uniform groups of 8 among 200 problems; truth of 48 rollouts."""
    draw = np.random.default_rng(0)
    kind = np.arange(200) % 2
    rows = pa.table(
        {
            "source": ["test"] * 200,
            "question": ["What is the sum?" if one else "Which is largest?" for one in kind],
            "choices": [None] * 200,
            "answer": ["7"] * 200,
            "answer_type": ["integer"] * 200,
        }
    )
    own = draw.normal(size=200) * 2

    def rate(step: int) -> np.ndarray:
        return expit(np.where(kind, -3.0, -1.0 + 0.1 * step) + own)

    seen = []
    for step in range(40):
        problems = draw.integers(200, size=16)
        seen.append((np.full(16, step), problems, draw.binomial(8, rate(step)[problems]), np.full(16, 8)))
    evidence = Evidence(*(np.concatenate(column) for column in zip(*seen, strict=True)))
    right, of = draw.binomial(48, rate(40)).astype(float), np.full(200, 48)
    fresh = draw.binomial(2, rate(40)) / 2

    belief = tracked.follow(tracked.Settings(), rows, evidence, 40)
    free = gain_of(belief.variance, right, of, 8, 0.3)
    two = gain_of(fresh * (1 - fresh), right, of, 8, 0.3)
    perfect = gain_of(right / of * (1 - right / of), right, of, 8, 0.3)
    assert perfect.recovered == pytest.approx(1)
    assert free.recovered > two.recovered + 0.1
    assert free.ess == pytest.approx(0.3, abs=0.01)


def test_columns_tell_kinds_apart_and_none_twice() -> None:
    rows = pa.table(
        {
            "source": ["a", "a", "b", "b"],
            "question": ["<image>largest", "<image><image>largest", "<image>sum it", "<image><image>sum it"],
            "choices": [None] * 4,
            "answer": ["1", "2", "3", "4"],
            "answer_type": ["integer"] * 4,
        }
    )
    columns = features(rows)
    assert columns[:, 0].tolist() == [1] * 4
    assert np.linalg.matrix_rank(columns) == 4
    assert len({column.tobytes() for column in columns.T}) == columns.shape[1]


Run = Callable[[str, str], None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program's main in a folder with a set of six problems, and verdicts of training and of a first pass."""
    monkeypatch.chdir(tmp_path)
    ids = write_set(tmp_path / "p.parquet", 6)
    trained = [("p0", "11111111"), ("p1", "00000000"), ("p2", "10101010"), ("p2", "11101010")]
    rows = [rewards_of(name, verdicts, step=step, slot=0) for step, (name, verdicts) in enumerate(trained)]
    write_rewards(tmp_path / "t.parquet", *rows)
    write_rewards(tmp_path / "w0.parquet", *(rewards_of(name, "10" if name == "p3" else "00") for name in ids))

    def call(program: str, arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [program, *arguments.split()])
        importlib.import_module(program).main()

    return call


HISTORY = "--training-rewards t.parquet --pass-rewards w0.parquet --pass-steps 0 --first-step 4"
FOLLOWED = "--problems p.parquet --workers 1 --out s.parquet --refresh tracked"


def test_scores_are_made_of_all_verdicts_so_far(run: Run, tmp_path: Path) -> None:
    write_rollouts(tmp_path / "r.parquet", rollouts_of("p4", "77"), rollouts_of("p3", "71"))
    run("score_vps", f"{FOLLOWED} --rollouts r.parquet --rewards w1.parquet {HISTORY}")
    rows = {row["problem_id"]: row for row in contracts.read("s.parquet", SCORES).to_pylist()}
    assert [rows[f"p{i}"]["n"] for i in range(6)] == [0, 0, 0, 2, 2, 0], "responses that were new"
    assert rows["p0"]["pass_rate"] > rows["p4"]["pass_rate"] > rows["p5"]["pass_rate"] > rows["p1"]["pass_rate"]
    assert {rows["p2"]["vps"], rows["p3"]["vps"]} == set(sorted(row["vps"] for row in rows.values())[-2:])
    assert {row["scored_at"] for row in rows.values()} == {4}
    first = (tmp_path / "s.parquet").read_bytes()
    run("score_vps", f"{FOLLOWED} --rollouts r.parquet --rewards w1.parquet {HISTORY}")
    assert (tmp_path / "s.parquet").read_bytes() == first


def test_nothing_need_be_sampled(run: Run) -> None:
    run("score_vps", f"{FOLLOWED} --rollouts --rewards w1.parquet {HISTORY}")
    assert len(contracts.read("w1.parquet", contracts.REWARDS)) == 0
    assert max(contracts.read("s.parquet", SCORES).to_pylist(), key=lambda row: row["vps"])["problem_id"] == "p2"


def test_the_problems_are_sampled_whose_pass_rate_is_least_certain(run: Run) -> None:
    run("select_problems", f"--problems p.parquet --out o.parquet --refresh tracked {HISTORY}")
    chosen = contracts.read("o.parquet", contracts.PROBLEMS)["id"].to_pylist()
    assert len(chosen) == math.ceil(6 / 4)
    assert "p2" not in chosen, "sixteen recent responses tell enough"


def test_other_weights_are_replayed_on_stored_rollouts(run: Run, tmp_path: Path) -> None:
    """Truth: p0 to p2 vary, p3 to p5 do not. The last two of twelve rollouts play new responses."""
    verdicts = ["101010101010", "110110110110", "100100100101", "1" * 12, "0" * 12, "0" * 12]
    write_rewards(tmp_path / "truth.parquet", *(rewards_of(f"p{i}", one) for i, one in enumerate(verdicts)))
    write_scores(tmp_path / "good.parquet", {f"p{i}": 1.0 if i < 3 else 0.0 for i in range(6)}, scored_at=4)
    write_scores(tmp_path / "flat.parquet", {f"p{i}": 1.0 for i in range(6)})
    run(
        "counterfactual",
        "--problems p.parquet --truth truth.parquet --new 2 --group-size 8 --ess 0.5 --out c.jsonl"
        f" --scores good=good.parquet flat=flat.parquet {HISTORY}",
    )
    rows = {row["weights"]: row for row in read_jsonl(tmp_path / "c.jsonl")}
    assert rows["good"]["gain"] == pytest.approx(2.0), "all of what varies is half of the set"
    assert rows["good"]["recovered"] == pytest.approx(1.0, abs=0.1)
    assert (rows["flat"]["gain"], rows["flat"]["recovered"]) == (pytest.approx(1), pytest.approx(0))
    assert rows["flat"]["ess_alone"] == pytest.approx(1)
    assert rows["good"]["cost"] == pytest.approx(4 * 6 / 32)
    assert rows["flat"]["cost"] == 0, "made from what there was before"
    assert rows["P(1-P), N = 2"]["cost"] == pytest.approx(2 * 6 / 32), "of 4 groups of 8"
    assert rows["tracked, 2 to 50%"]["cost"] == pytest.approx(6 / 32)
    assert rows["tracked, none new"]["cost"] == 0
    run(
        "counterfactual", "--problems p.parquet --truth truth.parquet --new 3 --first-step 4 --rollouts 9 --out c.jsonl"
    )
    rows = {row["weights"]: row for row in read_jsonl(tmp_path / "c.jsonl")}
    assert rows["P(1-P), N = 3"]["cost"] == pytest.approx(3 * 6 / 9), "all new responses are used"
    with pytest.raises(UserError, match="truth: expected at least 15 rollouts of each problem, found 12"):
        run("counterfactual", "--problems p.parquet --truth truth.parquet --new 7 --first-step 4 --out c.jsonl")


def test_where_nothing_can_be_gained_no_gain_is_told(run: Run, tmp_path: Path) -> None:
    """All problems vary alike, and then none varies: JSON has no number for that."""
    for verdicts, gain in (("1010101010", 1.0), ("1111111111", None)):
        write_rewards(tmp_path / "truth.parquet", *(rewards_of(f"p{i}", verdicts) for i in range(6)))
        run("counterfactual", "--problems p.parquet --truth truth.parquet --new 2 --first-step 4 --out c.jsonl")
        for row in read_jsonl(tmp_path / "c.jsonl"):
            assert (row["gain"], row["recovered"]) == (gain and pytest.approx(gain), None)


@pytest.mark.parametrize("shares", ["[0]", "[0.5,0.5]"])
def test_shares_are_above_0_and_different(run: Run, shares: str) -> None:
    with pytest.raises(UserError, match="shares"):
        run("counterfactual", f"--problems p.parquet --truth t.parquet --first-step 4 --out c.jsonl --shares {shares}")


@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("score_vps", "--rewards w.parquet --pass-rewards w0.parquet", "--pass-steps: expected 1, one a file, found 0"),
        (
            "score_vps",
            "--rewards w.parquet --refresh stale",
            "refresh: expected one that follows pass rates, found stale",
        ),
        (
            "select_problems",
            "--refresh stale --first-step 4",
            "--scores: refresh stale expects those of the last round",
        ),
    ],
)
def test_what_is_missing_is_said(run: Run, program: str, arguments: str, message: str) -> None:
    base = FOLLOWED if program == "score_vps" else "--problems p.parquet --out o.parquet"
    with pytest.raises(UserError, match=message):
        run(program, f"{base} {arguments}")
