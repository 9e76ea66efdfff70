"""The programs of variance-aware sampling, run by hand on small files, and what they refuse."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmr1.data import contracts
from mmr1.data.problems import read_problems
from mmr1.plumbing.errors import UserError
from mmr1.vas import groups as groups_module
from mmr1.vas.diversities.distinct_1 import diversity
from mmr1.vas.groups import iter_groups
from mmr1.vas.read import SCORES
from synthetic_rollouts import rewards_of, rollouts_of, write_rewards, write_rollouts, write_scores, write_set

Run = Callable[[str, str], None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program's main in the folder of the test: `run("score_vps", "--problems p.parquet …")`."""
    monkeypatch.chdir(tmp_path)

    def call(program: str, arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [program, *arguments.split()])
        importlib.import_module(program).main()

    return call


@pytest.fixture
def four(tmp_path: Path) -> list[str]:
    """A set of four problems and their rollouts, four each, in two files that are not in the set's order."""
    ids = write_set(tmp_path / "p.parquet", 4)
    apart = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
    write_rollouts(tmp_path / "r1.parquet", rollouts_of("p3", "7777"), rollouts_of("p2", "7177", apart))
    write_rollouts(tmp_path / "r0.parquet", rollouts_of("p0", "7711"), rollouts_of("p1", "1111"))
    return ids


SCORE = "score_vps --problems p.parquet --workers 1 --out s.parquet"


def score(run: Run, more: str) -> list[dict[str, Any]]:
    run(*f"{SCORE} {more}".split(maxsplit=1))
    return contracts.read("s.parquet", SCORES).to_pylist()


def test_scores_of_a_set(run: Run, four: list[str]) -> None:
    rows = score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    assert [row["problem_id"] for row in rows] == four, "in the order of the problems, whatever that of the files"
    assert [row["pass_rate"] for row in rows] == [0.5, 0.0, 0.75, 1.0]
    assert [row["ovs"] for row in rows] == [0.25, 0.0, 0.1875, 0.0]
    assert rows[2]["tds"] == 1.0
    assert rows[1]["tds"] == rows[3]["tds"] < 1
    assert all(row["vps"] == pytest.approx(0.8 * row["ovs"] + 0.2 * row["tds"]) for row in rows)


def test_rewards_say_why(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    rewards = contracts.read("w.parquet", contracts.REWARDS).to_pylist()
    assert [(row["problem_id"], row["rollout"]) for row in rewards] == [
        (name, number) for name in ("p3", "p2", "p0", "p1") for number in range(4)
    ]
    assert [row["accuracy"] for row in rewards if row["problem_id"] == "p2"] == [1, 0, 1, 1]
    assert [row["extracted"] for row in rewards if row["problem_id"] == "p2"] == ["7", "1", "7", "7"]
    assert all(row["reason"] for row in rewards)


def test_rescoring_from_stored_verdicts_judges_nothing(
    run: Run, four: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    monkeypatch.setattr("mmr1.vas.verdicts.judge", None)
    again = score(run, "--rollouts r1.parquet r0.parquet --rewards-in w.parquet --rewards copy.parquet")
    assert again == first
    assert contracts.read("copy.parquet", contracts.REWARDS) == contracts.read("w.parquet", contracts.REWARDS)
    other = score(run, "--rollouts r1.parquet r0.parquet --rewards-in w.parquet --diversity distinct_2")
    assert [row["ovs"] for row in other] == [row["ovs"] for row in first]
    assert [row["tds"] for row in other] != [row["tds"] for row in first]
    own = '{"name":"padded_self_bleu_123","length":64}'  # a diversity with a setting of its own
    padded = score(run, f"--rollouts r1.parquet r0.parquet --rewards-in w.parquet --diversity {own}")
    assert all(row["tds"] > 0.8 for row in padded)


def test_verdicts_may_have_columns_of_further_rewards(run: Run, four: list[str]) -> None:
    first = score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    table = pq.read_table("w.parquet")
    pq.write_table(table.append_column("length", pa.array([-0.5] * len(table))), "more.parquet")
    assert score(run, "--rollouts r1.parquet r0.parquet --rewards-in more.parquet") == first


def test_other_weights_need_the_scores_only(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    Path("s.parquet").rename("old.parquet")
    rows = score(run, "--previous old.parquet --outcome-weight 1 --diversity-weight 0")
    assert [row["vps"] for row in rows] == [0.25, 0.0, 0.1875, 0.0]


def test_training_rollouts_renew_the_problems_they_touched(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    Path("s.parquet").rename("old.parquet")
    old = contracts.read("old.parquet", SCORES).to_pylist()
    groups = [("p1", "7711", 2, 0), ("p1", "7777", 3, 1), ("p0", "1111", 3, 0)]
    write_rollouts(Path("t.parquet"), *(rollouts_of(name, texts, step=t, slot=s) for name, texts, t, s in groups))
    verdicts = [(name, texts.replace("1", "0").replace("7", "1"), t, s) for name, texts, t, s in groups]
    write_rewards(Path("tw.parquet"), *(rewards_of(name, texts, step=t, slot=s) for name, texts, t, s in verdicts))
    rows = score(run, "--rollouts t.parquet --rewards-in tw.parquet --previous old.parquet --first-step 4")
    assert [row["scored_at"] for row in rows] == [3, 3, 0, 0]
    assert [row["n"] for row in rows] == [4, 8, 4, 4]
    assert [row["pass_rate"] for row in rows] == [0.0, 0.75, 0.75, 1.0]
    assert rows[2:] == old[2:]


SELECT = "--problems p.parquet --scores old.parquet --out some.parquet"


def test_a_refresh_that_samples_all_problems_selects_none(run: Run, four: list[str]) -> None:
    with pytest.raises(UserError, match="refresh: expected one that selects problems, found full"):
        run("select_problems", f"{SELECT} --first-step 8")


def test_stale_scores_are_chosen_generated_and_merged(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r1.parquet r0.parquet --rewards w.parquet")
    Path("s.parquet").rename("old.parquet")
    run("select_problems", f"{SELECT} --first-step 8 --refresh stale")
    chosen = [problem.id for problem in read_problems("some.parquet")]
    assert chosen == ["p0", "p2"], "half and three quarters right: the pass rate is least certain"
    write_rollouts(Path("r2.parquet"), rollouts_of("p0", "77"), rollouts_of("p2", "71"))
    rows = score(run, "--rollouts r2.parquet --rewards w2.parquet --previous old.parquet --first-step 8")
    assert [row["scored_at"] for row in rows] == [8, 0, 8, 0]
    assert [row["ovs"] for row in rows] == [0.0, 0.0, 0.25, 0.0]


def test_groups_are_the_same_however_the_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows read one, two, … at a time; row groups that end inside a group."""
    draw = np.random.default_rng(0)
    tokens = [[draw.integers(0, 5, draw.integers(0, 6)).tolist() for _ in range(3)] for _ in range(5)]
    rows = [row for i, group in enumerate(tokens) for row in rollouts_of(f"p{i}", "777", group)]
    with contracts.writer(tmp_path / "r.parquet", contracts.ROLLOUTS) as file:
        for first in range(0, len(rows), 4):
            part = pa.Table.from_pylist(rows[first : first + 4], schema=contracts.ROLLOUTS)
            file.write_table(part)
    drawn = set()
    for at_once in (1, 2, 4, 7, 100):
        monkeypatch.setattr(groups_module, "_rows_at_once", lambda path, at_once=at_once: at_once)
        chunks = list(iter_groups(tmp_path / "r.parquet", text=True))
        assert [name for chunk in chunks for name in chunk.problem_ids] == [f"p{i}" for i in range(5)]
        scores = [diversity(*chunk.tokens, chunk.bounds, 1).tolist() for chunk in chunks]
        drawn.add(tuple(value for part in scores for value in part))
        assert chunks[0].row == 0
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([("p0", "7"), ("p1", "7"), ("p0", "7")], "r.parquet: row 2: problem_id: 'p0' has rollouts elsewhere too"),
        ([("p0", "77"), ("p1", "7")], "r.parquet: row 2: 'p1': expected 2 rollouts like the problems before, found 1"),
        ([("p0", "7"), ("q", "7")], "r.parquet: row 1: problem_id: 'q' is not among the problems"),
        ([("p0", "7")], "1 of 2 problems have no rollouts, first 'p1'"),
    ],
)
def test_rollouts_that_do_not_cover_the_set_once_are_refused(
    run: Run, tmp_path: Path, groups: list[tuple[str, str]], message: str
) -> None:
    write_set(tmp_path / "p.parquet", 2)
    write_rollouts(tmp_path / "r.parquet", *(rollouts_of(*group) for group in groups))
    with pytest.raises(UserError, match=message):
        score(run, "--rollouts r.parquet --rewards w.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.parquet", "r.parquet"], "nothing is left behind"


def test_a_rollout_that_stands_twice_is_refused(run: Run, tmp_path: Path) -> None:
    write_set(tmp_path / "p.parquet", 1)
    write_rollouts(tmp_path / "r.parquet", rollouts_of("p0", "77"), rollouts_of("p0", "7"))
    with pytest.raises(UserError, match="row 2: rollout: 0 occurs twice in the group of 'p0'"):
        score(run, "--rollouts r.parquet --rewards w.parquet")


def test_verdicts_of_other_rollouts_are_refused(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r0.parquet r1.parquet --rewards w.parquet")
    for more, message in [
        ("--rollouts r1.parquet r0.parquet --rewards-in w.parquet", "r1.parquet: row 0: expected its verdict in row 0"),
        ("--rollouts r0.parquet r1.parquet --rewards-in w.parquet w.parquet", "expected 16 verdicts, .* found 32"),
    ]:
        with pytest.raises(UserError, match=message):
            score(run, more)
    write_rewards(Path("tw.parquet"), rewards_of("p0", "11", step=0, slot=0))
    with pytest.raises(UserError, match=r"tw.parquet: expected rewards with the columns of w.parquet"):
        score(run, "--rollouts r0.parquet r1.parquet --rewards-in w.parquet tw.parquet")
    write_rewards(Path("half.parquet"), [{**row, "accuracy": 0.5} for row in rewards_of("p0", "11")])
    with pytest.raises(UserError, match=r"half.parquet: row 0: accuracy: expected 0 or 1, found 0.5"):
        score(run, "--rollouts r0.parquet --rewards-in half.parquet")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--rollouts r0.parquet r1.parquet", "expected --rewards"),
        ("--rewards w.parquet", "--rollouts: expected at least one file"),
        ("--rollouts gone.parquet --rewards w.parquet", r"gone.parquet: no such file or folder \(--rollouts\)"),
        ("--rollouts r0.parquet --rewards w.parquet --outcome-weight -1", "outcome_weight: expected"),
        ("--rollouts r0.parquet --rewards w.parquet --workers 0", "machine.workers: expected at least 1, found 0"),
        (
            "--rollouts r0.parquet --rewards w.parquet --verify-seconds 0",
            "verify_seconds: expected more than 0, found 0",
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(run: Run, four: list[str], more: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score(run, more)


def test_previous_scores_of_another_diversity_are_refused(run: Run, four: list[str]) -> None:
    score(run, "--rollouts r0.parquet r1.parquet --rewards w.parquet --diversity distinct_1")
    Path("s.parquet").rename("old.parquet")
    with pytest.raises(UserError, match="diversity of 'p0': expected inverse_self_bleu_123, found distinct_1"):
        score(run, "--previous old.parquet")


DRAW = "--problems p.parquet --out d.parquet --batch-size 3 --first-step 2 --steps 4 --seed 1"


def test_a_schedule_is_drawn_from_scores_in_any_order(run: Run, four: list[str]) -> None:
    write_scores(Path("s.parquet"), {"p3": 0.0, "p1": 0.5, "p0": 0.5, "p2": 0.0})
    write_scores(Path("t.parquet"), {"p0": 0.5, "p1": 0.5, "p2": 0.0, "p3": 0.0})
    written = []
    for scores in ("s", "t"):
        run("draw_schedule", f"{DRAW} --scores {scores}.parquet --mix 0.67")
        written.append(Path("d.parquet").read_bytes())
    assert written[0] == written[1]
    rows = contracts.read("d.parquet", contracts.SCHEDULE).to_pylist()
    assert [row["step"] for row in rows] == [2] * 3 + [3] * 3 + [4] * 3 + [5] * 3
    assert {row["problem_id"] for row in rows if row["origin"] == "weighted"} <= {"p0", "p1"}


def test_mix_0_needs_no_scores(run: Run, four: list[str]) -> None:
    run("draw_schedule", f"{DRAW} --mix 0")
    assert set(contracts.read("d.parquet", contracts.SCHEDULE)["origin"].to_pylist()) == {"uniform"}


def test_all_zero_scores_are_drawn_uniformly_with_a_warning(
    run: Run, four: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_scores(Path("s.parquet"), dict.fromkeys(four, 0.0))
    run("draw_schedule", f"{DRAW} --scores s.parquet --mix 1")
    assert "warning: s.parquet: every vps is 0" in capsys.readouterr().err
    assert set(contracts.read("d.parquet", contracts.SCHEDULE)["weight"].to_pylist()) == {0.25}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"p0": 1.0, "p1": 1.0, "p2": 1.0}, "s.parquet: 1 of 4 problems have no score, first 'p3'"),
        ({"p0": 1.0, "q": 1.0}, "s.parquet: row 1: problem_id: 'q' is not among the problems"),
        ({"p0": -1.0, "p1": 1.0, "p2": 1.0, "p3": 1.0}, "s.parquet: row 0: vps: expected a number of at least 0"),
        ({"p0": float("nan"), "p1": 1.0, "p2": 1.0, "p3": 1.0}, "row 0: vps: expected .*, found nan"),
    ],
)
def test_scores_that_do_not_fit_the_set_are_refused(
    run: Run, four: list[str], tmp_path: Path, scores: dict[str, float], message: str
) -> None:
    write_scores(tmp_path / "s.parquet", scores)
    with pytest.raises(UserError, match=message):
        run("draw_schedule", f"{DRAW} --scores s.parquet --mix 0.5")
    assert not (tmp_path / "d.parquet").exists()


def test_a_problem_scored_twice_is_refused(run: Run, four: list[str], tmp_path: Path) -> None:
    write_scores(tmp_path / "once.parquet", {"p0": 1.0})
    once = contracts.read(tmp_path / "once.parquet", contracts.SCORES)
    contracts.write(tmp_path / "s.parquet", pa.concat_tables([once, once]), contracts.SCORES)
    with pytest.raises(UserError, match="row 1: problem_id: 'p0' has a score in row 0 already"):
        run("draw_schedule", f"{DRAW} --scores s.parquet --mix 0.5")


def test_a_truncated_file_is_refused(run: Run, four: list[str], tmp_path: Path) -> None:
    whole = (tmp_path / "r0.parquet").read_bytes()
    (tmp_path / "r0.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"r0.parquet: not a complete Parquet file"):
        score(run, "--rollouts r0.parquet r1.parquet --rewards w.parquet")
    write_scores(tmp_path / "s.parquet", dict.fromkeys(four, 1.0))
    whole = (tmp_path / "s.parquet").read_bytes()
    (tmp_path / "s.parquet").write_bytes(whole[:-10])
    with pytest.raises(UserError, match=r"s.parquet: not a complete Parquet file"):
        run("draw_schedule", f"{DRAW} --scores s.parquet --mix 0.5")


def test_calibration_of_a_round(run: Run, four: list[str]) -> None:
    write_scores(Path("s.parquet"), dict.fromkeys(four, 1.0))
    run("draw_schedule", f"{DRAW} --scores s.parquet --mix 0.5")
    slots = [
        (row["step"], row["slot"], row["problem_id"])
        for row in contracts.read("d.parquet", contracts.SCHEDULE).to_pylist()
    ]
    write_rewards(Path("tw.parquet"), *(rewards_of(name, "1100", step=step, slot=slot) for step, slot, name in slots))
    run("calibrate", "--problems p.parquet --schedule d.parquet --scores s.parquet --rewards tw.parquet --out c.jsonl")
    lines = [json.loads(line) for line in Path("c.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 5]
    assert all(line["zero_variance"] == 0 and line["predicted_ovs"] == 0.25 for line in lines)
    assert lines[0]["coverage"] == len({name for step, _, name in slots if step == 2}) / 4


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    write_set(tmp_path / "p.parquet", 2)
    program = Path(__file__).parents[1] / "scripts" / "draw_schedule.py"
    done = subprocess.run(
        [sys.executable, str(program), *DRAW.split(), "--mix", "1.5"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "draw_schedule.py: error: mix: 1.5 is not in [0, 1]\n"
