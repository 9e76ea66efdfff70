"""When does variance-aware sampling pay? A model of problems' pass rates, fitted to one run, held against the trainer.

    python performance/when_it_pays.py fit          # to one uniform run of the study
    python performance/when_it_pays.py predict      # what the arms of `POINTS` will do
    python performance/when_it_pays.py recipes      # how they are trained, from the study's SFT checkpoint:
    nice snakemake --profile workflow/profiles/local --configfile results/pays-dear.json -- evaluate
    python performance/when_it_pays.py compare      # prediction beside what came out
    python performance/when_it_pays.py map          # the model over spread, drift and cost

All is kept in docs/study/when-it-pays.json, the predictions from before the training; `--write` puts the tables into
docs/vas.md. The samplers are those of `scripts/mmr1/vas/`, at the same settings as in training.

**The model.** Problem i, of a kind (task and number of digits), has the pass rate σ(θ_i), θ_i = level of its kind + its
own deviation. Right responses are binomial. A group moves a logit by its deviation s, which is what GRPO's advantages
(r - mean)/s bring for a logit: E[A·(r - p)] = s. Its own problem moves by `own`·s, all problems of its kind by
`shared`·s and those of one digit more or less by a part `REACH` of it, over the batch size and times the learning rate.
AdamW divides by the root mean square of a batch's gradient; a varying group's has about one norm, and noise is most of
it (docs/vas.md), so that a step is divided by the root of the share of varying groups so far. Besides, all logits grow
by a part `sharpening` of themselves (a policy loses entropy), and each does a random walk of `drift` a step, both times
the learning rate. Forgetting, lengths and formats are not in it.
"""

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from evaluation_tables import write  # noqa: E402
from mmr1.data import contracts  # noqa: E402
from mmr1.plumbing.files import read_json, write_json  # noqa: E402
from mmr1.report.accuracy import verdicts  # noqa: E402
from mmr1.report.bootstrap import Paired, difference, difference_of_seeds  # noqa: E402
from mmr1.seeds import generator  # noqa: E402
from mmr1.vas.arrays import Floats, Ints  # noqa: E402
from mmr1.vas.history import REWARDS, groups_of  # noqa: E402
from mmr1.vas.samplers import make_sampler  # noqa: E402
from mmr1.vas.scores import Tally, score_table  # noqa: E402
from mmr1.vas.settings import DrawSettings, ScoreSettings  # noqa: E402

STUDY = ROOT / "docs" / "study"
KEPT, DOCUMENT = STUDY / "when-it-pays.json", ROOT / "docs" / "vas.md"
GROUP, BATCH, RATE = 8, 32, 1e-4  # of the study's recipe
REACH = 0.5
RATES = ("shared", "own", "sharpening", "drift")
PER_KIND = 20  # held-out problems, as in the benchmark
SEEDS, MAP_SEEDS = 24, 12  # simulated trainings


@dataclass(frozen=True)
class World:
    """Problems before RL, and how they learn; rates are a step's, at the study's learning rate."""

    level: tuple[tuple[float, ...], ...]  # of each task by its number of digits
    spread: float  # of problems of a kind, a deviation of logits
    shared: float
    own: float
    sharpening: float
    drift: float


@dataclass(frozen=True)
class Arm:
    """How problems are drawn, by which scores, for how many steps."""

    steps: int
    mix: float = 0.0
    samples: int = 2
    update_every: int = 20
    pool: int = 960
    rate: float = RATE
    sampler: str = "vas"

    @property
    def score_rollouts(self) -> int:
        """Those for scores in all."""
        return self.pool * self.samples * -(-self.steps // self.update_every) if self.mix else 0

    @property
    def cost(self) -> float:
        """c: rollouts for scores over those of training."""
        return self.score_rollouts / (self.steps * BATCH * GROUP)

    def at_equal_rollouts(self) -> "Arm":
        """Uniform draws for as many rollouts in all."""
        return replace(self, mix=0.0, steps=round(self.steps * (1 + self.cost)))


@dataclass
class Outcome:
    """What a simulated training came to.

    `rates`: of the held-out problems, before and after. By step: the share of groups that vary, and their pass rate.
    """

    rates: list[Floats]
    varying: list[float] = field(default_factory=list)
    pool_rate: list[float] = field(default_factory=list)

    @property
    def before(self) -> float:
        """The mean pass rate of held-out problems."""
        return float(self.rates[0].mean())

    @property
    def after(self) -> float:
        """The same at the end."""
        return float(self.rates[1].mean())


def simulate(world: World, arm: Arm, seed: int) -> Outcome:
    """One training of an arm."""
    random = generator(seed, "when it pays")
    level = np.array(world.level)
    tasks, counts = level.shape
    size = arm.pool + PER_KIND * level.size  # those that are trained on, and the held-out ones
    kind = np.arange(size) % level.size
    theta = level.ravel()[kind] + world.spread * random.normal(size=size)
    near = _nearness(tasks, counts)
    ids = [str(number) for number in range(arm.pool)]
    draw = DrawSettings.model_validate({"batch_size": BATCH, "mix": arm.mix, "sampler": arm.sampler})
    held_out = np.arange(size) >= arm.pool
    found = Outcome([expit(theta[held_out])])
    sampler, rate = None, arm.rate / RATE
    for step in range(arm.steps):
        if sampler is None or (arm.mix and step % arm.update_every == 0):
            scores = _scores(random.binomial(arm.samples, expit(theta[: arm.pool])), arm, ids, step)
            sampler = make_sampler(draw, ids, seed, scores if arm.mix else None)
        chosen = sampler.choose(step).problems[:BATCH]
        right = random.binomial(GROUP, expit(theta[chosen]))
        sampler.observe(step, _rewards(step, [ids[problem] for problem in chosen], right))
        deviation = np.sqrt(right / GROUP * (1 - right / GROUP) * GROUP / (GROUP - 1))
        found.varying.append(float((deviation > 0).mean()))
        found.pool_rate.append(float(right.mean() / GROUP))
        scale = rate / BATCH / np.sqrt(max(np.mean(found.varying), 1 / BATCH))
        of_kind = np.bincount(kind[chosen], deviation, level.size)
        theta += rate * world.sharpening * theta + rate * world.drift * random.normal(size=size)
        theta += scale * world.shared * (near @ of_kind)[kind]
        np.add.at(theta, chosen, scale * world.own * deviation)
    found.rates.append(expit(theta[held_out]))
    return found


def _nearness(tasks: int, counts: int) -> Floats:
    """How much one kind's groups move another, (kinds, kinds)."""
    apart = np.abs(np.arange(counts)[:, None] - np.arange(counts))
    return np.kron(np.eye(tasks), np.where(apart == 0, 1.0, np.where(apart == 1, REACH, 0.0)))


def _scores(right: Ints, arm: Arm, ids: list[str], step: int) -> pa.Table:
    """OVS of every problem from so many right responses. Nothing is assumed of how different responses are."""
    tally = Tally(ids)
    tally.add(np.arange(len(ids)), np.full(len(ids), arm.samples), right.astype(float), np.zeros(len(ids)), step)
    return score_table(tally, ScoreSettings.model_validate({"outcome_weight": 1.0, "diversity_weight": 0.0}))


def _rewards(step: int, ids: list[str], right: Ints) -> pa.Table:
    """A step's groups, as a sampler observes them."""
    groups, slots = len(ids), np.arange(len(ids), dtype=np.int32)
    accuracy = (np.arange(GROUP) < right[:, None]).astype(np.float64).ravel()
    names = {"problem_id": np.repeat(np.array(ids), GROUP), "step": np.full(groups * GROUP, step, np.int32)}
    columns = names | {"slot": np.repeat(slots, GROUP), "accuracy": accuracy}
    return pa.table({name: pa.array(columns[name]).cast(REWARDS.field(name).type) for name in REWARDS.names})


# Where the model is held against the trainer: another pool than the study's, and scores that are dear or cheap.
POINTS = {
    "dear": Arm(steps=20, mix=0.5, samples=8, update_every=10, pool=480),
    "cheap": Arm(steps=40, mix=1.0, samples=2, update_every=40, pool=480, rate=2 * RATE),
}
TRAINED_SEEDS = [30, 31, 32]  # neither tuned on nor the study's


def fit() -> World:
    """The world of the study's SFT checkpoint, and how it learns: to the uniform arm of the study's first seed.

    Levels and the spread maximise the likelihood of the held-out verdicts of SFT's end. The four rates are those at
    which simulated uniform draws gain on held-out problems what the arm gains, and have its mean pass rate on training
    problems in the last quarter, its share of varying groups, and its covariance of pass rates before and after.
    """
    from scipy.optimize import minimize

    kept = read_json(STUDY / "frontier.json")["demo"]
    world = replace(_before(kept), shared=0.2, own=5.0, sharpening=0.003, drift=0.02)
    wanted, error = _moments_of_the_study(kept)

    def at(parameters: Floats) -> World:
        return replace(world, **dict(zip(RATES, np.exp(parameters).tolist(), strict=True)))

    def loss(parameters: Floats) -> float:
        return float((((_moments(at(parameters)) - wanted) / error) ** 2).sum())

    start = np.log([getattr(world, name) for name in RATES])
    simplex = np.vstack([start, start + np.eye(len(RATES))])
    options = {"initial_simplex": simplex, "maxfev": 200, "xatol": 0.02, "fatol": 1e-3}
    found = minimize(loss, start, method="Nelder-Mead", options=options)
    print(f"wanted {wanted}, found {_moments(at(found.x))}, off by {found.fun:.2g} squared errors")
    return at(found.x)


def _before(kept: Mapping[str, Any]) -> World:
    """Levels of kinds, believed to be N(0, 3²), and the spread of problems, from right responses to each."""
    from scipy.special import xlog1py, xlogy

    kinds = [tuple(kind) for kind in kept["kinds"]]
    tasks, counts = dict.fromkeys(task for task, _ in kinds), sorted({count for _, count in kinds})
    levels, nodes = np.linspace(-8, 8, 161), np.linspace(-4, 4, 41)
    share = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    right = np.array(kept["right"]["sft"])
    best = (-np.inf, 0.0, np.zeros(0))
    for spread in np.arange(0.2, 3.01, 0.1):
        rate = expit(levels[:, None] + spread * nodes)[None]  # (1, levels, nodes)
        each = np.exp(xlogy(right[:, None, None], rate) + xlog1py(kept["n"] - right[:, None, None], -rate)) @ share
        log = np.array(
            [
                np.log(each[[kind == (task, count) for kind in kinds]]).sum(axis=0) - 0.5 * (levels / 3) ** 2
                for task in tasks
                for count in counts
            ]
        )
        if (total := log.max(axis=1).sum()) > best[0]:
            best = (float(total), float(spread), levels[log.argmax(axis=1)])
    of_tasks = best[2].round(2).reshape(len(tasks), len(counts)).tolist()
    return World(tuple(map(tuple, of_tasks)), round(best[1], 2), 0.0, 0.0, 0.0, 0.0)


def _moments_of_the_study(kept: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """What `fit` asks for, of the uniform arm of the study's first seed, with the standard errors."""
    import pyarrow.parquet as parquet

    items = parquet.read_table(STUDY / "main-seed0.items.parquet")
    steps = parquet.read_table(STUDY / "main-seed0.steps.parquet").to_pylist()
    before, after = np.array(kept["right"]["sft"]) / kept["n"], items["uniform"].to_numpy() / items["n"].to_numpy()
    kinds = [tuple(kind) for kind in kept["kinds"]]
    assert kinds == list(zip(items["task"].to_pylist(), items["count"].to_pylist(), strict=True))
    late = [row["reward_accuracy"] for row in steps if row["arm"] == "uniform"][-20:]
    products = _within(before, kinds) * _within(after, kinds)
    change = after - before
    vary, groups = read_json(STUDY / "main-seed0.json")["arms"]["uniform"]["uniform"]
    share, size = vary / groups, np.sqrt(len(change))
    values = [change.mean(), np.mean(late), share, products.mean()]
    errors = [change.std() / size, np.std(late) / np.sqrt(20), np.sqrt(share * (1 - share) / groups)]
    return np.array(values), np.array([*errors, products.std() / size])


def _moments(world: World) -> Floats:
    """The same of simulated uniform draws, means over seeds."""
    found = [simulate(world, Arm(steps=80), seed) for seed in range(8)]
    kinds = [(int(number),) for number in np.arange(len(found[0].rates[0])) % np.size(world.level)]
    each = [
        (
            one.after - one.before,
            np.mean(one.pool_rate[-20:]),
            np.mean(one.varying),
            (_within(one.rates[0], kinds) * _within(one.rates[1], kinds)).mean(),
        )
        for one in found
    ]
    return np.mean(each, axis=0)


def _within(values: Floats, kinds: Sequence[tuple[Any, ...]]) -> Floats:
    """Values less the mean of their kind."""
    number = np.unique([str(kind) for kind in kinds], return_inverse=True)[1]
    return values - (np.bincount(number, values) / np.bincount(number))[number]


def predict(world: World, arm: Arm, seeds: int = SEEDS) -> dict[str, float]:
    """An arm less uniform draws at equal rollouts: held-out points and the deviation of a seed; shares that vary, %."""
    both = [(simulate(world, arm, seed), simulate(world, arm.at_equal_rollouts(), seed)) for seed in range(seeds)]
    gains = [100 * (one.after - other.after) for one, other in both]
    varying = [[100 * statistics.fmean(one.varying) for one in pair] for pair in both]
    return {
        "cost": round(arm.cost, 3),
        "steps_uniform": arm.at_equal_rollouts().steps,
        "points": round(statistics.fmean(gains), 2),
        "seed_deviation": round(statistics.stdev(gains), 2),
        "gain": round(100 * statistics.fmean(one.after - one.before for one, _ in both), 2),
        "gain_uniform": round(100 * statistics.fmean(one.after - one.before for _, one in both), 2),
        "varying": round(statistics.fmean(one for one, _ in varying), 1),
        "varying_uniform": round(statistics.fmean(other for _, other in varying), 1),
    }


def recipe_of(point: str, sft: Path) -> dict[str, Any]:
    """The recipe of a point: the study's, from its SFT checkpoint, with what the arm says; beside it uniform draws."""
    import yaml

    arm = POINTS[point]
    recipe: dict[str, Any] = yaml.safe_load((ROOT / "config" / "study.yaml").read_text())
    recipe |= {"name": f"pays-{point}", "seeds": TRAINED_SEEDS, "validation": {"every": 1000}}
    recipe["models"]["tiny"]["sft"] = {"checkpoint": str(sft)}
    recipe["data"]["digits"]["problems"] = arm.pool
    recipe["schedule"] |= {"steps": arm.steps, "update_every": arm.update_every}
    recipe["vas"] |= {"samples": arm.samples, "mix": arm.mix, "outcome_weight": 1.0, "diversity_weight": 0.0}
    recipe["grpo"]["learning_rate"] = arm.rate
    steps = arm.at_equal_rollouts().steps
    recipe["runs"] = {"vas": {}, "uniform": {"vas": {"mix": 0}, "schedule": {"steps": steps, "update_every": steps}}}
    return recipe


def measured(point: str) -> dict[str, Any]:
    """What `predict` predicts, as it came out with the seeds that are trained, with 95% intervals.

    Those of points are over problems and, if there are several, seeds; those of shares over steps.
    """
    model = ROOT / "results" / f"pays-{point}" / "tiny"
    done = [
        {path.parts[-3].rpartition("-seed")[2] for path in model.glob(f"eval/{run}-seed*/digits/items.parquet")}
        for run in ("vas", "uniform")
    ]
    seeds = tuple(seed for seed in TRAINED_SEEDS if str(seed) in done[0] & done[1])
    arms = {run: [_trained(model, run, seed) for seed in seeds] for run in ("vas", "uniform")}
    rates = {run: np.array([right for right, _ in of]) for run, of in arms.items()}
    shares = {run: np.concatenate([share for _, share in of]) for run, of in arms.items()}
    values = rates["vas"] - rates["uniform"]
    points = difference({"test": Paired(seeds, values, np.ones(values.shape[1]))})
    varying = {run: difference_of_seeds(of) for run, of in shares.items()}
    before = np.mean(read_json(STUDY / "frontier.json")["demo"]["right"]["sft"]) / GROUP
    found: dict[str, Any] = {
        "points": points.mean,
        "points_ci95": [points.low, points.high],
        "by_seed": values.mean(axis=1).tolist(),
        "gain": float(rates["vas"].mean() - before),
        "gain_uniform": float(rates["uniform"].mean() - before),
    }
    for run, of in varying.items():
        name = "varying" if run == "vas" else "varying_uniform"
        found |= {name: of.mean, f"{name}_ci95": [of.low, of.high]}
    rounded = {name: np.round(100 * np.array(value), 2).tolist() for name, value in found.items()}
    return {"seeds": list(seeds), **rounded}


def _trained(model: Path, run: str, seed: int) -> tuple[Floats, Floats]:
    """A trained arm's pass rate on each held-out problem, and by step its share of groups whose verdicts vary."""
    right, of = Counter(), Counter()  # type: ignore[var-annotated]
    for name, ok in verdicts(model / "eval" / f"{run}-seed{seed}" / "digits" / "items.parquet", "reader"):
        of[name] += 1
        right[name] += ok
    files = sorted((model / run / f"seed{seed}").glob("round*/train_rewards.parquet"))
    groups = groups_of(pa.concat_tables([contracts.read(file, REWARDS) for file in files]))
    passed, n, step = (groups[name].to_numpy() for name in ("right", "n", "step"))
    varying = np.bincount(step, (passed > 0) & (passed < n)) / np.bincount(step)
    return np.array([right[name] / of[name] for name in sorted(of)]), varying


# What is asked of the model over spread and drift: few and many responses for scores, of a pool of 960.
MAPPED = {
    "λ = 1, one pass of 2": Arm(steps=80, mix=1.0, samples=2, update_every=80),
    "λ = 0.5, N = 2": Arm(steps=80, mix=0.5, samples=2),  # `ovs` less `uniform-equal` of the study
    "λ = 0.5, N = 8": Arm(steps=80, mix=0.5, samples=8),
}
SPREADS = {"as it is": 1.0, "twice": 2.0}  # levels, in logits


def mapped(world: World) -> list[dict[str, Any]]:
    """VAS less uniform draws at equal rollouts, in points, over spread, learning rate and what scores cost."""
    rows = []
    for spread, times in SPREADS.items():
        other = replace(world, level=tuple(tuple(times * value for value in task) for task in world.level))
        for rate in (0.5, 1.0, 2.0):
            found = {name: predict(other, replace(arm, rate=rate * RATE), MAP_SEEDS) for name, arm in MAPPED.items()}
            uniform = found["λ = 0.5, N = 2"]["gain_uniform"]
            points = {name: one["points"] for name, one in found.items()}
            rows.append({"spread": spread, "rate": rate, "uniform": uniform, **points})
    return rows


def map_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row per spread and learning rate."""
    heads = [
        "levels",
        "learning rate",
        "uniform gains",
        *(f"{name} (c = {arm.cost:.2g})" for name, arm in MAPPED.items()),
    ]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for row in rows:
        cells = [row["spread"], f"{row['rate'] * RATE:.1e}", f"{row['uniform']:.1f}"]
        lines.append(f"| {' | '.join([*cells, *(f'{row[name]:+.1f}' for name in MAPPED)])} |")
    return "\n".join(lines)


def table(kept: Mapping[str, Any]) -> str:
    """A row per point: what was predicted beside what was measured."""
    heads = ["", "c", "steps", "VAS less uniform: predicted", "measured", "VAS varies, %", "measured"]
    heads += ["uniform varies, %", "measured"]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for point, arm in POINTS.items():
        said, came = kept["predicted"][point], kept["measured"].get(point)
        cells = [point, f"{said['cost']:.2f}", f"{arm.steps}, {said['steps_uniform']}"]
        for name in ("points", "varying", "varying_uniform"):
            sign = "+" if name == "points" else ""
            give = f" ± {said['seed_deviation']:.1f}" if name == "points" else ""
            cells.append(f"{said[name]:{sign}.1f}{give}")
            bounds = came and [f"{bound:{sign}.1f}" for bound in came[f"{name}_ci95"]]
            cells.append(f"{came[name]:{sign}.1f} [{', '.join(bounds)}]" if bounds else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "predict", "recipes", "compare", "map", "show"))
    parser.add_argument("--points", nargs="+", choices=tuple(POINTS), default=tuple(POINTS))
    parser.add_argument(
        "--sft", type=Path, default=ROOT / "results/study/tiny/sft/checkpoint", help="the study's SFT checkpoint"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/vas.md")
    args = parser.parse_args()
    kept: dict[str, Any] = read_json(KEPT) if KEPT.exists() else {}
    if args.what == "recipes":
        for point in args.points:
            write_json(ROOT / "results" / f"pays-{point}.json", recipe_of(point, args.sft))
        return
    if args.what == "fit":
        kept = {"world": asdict(fit()), "predicted": {}, "measured": {}}
    elif args.what == "predict":
        kept["predicted"] |= {point: predict(world_of(kept), POINTS[point]) for point in args.points}
    elif args.what == "compare":
        kept["measured"] |= {point: measured(point) for point in args.points}
    elif args.what == "map":
        kept["map"] = mapped(world_of(kept))
    write_json(KEPT, kept)
    tables = {"when-it-pays: points": table(kept)} if kept["predicted"] else {}
    tables |= {"when-it-pays: map": map_table(kept["map"])} if "map" in kept else {}
    print(*tables.values(), sep="\n\n")
    if args.write:
        write(DOCUMENT, tables)


def world_of(kept: Mapping[str, Any]) -> World:
    """The fitted world, as it is kept."""
    return World(**kept["world"] | {"level": tuple(map(tuple, kept["world"]["level"]))})


if __name__ == "__main__":
    main()
