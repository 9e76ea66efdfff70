"""Do stored rollouts tell more of today's pass rates when today's policy is asked for their log-probabilities?

    make demo
    python performance/refresh_study.py --study digits --tables gain --rounds 1 2
    python performance/old_rollouts.py [--write]

`tracked` lets old verdicts fade. Here every stored response of the run `grpo` is scored by the policy after its last
round, and the ratio ρ to the probability under the policy that sampled it says how the policy moved since:

- **importance weights**: of a group, right responses Σρr/Σρ as if sampled now, with (Σρ)²/Σρ² responses;
- **a drift for each group**: its odds of being right grew by the mean ρ of right over that of wrong responses;
- **a feature**: a problem's last right and last wrong response, mean log-probability of a token. What they say is
  learned from new responses to the least certain quarter;
- **another fading**: how fast deviations fade and groups age, as the truth itself would choose it.

The cost of a score is that of a forward pass, as a share of a rollout's (the trainer's own timings).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from evaluation_tables import write  # noqa: E402
from mmr1.data import contracts  # noqa: E402
from mmr1.data.chat import read_prompt  # noqa: E402
from mmr1.data.problems import read_problems  # noqa: E402
from mmr1.grpo.settings import GradientSettings  # noqa: E402
from mmr1.grpo.single_gradients import Response, SingleGradients  # noqa: E402
from mmr1.plumbing.files import read_jsonl  # noqa: E402
from mmr1.recipe import load_recipe, read_recipe  # noqa: E402
from mmr1.vas.arrays import Floats, Ints  # noqa: E402
from mmr1.vas.counterfactual import Stored, stored  # noqa: E402
from mmr1.vas.evidence import Evidence, joined  # noqa: E402
from mmr1.vas.features import features, read_rows  # noqa: E402
from mmr1.vas.read import read_golds  # noqa: E402
from mmr1.vas.refreshes import tracked  # noqa: E402
from mmr1.vas.tracking import Belief, filtered, fit  # noqa: E402

DOCUMENT, RECIPE = ROOT / "docs" / "vas.md", ROOT / "config" / "digits.yaml"
NEW, ESS, CAP = 8, 0.3, 5.0


@dataclass(frozen=True)
class Old:
    """Stored responses, arrays (R,): the position of the problem, the group, verdicts, and log-probabilities.

    `now` and `then` are of whole responses, nats; `group` counts groups in the order of step and slot.
    """

    problem: Ints
    group: Ints
    step: Ints
    right: Floats
    now: Floats
    then: Floats
    tokens: Ints

    def groups(self) -> Evidence:
        """The same as groups (G,), as they were sampled."""
        first = np.unique(self.group, return_index=True)[1]
        return Evidence(self.step[first], self.problem[first], self.sum(self.right), self.sum().astype(np.int64))

    def sum(self, values: Floats | float = 1.0) -> Floats:
        """The sum of values (R,) over each group, (G,)."""
        return np.bincount(self.group, np.broadcast_to(values, self.group.shape))


def read_old(run: Path, rounds: range, ids: Sequence[str], logprobs: "Scorer") -> Old:
    """The responses of a run's rounds, scored by a policy."""
    names = ("problem_id", "step", "slot", "rollout")
    keys = [contracts.TRAINING_ROLLOUTS.field(name) for name in names]
    stored_columns = [contracts.TRAINING_ROLLOUTS.field(name) for name in ("token_ids", "logprob")]
    verdict = contracts.TRAINING_REWARDS.field("accuracy")
    tables = [
        contracts.read(run / f"round{r}/train_rollouts.parquet", pa.schema([*keys, *stored_columns])).append_column(
            verdict, contracts.read(run / f"round{r}/train_rewards.parquet", pa.schema([verdict]))["accuracy"]
        )
        for r in rounds
    ]
    rows = pa.concat_tables(tables)
    position = {name: number for number, name in enumerate(ids)}
    problem = np.array([position[name] for name in rows["problem_id"].to_pylist()])
    step, slot = (rows[name].to_numpy().astype(np.int64) for name in ("step", "slot"))
    tokens = [np.array(one, np.int32) for one in rows["token_ids"].to_pylist()]
    length = np.array([len(one) for one in tokens])
    return Old(
        problem,
        np.unique(step * (slot.max() + 1) + slot, return_inverse=True)[1],
        step,
        rows["accuracy"].to_numpy(),
        logprobs.of(rows["problem_id"].to_pylist(), tokens),
        rows["logprob"].to_numpy().astype(np.float64) * length,
        length,
    )


class Scorer:
    """A policy that is asked for the log-probabilities of responses."""

    def __init__(self, checkpoint: Path, problems: Path, prompt: Path) -> None:
        settings = {"temperature": 1.0, "min_pixels": None, "max_pixels": None, "share_prompts": True}
        self.policy = SingleGradients(checkpoint, GradientSettings.model_validate(settings), read_prompt(prompt))
        self.problems = {one.id: one for one in read_problems(problems)}

    @torch.no_grad()
    def of(self, names: Sequence[str], tokens: Sequence[NDArray[np.int32]]) -> Floats:
        """Of each response to the problem of that name, nats (R,)."""
        found = np.zeros(len(names))
        members: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            members.setdefault(name, []).append(number)
        for name, numbers in members.items():
            responses = [Response(tokens[number], 1.0) for number in numbers]
            batch = self.policy._batch(self.problems[name], responses, np.ones(len(responses)))
            for micro_batch in self.policy.loader.load(batch, range(len(batch.batches))):
                logprobs = self.policy.module(micro_batch)[0].double().split(list(micro_batch.lengths))
                for member, one in zip(micro_batch.members, logprobs, strict=True):
                    found[numbers[member]] = float(one.sum())
        return found


def weighted(old: Old, age: int, now: int) -> Evidence:
    """Groups of the last `age` steps by importance weights, as if sampled now; older ones as they were."""
    groups, recent = old.groups(), old.groups().step >= now - age
    ratio = np.exp(np.minimum(old.now - old.then, np.log(CAP)))
    right, total, squares = old.sum(ratio * old.right), old.sum(ratio), old.sum(ratio**2)
    n = np.where(recent, total**2 / squares, groups.n)
    step = np.where(recent, now, groups.step)
    return Evidence(step, groups.problem, np.where(recent, n * right / total, groups.right), n)


def moved(data: Stored, old: Old, age: int, now: int, settings: tracked.Settings) -> Belief:
    """What `tracked` knows where groups of the last `age` steps are told by how much their odds moved since.

    A group at odds o then has o·m now: as evidence of now its rates are those at which the odds are m times smaller.
    The mean ratios have one response of ratio 1 each, since a mean of few is wild.
    """
    groups, recent = old.groups(), old.groups().step >= now - age
    ratio = np.exp(np.clip(old.now - old.then, -3, 3))
    means = [(old.sum(ratio * of) + 1) / (old.sum(of) + 1) for of in (old.right, 1 - old.right)]
    shift = np.where(recent, np.log(means[0] / means[1]), 0.0)
    columns = features(data.rows)
    model = fit(groups, columns, now, settings.recent)
    rate = expit(logit(np.clip(groups.right / groups.n, 0.02, 0.98)) + shift)
    told = Evidence(
        np.where(recent, now, groups.step), groups.problem, np.where(recent, rate * groups.n, groups.right), groups.n
    )
    return filtered(told, columns, now, model, settings.half_life)


def best_fading(data: Stored, groups: Evidence, now: int) -> Belief:
    """What `tracked` knows at the half-lives that recover most: no way to learn them from surprises can do better."""
    columns = features(data.rows)
    beliefs = [
        filtered(groups, columns, now, model, half_life)
        for model in (fit(groups, columns, now, recent) for recent in (2.0, 5.0, 20.0))
        for half_life in (8.0, 16.0, 32.0, 64.0, 128.0)
    ]
    return max(beliefs, key=lambda belief: float(data.row("", belief.variance, None)["recovered"]))


def with_features(belief: Belief, old: Old, right: Floats, chosen: Ints, n: int) -> Belief:
    """A belief moved by what the last right and wrong responses say, as n new responses to `chosen` teach it."""
    mean = np.stack([np.ones(len(belief.share)), *_last(old, len(belief.share))], axis=1)
    centre = logit(np.clip(belief.mean(belief.rate), 1e-3, 1 - 1e-3))

    def loss(beta: Floats) -> float:
        rate = np.clip(expit(centre[chosen] + mean[chosen] @ beta), 1e-9, 1 - 1e-9)
        return -float((right * np.log(rate) + (n - right) * np.log(1 - rate)).sum()) + 0.5 * float(beta @ beta)

    shift = mean @ minimize(loss, np.zeros(mean.shape[1]), method="L-BFGS-B").x
    return replace(belief, rate=expit(logit(np.clip(belief.rate, 1e-9, 1 - 1e-9)) + shift[:, None]))


def _last(old: Old, size: int) -> list[Floats]:
    """Of each problem's last right and last wrong response: whether there is one, and its mean log-probability now."""
    columns = []
    for verdict in (1, 0):
        value, there = np.zeros(size), np.zeros(size)
        for number in np.flatnonzero(old.right == verdict)[np.argsort(old.step[old.right == verdict], kind="stable")]:
            value[old.problem[number]] = old.now[number] / old.tokens[number]
            there[old.problem[number]] = 1.0
        columns += [there, np.where(there > 0, value - value[there > 0].mean(), 0.0)]
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "digits")
    parser.add_argument("--rounds", type=int, default=2, help="after so many rounds")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOCUMENT.name}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(read_recipe(RECIPE))
    now = args.rounds * recipe.schedule.update_every
    run, problems = args.results / "tiny/grpo/seed0", args.results / "data/problems.parquet"
    reference = args.results.with_name(f"{args.results.name}-reference") / f"grpo/seed0/round{args.rounds}"
    ids = list(read_golds(problems))
    columns = pa.schema([contracts.REWARDS.field(name) for name in ("problem_id", "rollout", "accuracy")])
    verdicts = contracts.read(reference / "rewards.parquet", columns)
    data = stored(ids, read_rows(problems), verdicts, NEW, recipe.grpo.group_size, ESS)
    scorer = Scorer(run / f"round{args.rounds - 1}/checkpoint", problems, ROOT / "config/prompts/digits.txt")
    old = read_old(run, range(args.rounds), ids, scorer)
    times = [line for r in range(args.rounds) for line in read_jsonl(run / f"round{r}/timings.jsonl")]
    forward = sum(line["seconds_old"] for line in times) / sum(line["seconds_generate"] for line in times)
    made = table(data, old, now, forward)
    print(made)
    if args.write:
        write(DOCUMENT, {"digits: old rollouts": made})


def table(data: Stored, old: Old, now: int, forward: float) -> str:
    """A row per way to use old responses; costs are shares of the training rollouts."""
    settings, groups, size = tracked.Settings(), old.groups(), len(data.truth)
    before = tracked.follow(settings, data.rows, groups, now)
    found: list[tuple[str, float, Belief]] = [("tracked, none new", 0.0, before)]
    for age in (8, 24, now):
        cost = forward * float((old.step >= now - age).mean())
        by_weight = tracked.follow(settings, data.rows, weighted(old, age, now), now)
        found.append((f"importance weights, last {age} steps", cost, by_weight))
        found.append((f"a drift for each group, last {age} steps", cost, moved(data, old, age, now, settings)))
    found.append(("tracked, the best fading of 15, by the truth", 0.0, best_fading(data, groups, now)))
    for n in (2, 8):
        chosen = np.flatnonzero(tracked.choose(settings, before))
        right = data.new[chosen, :n].sum(axis=1)
        new = Evidence(np.full(len(chosen), now), chosen, right, np.full(len(chosen), n))
        belief = tracked.follow(settings, data.rows, joined([groups, new]), now)
        sampled = n * len(chosen) / len(old.step)
        found.append((f"tracked, {n} to {settings.share:.0%}", sampled, belief))
        scored = sampled + forward * 2 * size / len(old.step)
        learned = with_features(belief, old, right, chosen, n)
        found.append(("the same, and log-probabilities as features", scored, learned))
    lines = ["| from stored responses | cost, % | gain at ESS 0.3 | recovered |", "| --- | ---: | ---: | ---: |"]
    for name, cost, belief in found:
        row = data.row(name, belief.variance, None)
        lines.append(f"| {name} | {100 * cost:.0f} | {row['gain']:.2f} | {row['recovered']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
