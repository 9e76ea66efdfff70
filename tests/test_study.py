"""The study of docs/study: what is kept of it, the rules by which it is judged, and its committed numbers."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, sha256
from mmr1.provenance.ledger import read_records
from mmr1.recipe import Recipe, load_recipe, read_recipe
from mmr1.report.bootstrap import Difference, difference_of_seeds
from mmr1.seeds import generator
from mmr1.study import kept as kept_files
from mmr1.study.blocks import blocks
from mmr1.study.claims import CLAIMS, Claim
from mmr1.study.collect import collect
from mmr1.study.findings import fair_comparison, findings_page
from mmr1.study.kept import Arm, Items, Kept, Summary
from mmr1.study.moves import corrected_correlation, halves
from mmr1.study.page import results_page
from mmr1.study.profiles import interquartile_mean, profile
from mmr1.study.verdicts import Verdict, area, by_rollouts, holm, judged, payoffs, study_of, verdicts
from project import ROOT
from synthetic_results import SyntheticResults

COMMITTED = ROOT / "docs/study"
RECIPE = load_recipe(read_recipe(ROOT / "config/study.yaml"))
PROBLEMS, RESPONSES, STEPS = 240, 4, 20


def arm(passes: int = 0, steps: int = STEPS, gain: float = 0.0) -> Arm:
    """A training that gains `gain` a step in validation, and whose weighted groups vary more often."""
    return Arm(
        settings={"steps": steps},
        training_rollouts=steps * 256,
        pass_rollouts=passes,
        passes=[(0, passes)] if passes else [],
        validation=[(step, step * 256 + (passes if step else 0), 0.4 + gain * step) for step in range(0, steps + 1, 5)],
        weighted=(200.0, 320) if passes else (0.0, 0),
        uniform=(100.0, 320),
        effective_share=0.5 if passes else None,
        moves=[0.5, 0.6, 0.7] if passes else [None],
        histograms=[[1] * 10],
        training_seconds=60.0,
        pass_seconds=10.0,
        records={},
    )


def block(seed: int, gains: Mapping[str, float]) -> Kept:
    """Arms whose pass rates are so far above those of an arm without gain."""
    random = generator(seed, "synthetic study")
    hard = random.beta(0.5, 0.5, PROBLEMS)
    right = {
        name: random.binomial(RESPONSES, np.clip(hard + gain, 0, 1)).astype(np.int64) for name, gain in gains.items()
    }
    items = Items(
        [f"p{i}" for i in range(PROBLEMS)],
        [("sum", "read")[i % 2] for i in range(PROBLEMS)],
        [i // 2 % 4 + 1 for i in range(PROBLEMS)],
        np.full(PROBLEMS, RESPONSES),
        right,
    )
    arms = {
        name: arm(2048 if name.startswith("vas") else 0, 28 if name == "uniform-equal" else STEPS, gain / STEPS)
        for name, gain in gains.items()
    }
    steps = {
        name: {metric: np.full(STEPS, 0.5 + gain) for metric in kept_files.STEP_METRICS} for name, gain in gains.items()
    }
    return Kept(Summary(group="main", seed=seed, sft="a" * 64, test="b" * 64, commit="c", arms=arms), items, steps)


GAINS = {"uniform": 0.0, "uniform-equal": 0.12, "vas": 0.12, "vas-1": 0.003}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seeds of a synthetic study, kept."""
    path = tmp_path_factory.mktemp("study")
    for seed in range(6):
        kept_files.write(path, block(seed, GAINS))
    return path


def test_what_is_kept_is_read_back(folder: Path) -> None:
    written, found = block(3, GAINS), kept_files.read_all(folder)[3]
    assert found.summary == written.summary
    assert all((found.items.right[name] == written.items.right[name]).all() for name in GAINS)
    assert found.steps["vas"]["gradient_norm"] == pytest.approx(written.steps["vas"]["gradient_norm"], rel=1e-3)


def test_a_block_is_small(folder: Path) -> None:
    """Twelve such blocks are to stay well under a megabyte."""
    assert sum(path.stat().st_size for path in folder.glob("main-seed0*")) < 60_000


def test_a_broken_block_is_told_in_one_line(tmp_path: Path) -> None:
    kept_files.write(tmp_path, block(0, GAINS))
    path = tmp_path / "main-seed0.json"
    path.write_text(path.read_text().replace('"training_rollouts": 5120', '"training_rollouts": "many"', 1))
    with pytest.raises(UserError, match=r"main-seed0\.json: arms\.uniform\.training_rollouts"):
        kept_files.read_all(tmp_path)


def verdict_of(folder: Path, text: str, first: str) -> Any:
    found = verdicts(study_of(kept_files.read_all(folder)))
    return next(one for one in found if one.claim.text == text and one.claim.first[0] == first)


def test_a_large_effect_is_supported_and_its_absence_is_not(folder: Path) -> None:
    better, equal = verdict_of(folder, "the end is better", "vas"), verdict_of(folder, "VAS pays per rollout", "vas")
    assert better.word == "supported"
    assert better.difference.mean == pytest.approx(0.1, abs=0.03)
    assert better.difference.low > 0.05
    assert not better.provisional
    assert equal.word in ("undecided", "not supported")
    assert equal.difference.low < 0 < equal.difference.high


def test_what_was_not_trained_is_not_measured(folder: Path) -> None:
    found = verdict_of(folder, "TDS adds to OVS", "vas")
    assert (found.word, found.note, found.difference) == ("not measured", "no seeds of ovs", None)


@pytest.mark.parametrize(
    ("low", "high", "p", "word", "note"),
    [
        (0.002, 0.03, 0.01, "supported", ""),
        (0.002, 0.03, 0.20, "undecided", "not after Holm's correction"),
        (-0.01, 0.03, 0.40, "undecided", ""),
        (-0.01, 0.009, 0.90, "not supported", ""),
        (0.001, 0.009, 0.01, "not supported", "the effect is there, and too small to matter"),
        (-0.03, -0.01, 0.01, "not supported", "the opposite is shown"),
        (-0.03, -0.01, 0.20, "not supported", "not after Holm's correction"),
    ],
)
def test_the_rule_of_the_plan(low: float, high: float, p: float, word: str, note: str) -> None:
    claim = Claim("paper", "the end is better", "pass_rate", ("vas",), ("uniform",))
    found = judged(claim, Difference((low + high) / 2, low, high, 8, 100, 50, p), p)
    assert (found.word, found.note) == (word, note)


def test_the_page_that_is_read_first_says_what_came_out(folder: Path) -> None:
    page = findings_page(kept_files.read_all(folder), blocks(RECIPE))
    assert "- the end is better (`vas` - `uniform`): **supported**; +" in page
    assert "Done: main: seeds 0 (4 of 10 arms), 1 (4 of 10 arms)" in page
    assert "0 of 12 blocks are whole." in page
    assert "spends c = 0.40 ± 0.00 rollouts on scores for each of training" in page
    assert "- **Per step**, VAS ends better than uniform draws (+" in page
    assert "uniform draws that train on as many (" in page
    assert "**Use** uniform draws: neither VAS nor any way without a pass was shown to be better" in page
    study = study_of(kept_files.read_all(folder))
    assert (fair_comparison(study, "vas"), fair_comparison(study, "uniform")) == ("uniform-equal", None)


def test_the_conclusion_names_what_was_shown_to_be_better_at_equal_rollouts(tmp_path: Path) -> None:
    gains = GAINS | {"tracked": 0.1, "mopps": -0.1}
    for seed in range(6):
        kept_files.write(tmp_path, block(seed, gains))
    page = findings_page(kept_files.read_all(tmp_path), blocks(RECIPE))
    assert "- VAS by tracked scores, without a pass, ends better than uniform draws (+" in page
    assert "- MoPPS, without a pass, ends worse than uniform draws (-" in page
    assert "**Use** VAS by tracked scores (+" in page
    assert "points): shown to beat uniform draws on as many rollouts." in page


def test_blocks_with_other_test_problems_are_refused() -> None:
    other = block(1, GAINS)
    with pytest.raises(UserError, match=r"main-seed1: test: expected b+, as the first block has, found d+"):
        study_of([block(0, GAINS), replace(other, summary=other.summary.model_copy(update={"test": "d" * 64}))])


def test_an_arm_without_uniform_draws_has_q_from_the_uniform_arm() -> None:
    """λ = 1: c* is q_w/q - 1, with 100 of 320 groups varying under `uniform` and 200 of 320 weighted ones."""
    one = block(0, GAINS)
    one.summary.arms["vas-1"] = one.summary.arms["vas-1"].model_copy(update={"uniform": (0.0, 0)})
    (found,) = payoffs(study_of([one]), "vas-1")
    assert found.break_even == pytest.approx(200 / 100 - 1)


def test_ablations_of_few_seeds_change_nothing_that_is_said_of_main_arms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmr1.study.verdicts.RESAMPLES", 1000)
    for seed in range(6):
        kept_files.write(tmp_path, block(seed, GAINS | {"tracked": 0.1}))
    before = results_page(kept_files.read_all(tmp_path), blocks(RECIPE)).split("## What is bought")[1]
    ablation = block(0, {"samples-32": 0.2})
    kept_files.write(tmp_path, replace(ablation, summary=ablation.summary.model_copy(update={"group": "ablation"})))
    kept = kept_files.read_all(tmp_path)
    assert results_page(kept, blocks(RECIPE)).split("## What is bought")[1].split("\n\n")[1] == before.split("\n\n")[1]
    instead = findings_page(kept, blocks(RECIPE)).split("## What to use instead")[1].split("## When it pays")[0]
    assert "samples-32" not in instead
    assert "Uniform draws for 1.40 times the rollouts end +" in instead
    assert "| `uniform-equal` | `uniform` |" not in instead


def test_a_claim_that_is_not_measured_yet_counts_in_holms_correction() -> None:
    study = study_of([block(seed, GAINS) for seed in range(6)])
    claims = [one for one in CLAIMS if one.text in ("the end is better", "TDS adds to OVS")]
    end, _, unmeasured = verdicts(study, claims)
    assert unmeasured.difference is None
    assert end.difference is not None
    assert end.holm == pytest.approx(3 * end.difference.p)


def test_few_seeds_make_a_verdict_provisional(tmp_path: Path) -> None:
    for seed in range(4):
        kept_files.write(tmp_path, block(seed, GAINS))
    assert verdict_of(tmp_path, "the end is better", "vas").provisional


def test_holms_correction() -> None:
    """Holm (1979): the smallest times m, the next times m - 1, …, never falling, at most 1."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_paired_seeds_have_students_interval() -> None:
    """Of 1, 2, 3: mean 2, error 1/√3, t(.975; 2) = 4.303."""
    found = difference_of_seeds(np.array([1.0, 2.0, 3.0]))
    assert (found.mean, found.seeds) == (2, 3)
    assert [found.low, found.high] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], abs=1e-3)
    assert found.p == pytest.approx(0.0742, abs=1e-4)
    assert not difference_of_seeds(np.array([5.0])).shown


def test_speed_by_rollouts_counts_what_scores_cost() -> None:
    """While scores are made nothing is learned: the same curve, later."""
    curve = by_rollouts(arm(passes=1000, steps=10, gain=0.01))
    assert curve[:3] == [(0, 0.4), (1000, 0.4), (2280, pytest.approx(0.45))]
    assert area([(0, 0.0), (10, 1.0)], 10) == pytest.approx(0.5)
    assert area([(0, 0.0), (10, 1.0)], 5) == pytest.approx(0.25)


def rewards(rates: np.ndarray, n: int, round_: int) -> pa.Table:
    verdicts = generator(round_, "verdicts").random((len(rates), n)) < rates[:, None]
    return pa.table(
        {
            "problem_id": [f"p{i:04}" for i in range(len(rates)) for _ in range(n)],
            "rollout": pa.array(list(range(n)) * len(rates), pa.int32()),
            "accuracy": verdicts.ravel().astype(float),
        }
    )


def test_problems_that_do_not_move_correlate_fully_whatever_the_noise() -> None:
    rates = generator(0, "rates").beta(0.5, 0.5, 3000)
    before, after = (halves(rewards(rates, 8, round_)) for round_ in (1, 2))
    assert before is not None
    assert after is not None
    raw = np.corrcoef(before.mean(axis=0), after.mean(axis=0))[0, 1]
    assert raw < 0.7
    assert corrected_correlation(before, after) == pytest.approx(1, abs=0.06)
    shuffled = generator(0, "shuffle").permutation(rates)
    assert corrected_correlation(before, halves(rewards(shuffled, 8, 3))) == pytest.approx(0, abs=0.1)


def test_too_few_responses_say_nothing_about_moves() -> None:
    assert halves(rewards(np.full(10, 0.5), 2, 1)) is None
    assert halves(rewards(np.full(10, 0.5), 8, 1)[:0]) is None  # scores that follow training have no responses at all
    assert corrected_correlation(None, None) is None


def test_the_interquartile_mean_leaves_out_a_quarter_on_each_side() -> None:
    """Agarwal et al. 2021: over all seeds and tasks together."""
    values = np.array([[0.0, 0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 9.9]])
    assert interquartile_mean(values) == pytest.approx((0.2 + 0.3 + 0.4 + 0.5) / 4)
    assert profile(values, np.array([0.25, 1.0])).tolist() == [5 / 8, 1 / 8]


def test_the_study_trains_the_digits_recipe() -> None:
    """All but the name, the seeds, the rounds and the runs is what `make demo` shows."""
    ours, theirs = (read_recipe(ROOT / f"config/{name}.yaml") for name in ("study", "digits"))
    for recipe in (ours, theirs):
        for key in ("name", "seeds", "runs"):
            recipe.pop(key)
        for key in ("steps", "update_every"):
            recipe["schedule"].pop(key)
    assert ours == theirs


def test_main_arms_come_first_seed_by_seed() -> None:
    order = [(one.group, one.seed) for one in blocks(RECIPE)]
    assert order == [("main", seed) for seed in range(8)] + [("ablation", seed) for seed in range(4)]
    assert [str(one) for one in blocks(RECIPE, most_seeds=1)] == ["main-seed0", "ablation-seed0"]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.text}: {', '.join(claim.first)}")
def test_every_claim_is_about_arms_of_the_recipe(claim: Claim) -> None:
    assert {*claim.first, *claim.second} <= {*RECIPE.runs}


def synthetic_recipe(seeds: Sequence[int]) -> Recipe:
    values = read_recipe(ROOT / "config/study.yaml")
    values |= {"runs": {"grpo": {"vas": {"mix": 0}}, "vas": {}}, "seeds": list(seeds)}
    values["schedule"] |= {"steps": 12, "update_every": 6}
    return load_recipe(values)


def test_a_block_is_collected_from_a_results_folder(tmp_path: Path) -> None:
    results, recipe = tmp_path / "study", synthetic_recipe([0, 1])
    SyntheticResults(results, rounds=2, steps=6, seeds=(0, 1))
    listed = results / recipe.rl_models()[0] / "sft" / "checkpoint.sha256"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text(f"{'a' * 64}  model.safetensors\n")
    found = collect(results, recipe, blocks(recipe)[1], read_records(results))
    arms = found.summary.arms
    assert (found.summary.seed, list(arms)) == (1, ["grpo", "vas"])
    assert found.summary.sft == sha256(listed)
    assert arms["grpo"].pass_rollouts == 0 < arms["vas"].pass_rollouts
    assert arms["vas"].passes[0][0] == 0
    assert arms["vas"].validation[0][:2] == (0, 0)
    assert sum(found.items.n) == 40
    assert len(found.steps["vas"]["gradient_norm"]) == 12


def test_what_is_kept_is_not_trained_again(tmp_path: Path) -> None:
    """What follows `--` would fail if it were called; it is for an arm that is missing, and for another seed."""
    few = ("uniform", "vas", "self-bleu")
    for one in blocks(RECIPE, most_seeds=1, arms=few):
        synthetic = block(0, dict.fromkeys(one.arms, 0.0))
        summary = synthetic.summary.model_copy(update={"group": one.group})
        kept_files.write(tmp_path, Kept(summary, synthetic.items, synthetic.steps))
    assert study(tmp_path, "--seeds", "1", "--arms", *few).returncode == 0
    assert (tmp_path / "results.md").read_text().startswith("# The study: results")
    assert (tmp_path / "findings.md").read_text().startswith("# Findings")
    again = study(tmp_path, "--seeds", "2", "--arms", "uniform", "vas")
    assert again.returncode == 2
    assert "main-seed1: 2 arms" in again.stderr
    assert "main-seed1: Snakemake did not finish; the same call goes on where it was" in again.stderr


def study(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    pages = ["--out", folder, "--findings", folder / "findings.md"]
    program = [sys.executable, ROOT / "scripts/study.py", *words, *pages, "--", "false"]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)


def test_an_arm_that_comes_later_is_added_to_its_block(tmp_path: Path) -> None:
    first, later = block(0, {"uniform": 0.0, "pool": 0.1}), block(0, {"vas": 0.1})
    whole = kept_files.merged(first, later, ["uniform", "vas", "pool"])
    kept_files.write(tmp_path, whole)
    found = kept_files.read_block(tmp_path, "main-seed0")
    assert found is not None
    assert list(found.summary.arms) == list(found.items.right) == list(found.steps) == ["uniform", "vas", "pool"]
    assert (found.items.right["pool"] == first.items.right["pool"]).all()
    other = Kept(later.summary.model_copy(update={"sft": "d" * 64}), later.items, later.steps)
    with pytest.raises(UserError, match=r"main-seed0: sft: expected aaa.*, as the arms that are kept have, found ddd"):
        kept_files.merged(first, other, [])


# The committed study.


@pytest.fixture(scope="module")
def committed() -> list[Kept]:
    return kept_files.read_all(COMMITTED)


@pytest.fixture(scope="module")
def committed_verdicts(committed: list[Kept]) -> list[Verdict]:
    return verdicts(study_of(committed))


def test_the_committed_pages_follow_from_the_committed_records(committed: list[Kept]) -> None:
    kept, planned = committed, blocks(RECIPE)
    assert (COMMITTED / "results.md").read_text() == results_page(kept, planned)
    assert (ROOT / "docs/findings.md").read_text() == findings_page(kept, planned)


@pytest.mark.parametrize("claim", [one for one in CLAIMS if one.measure == "pass_rate"], ids=lambda one: one.text)
def test_the_committed_differences_are_those_of_the_tables(claim: Claim, committed_verdicts: list[Verdict]) -> None:
    """Read without the package: the mean over seeds of right over asked, first arms less second."""
    found = next(one for one in committed_verdicts if one.claim == claim)
    rates: dict[int, dict[str, float]] = {}
    for path in sorted(COMMITTED.glob("*.items.parquet"), reverse=True):
        table = pq.read_table(path)
        seed = read_json(path.with_suffix("").with_suffix(".json"))["seed"]
        for arm_ in set(table.column_names) - {"problem", "task", "count", "n"}:
            pairs = zip(table[arm_].to_pylist(), table["n"].to_pylist(), strict=True)
            rates.setdefault(seed, {})[arm_] = float(np.mean([right / n for right, n in pairs]))
    seeds = [seed for seed, of in rates.items() if {*claim.first, *claim.second} <= of.keys()]
    if found.difference is None:
        assert not seeds or "apart" in found.note
        return
    sides = [np.mean([[rates[seed][name] for name in side] for seed in seeds]) for side in (claim.first, claim.second)]
    assert found.difference.seeds == len(seeds)
    assert found.difference.mean == pytest.approx(sides[0] - sides[1])
