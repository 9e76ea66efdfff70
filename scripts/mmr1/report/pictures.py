"""Which quantities the report draws, how each is shown, and from which files it is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from mmr1 import plugins
from mmr1.provenance.ledger import Record
from mmr1.report import cost, curves, results, vps_figures
from mmr1.report.curves import Look
from mmr1.report.drawing import Drawing, Palette
from mmr1.report.index import Index, Training
from mmr1.report.spending import Rollouts, rollouts

CURVE_BINS = 5  # of calibration.jsonl
MOST_KINDS = 24  # that get a picture each


@dataclass(frozen=True)
class Curve:
    """A quantity that is drawn by step: where it stands, how it is shown, and what it is."""

    file: str
    key: str
    look: Look
    note: str
    name: str = ""  # of its picture, where its key cannot be one


CURVES = (
    Curve(
        "metrics", "reward_mean", Look("Training reward", "reward"), "mean over rollouts: the weighted sum of rewards"
    ),
    Curve(
        "validation",
        "accuracy",
        Look("Validation accuracy", "accuracy", percent=True, smooth=False),
        "held-out problems, with 95% intervals over problems",
    ),
    Curve("metrics", "gradient_norm", Look("Gradient norm", "norm"), "before clipping"),
    Curve(
        "metrics",
        "zero_variance_share",
        Look("Zero-variance groups", "of groups", percent=True),
        "whose rewards are all equal: they teach nothing",
    ),
    Curve(
        "metrics", "clip_fraction", Look("Clip fraction", "of tokens", percent=True), "tokens whose ratio was clipped"
    ),
    Curve("metrics", "kl", Look("KL to the SFT policy", "nats per token"), "low-variance estimate"),
    Curve("metrics", "response_length_mean", Look("Response length", "tokens"), "mean over rollouts"),
    Curve("metrics", "entropy", Look("Entropy", "nats per token"), "of the policy"),
    Curve(
        "metrics",
        "logprob_difference_mean",
        Look("Engine against trainer", "nats per token"),
        "mean |Δ log-probability| of the same tokens",
    ),
)
CALIBRATION = (
    Curve(
        "calibration",
        "ovs_correlation",
        Look("Predicted and realised", "Pearson's r"),
        "correlation of OVS with the group's variance",
    ),
    Curve(
        "calibration",
        "coverage",
        Look("Coverage", "of problems", percent=True, smooth=False),
        "share of problems seen so far",
    ),
    Curve(
        "calibration",
        "effective_share",
        Look("Effective sample size", "of problems", percent=True, smooth=False, stepped=True),
        "of the weights: (Σw)²/Σw² over all problems; one value a round",
    ),
)


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its name without suffix in the figures folder, title and explanation.

    `drawing` is None where there is nothing to draw, and `text` says why.
    """

    name: str
    drawing: Drawing | None
    title: str
    note: str = ""
    text: str = ""

    @property
    def wide(self) -> bool:
        """Whether it has a panel per run, and takes the whole width."""
        return self.drawing is not None and self.drawing.wide

    @property
    def svg(self) -> Markup:
        """The picture as the page holds it."""
        assert self.drawing is not None  # the template asks
        return self.drawing.inline(self.name, f"{self.title}: {self.note}" if self.note else self.title)


class Sources:
    """What sections are made from: the index, what records say of rollouts, colours and names."""

    def __init__(self, index: Index, records: Sequence[Record]) -> None:
        self.index = index
        self.passes, self.group_sizes = cost.pass_rollouts(records), cost.group_sizes(records)
        runs = list(dict.fromkeys(run for model in index.models() for run in index.runs(model)))
        self.palette = Palette(runs)
        self.labels = {run: index.label(run) for run in runs}

    def trainings(self, model: str, run: str | None = None) -> list[Training]:
        """The trainings of a model, or of one run of it."""
        return [one for one in self.index.trainings if one.model == model and run in (None, one.run)]

    def rollouts(self, training: Training) -> Rollouts | None:
        """What a training sampled; None if that is not known."""
        return rollouts(training, self.passes, self.group_sizes)


def sft_loss(index: Index, model: str, palette: Palette) -> list[Picture]:
    """The loss of the cold start by step, where there was one."""
    drawn = []
    for one in index.sft:
        losses = [(row["step"], row["loss"]) for row in results.jsonl(one.metrics) if row.get("loss") is not None]
        if one.model == model and losses:
            drawing = curves.loss_curve(losses, palette.colour("sft"))
            drawn.append(Picture(f"{model}-sft-loss", drawing, "SFT loss", "cold start; one for all runs"))
    return drawn


def training_curves(index: Index, model: str) -> list[Curve]:
    """The curves of training; behind the reward one for each reward that a run was given."""
    trainings = [training for training in index.trainings if training.model == model]
    keys = dict.fromkeys(key for one in trainings for row in results.rows(one, "metrics") for key in row)
    rewards = [key.removeprefix("reward_") for key in keys if key.startswith("reward_") and key != "reward_mean"]
    first, *others = CURVES
    return [first, *map(_of_reward, rewards), *others]


def _of_reward(name: str) -> Curve:
    # A reward that results have may be gone from the folder.
    title = plugins.load("rewards", name).TITLE if name in plugins.names("rewards") else name
    return Curve("metrics", f"reward_{name}", Look(f"Training reward: {title.lower()}", "reward"), "mean over rollouts")


def drawn_curves(sources: Sources, model: str, wanted: Iterable[Curve]) -> list[Picture]:
    """Each quantity that any run has; in words where it never changes."""
    baseline = next((one.baseline for one in sources.trainings(model) if one.baseline is not None), None)
    drawn = []
    for curve in wanted:
        series = results.series(sources.index, model, curve.file, curve.key)
        name, always = f"{model}-{curve.file}-{curve.name or curve.key}", curves.constant(series)
        if always is not None:
            value = f"{100 * always:g}%" if curve.look.percent else f"{always:.4g}"
            text = f"{value} at every step of every run: nothing to draw."
            drawn.append(Picture(name, None, curve.look.title, curve.note, text))
        elif series:
            drawing = curves.curves(series, sources.palette, sources.labels, curve.look, baseline)
            drawn.append(Picture(name, drawing, curve.look.title, curve.note))
    return drawn


def validation_by_kind(sources: Sources, model: str) -> list[tuple[str, list[Picture]]]:
    """Validation accuracy for each kind of problem that `grpo.validation.by` tells apart: by what, and its pictures.

    What problems are divided by, and the kinds, are words of users' data: pictures are named by their places.
    """
    kinds: dict[str, dict[str, None]] = {}
    for training in sources.trainings(model):
        for row in results.rows(training, "validation"):
            for division, parts in row.get("by", {}).items():
                kinds.setdefault(division, {}).update(dict.fromkeys(parts))
    return [
        (division, drawn_curves(sources, model, [_of_kind(number, division, *kind) for kind in enumerate(values)]))
        for number, (division, values) in enumerate(kinds.items())
        if len(values) <= MOST_KINDS
    ]


def _of_kind(number: int, division: str, place: int, value: str) -> Curve:
    look = Look(f"{division}: {value}", "accuracy", percent=True, smooth=False)
    return Curve("validation", f"by.{division}.{value}", look, "", f"by-{number}-{place}")


def first_seeds(index: Index, model: str) -> list[Training]:
    """The first training of each run of a model."""
    first: dict[str, Training] = {}
    for training in index.trainings:
        if training.model == model:
            first.setdefault(training.run, training)
    return list(first.values())


def vps(training: Training, palette: Palette) -> tuple[list[Picture], list[Picture]] | None:
    """A run's histograms and transition matrices; None for a run without scores."""
    scores = results.round_scores(training)
    if not scores:
        return None
    edges = results.vps_edges(scores)
    top, name = vps_figures.histogram_top(scores, edges), f"{training.model}-{training.run}-vps"
    histograms = [
        Picture(
            f"{name}-round{one.round}",
            vps_figures.vps_histogram(one, edges, palette.colour(training.run), top),
            f"VPS in round {one.round}",
        )
        for one in scores
    ]
    transitions = [
        Picture(
            f"{name}-transition{before.round}-{after.round}",
            vps_figures.vps_transition(before, after, edges),
            f"VPS from round {before.round} to round {after.round}",
        )
        for before, after in pairwise(scores)
    ]
    return histograms, transitions


def calibration(sources: Sources, model: str) -> list[Picture]:
    """Whether the scores promised what training found."""
    index, drawn = sources.index, []
    bins = {training.run: _curve_points(training) for training in first_seeds(index, model)}
    bins = {run: values for run, values in bins.items() if len(values)}
    if bins:
        drawing = vps_figures.calibration_curve(bins, sources.palette, sources.labels)
        note = "groups by predicted OVS, all steps of the first seed; larger dots hold more groups"
        drawn.append(Picture(f"{model}-calibration-curve", drawing, "Calibration of OVS", note))
    drawn += drawn_curves(sources, model, CALIBRATION)
    weighted, uniform = (
        results.series(index, model, "calibration", f"zero_variance_{half}") for half in ("weighted", "uniform")
    )
    if weighted and uniform:
        drawing = curves.two_halves(weighted, uniform, sources.palette, sources.labels)
        note = "share in the weighted and in the uniform part of the batch"
        drawn.append(Picture(f"{model}-calibration-halves", drawing, "Zero-variance groups by draw", note))
    return drawn


def _curve_points(training: Training) -> np.ndarray:
    """Float [bins, 3]: predicted OVS, realised variance and groups, over all steps, of the bins that hold groups."""
    sums = np.zeros((CURVE_BINS, 3))
    for row in results.rows(training, "calibration"):
        for number in range(CURVE_BINS):
            groups = row.get(f"curve_{number}_groups") or 0
            if groups:
                pair = row[f"curve_{number}_predicted"], row[f"curve_{number}_realised"]
                sums[number] += np.array([*pair, 1.0]) * groups
    sums = sums[sums[:, 2] > 0]
    return np.column_stack([sums[:, :2] / sums[:, 2:], sums[:, 2]])
