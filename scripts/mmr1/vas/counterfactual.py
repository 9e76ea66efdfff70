"""What other weights would have bought, from stored rollouts: gain, effective sample size and cost, without training.

Truth is many rollouts of every problem by the policy that a round starts from. The last of them play the part of
responses that were sampled for scores; they are kept out of the truth.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmr1.plugins import Plugin
from mmr1.plumbing.errors import UserError
from mmr1.vas.arrays import Floats
from mmr1.vas.evidence import Evidence, joined
from mmr1.vas.gain import gain_of, varies
from mmr1.vas.scores import beta_ovs, plain_ovs
from mmr1.vas.thinning import effective_share
from mmr1.vas.weights import weights


@dataclass(frozen=True)
class Stored:
    """A set whose policy is known well: verdicts (M, N), 0 or 1, of `truth`, and of `new` responses to each problem."""

    rows: pa.Table
    truth: Floats
    new: Floats
    group_size: int
    ess: float

    @property
    def varying(self) -> float:
        """The share of groups that vary among uniform draws."""
        right, of = self.truth.sum(axis=1), np.full(len(self.truth), self.truth.shape[1])
        return float(varies(right, of, self.group_size).mean())

    def row(self, name: str, values: Floats, new: float | None) -> dict[str, Any]:
        """What thinned scores (M,) buy that took so many new responses a problem, and their size as they are.

        Gains are None where no group varies at all, and what is recovered where perfect scores gain nothing.
        """
        right, of = self.truth.sum(axis=1), np.full(len(self.truth), self.truth.shape[1])
        share = varies(right, of, self.group_size)
        alone = weights(values)
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 of 0
            found = gain_of(values, right, of, self.group_size, self.ess)
            gain_alone = float(alone @ share / share.mean())
        return {
            "weights": name,
            "new": new,
            "gain": _finite(found.gain),
            "ess": found.ess,
            "recovered": _finite(found.recovered),
            "gain_alone": _finite(gain_alone),
            "ess_alone": effective_share(alone),
        }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def stored(ids: list[str], rows: pa.Table, rewards: pa.Table, new: int, group_size: int, ess: float) -> Stored:
    """A set from the rewards of its rollouts, the last `new` of each problem apart.

    Raises UserError for a problem with fewer rollouts than others, or with too few for a truth.
    """
    position = {name: index for index, name in enumerate(ids)}
    count = int(rewards["rollout"].to_numpy().max()) + 1
    verdicts = np.full((len(ids), count), np.nan)
    where = [position[name] for name in rewards["problem_id"].to_pylist()]
    verdicts[where, rewards["rollout"].to_numpy()] = rewards["accuracy"].to_numpy()
    if (missing := np.isnan(verdicts).any(axis=1)).any():
        name = ids[int(np.flatnonzero(missing)[0])]
        raise UserError(f"truth: expected {count} rollouts of each of {len(ids)} problems, found fewer of {name!r}")
    if count - new < group_size:
        raise UserError(f"truth: expected at least {group_size + new} rollouts of each problem, found {count}")
    return Stored(rows, verdicts[:, : count - new], verdicts[:, count - new :], group_size, ess)


ESTIMATES: dict[str, Callable[..., Floats]] = {"P(1-P)": plain_ovs, "its posterior mean": beta_ovs}


def fresh(data: Stored, counts: list[int]) -> list[dict[str, Any]]:
    """OVS from N new responses to every problem, plain and as a posterior mean, for each N."""
    found = []
    for count in counts:
        right, of = data.new[:, :count].sum(axis=1), np.full(len(data.new), count)
        for name, estimate in ESTIMATES.items():
            if count > 1 or estimate is not plain_ovs:
                found.append(data.row(f"{name}, N = {count}", estimate(right, of), float(count)))
    return found


def perfect(data: Stored) -> dict[str, Any]:
    """The truth's own P(1-P)."""
    rate = data.truth.mean(axis=1)
    return data.row("perfect P(1-P)", rate * (1 - rate), None)


def given(data: Stored, scores: Mapping[str, pa.Table], step: int) -> list[dict[str, Any]]:
    """Scores that were made by a program, by name. New are the responses of the policy before `step`: no others."""
    rows = []
    for name, table in scores.items():
        values, n, scored_at = (table[column].to_numpy() for column in ("vps", "n", "scored_at"))
        rows.append(data.row(name, values, float(np.where(scored_at == step, n, 0).mean())))
    return rows


def followed(
    data: Stored, refresh: Plugin, evidence: Evidence, step: int, samples: list[tuple[int, float]]
) -> list[dict[str, Any]]:
    """A refresh that follows pass rates, with (responses, share of the problems that get them) of each kind."""
    module, found = refresh.module, []
    before = module.follow(refresh.settings, data.rows, evidence, step)
    for responses, share in samples:
        belief = before
        if responses and share:
            settings = refresh.settings.model_copy(update={"share": share})
            chosen: NDArray[np.intp] = np.flatnonzero(module.choose(settings, before))
            right = data.new[chosen, :responses].sum(axis=1)
            now = Evidence(np.full(len(chosen), step), chosen, right, np.full(len(chosen), responses))
            belief = module.follow(refresh.settings, data.rows, joined([evidence, now]), step)
        new = f"{responses} to {share * 100:g}%" if responses and share else "none new"
        found.append(data.row(f"{refresh.name}, {new}", belief.variance, responses * share))
    return found
