"""Old rollouts under today's policy: what ratios of probabilities say of verdicts that are no longer today's."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from project import ROOT

sys.path.insert(0, str(ROOT / "performance"))

from old_rollouts import Old, weighted

# Two groups of four, of two problems at steps 0 and 4: half of the responses are right, each as likely as it was.
OLD = Old(
    problem=np.repeat([0, 1], 4),
    group=np.repeat([0, 1], 4),
    step=np.repeat([0, 4], 4),
    right=np.array([1.0, 1, 0, 0] * 2),
    now=np.full(8, -5.0),
    then=np.full(8, -5.0),
    tokens=np.full(8, 10),
)


def test_a_policy_that_did_not_move_leaves_verdicts_as_they_were_and_makes_them_todays() -> None:
    found = weighted(OLD, age=8, now=8)
    assert found.step.tolist() == [8, 8]
    assert (found.right / found.n).tolist() == [0.5, 0.5]
    assert found.n.tolist() == [4, 4]


def test_right_responses_that_became_three_times_as_likely_count_three_times() -> None:
    moved = replace(OLD, now=OLD.then + np.log(3) * OLD.right)
    found = weighted(moved, age=4, now=8)
    assert found.step.tolist() == [0, 8], "older groups stay as they are"
    assert (found.right / found.n).tolist() == [0.5, pytest.approx(3 / 4)]
    assert found.n.tolist() == [4, pytest.approx((3 + 3 + 1 + 1) ** 2 / (9 + 9 + 1 + 1))]
