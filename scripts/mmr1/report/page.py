"""The report: one HTML file that holds its pictures and asks the network for nothing."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from mmr1 import plugins
from mmr1.plumbing.makers import Changed
from mmr1.provenance.ledger import Record
from mmr1.report import cost, figures, results
from mmr1.report.figures import Palette
from mmr1.report.index import Index, Training
from mmr1.report.results import Accuracy
from mmr1.report.samples import Sample, data_uri, samples

TEMPLATE = Path(__file__).with_name("page.html")
CURVE_BINS = 5  # of calibration.jsonl


@dataclass(frozen=True)
class Curve:
    """A quantity that is drawn by step: where it stands, and how it is shown."""

    file: str
    key: str
    title: str
    note: str
    percent: bool = False
    smooth: bool = True


CURVES = (
    Curve("metrics", "reward_mean", "Training reward", "mean over rollouts: the weighted sum of all rewards"),
    Curve("validation", "accuracy", "Validation accuracy", "held-out problems", percent=True, smooth=False),
    Curve("metrics", "gradient_norm", "Gradient norm", "before clipping"),
    Curve("metrics", "zero_variance_share", "Zero-variance groups", "groups that teach nothing", percent=True),
    Curve("metrics", "clip_fraction", "Clip fraction", "tokens whose ratio was clipped", percent=True),
    Curve("metrics", "kl", "KL to the SFT policy", "low-variance estimate, per token"),
    Curve("metrics", "response_length_mean", "Response length", "tokens, mean"),
    Curve("metrics", "entropy", "Entropy", "of the policy, per token"),
    Curve("metrics", "logprob_difference_mean", "Engine against trainer", "mean |Δ log-probability| per token"),
)
CALIBRATION = (
    Curve("calibration", "ovs_correlation", "Predicted and realised", "correlation of OVS with the group's variance"),
    Curve("calibration", "coverage", "Coverage", "share of problems seen so far", percent=True, smooth=False),
    Curve("calibration", "effective_share", "Effective sample size", "of the weights, over all problems", percent=True),
)


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its name without suffix in the figures folder, its PNG bytes, title and explanation."""

    name: str
    png: bytes
    title: str
    note: str = ""

    @property
    def uri(self) -> str:
        """The picture as the page holds it."""
        return data_uri(self.png)


@dataclass(frozen=True)
class Row:
    """One subject of the headline table: an accuracy per benchmark, their mean, and that mean less SFT's.

    `official` are the same accuracies by each benchmark's own procedure.
    """

    label: str
    colour: str
    cells: tuple[Accuracy | None, ...]
    official: tuple[Accuracy | None, ...]
    mean: float | None
    gain: float | None


@dataclass
class ModelSection:
    """What the report says of one model."""

    name: str
    label: str
    rows: list[Row]
    curves: list[Picture] = field(default_factory=list)
    vps: list[tuple[str, list[Picture], list[Picture]]] = field(default_factory=list)
    calibration: list[Picture] = field(default_factory=list)
    samples: list[tuple[str, list[Sample]]] = field(default_factory=list)

    def pictures(self) -> list[Picture]:
        """Every figure of the section."""
        shown = [picture for _, histograms, transitions in self.vps for picture in (*histograms, *transitions)]
        return [*self.curves, *shown, *self.calibration]


def build(index: Index, records: Sequence[Record], changed: Sequence[Changed] = ()) -> tuple[str, dict[str, bytes]]:
    """The page as HTML, and its figures as PNG bytes by name. The same files make the same page.

    `changed` are the files of the report itself that are not as their makers wrote them.
    """
    runs = list(dict.fromkeys(run for model in index.models() for run in index.runs(model)))
    palette = Palette(runs)
    sections = [_section(index, model, palette) for model in index.models()]
    stages = cost.by_stage(records)
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(TEMPLATE.read_text())
    html = template.render(
        index=index,
        sections=sections,
        benchmarks=[index.label(name) for name in index.benchmarks],
        tables=[_fragment(path) for path in index.tables],
        changed=_changed(records, changed),
        stages=stages,
        total=cost.total(stages),
        passes=[(_pass_label(index, one.run), one) for one in cost.vps_passes(records)],
        provenance=_provenance(records),
        percent=lambda value, digits=1: f"{100 * value:.{digits}f}",
        duration=duration,
    )
    return html, {picture.name: picture.png for section in sections for picture in section.pictures()}


def duration(seconds: float) -> str:
    """Seconds as people say them: `8.2 s`, `3 min 20 s`, `5 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def _section(index: Index, model: str, palette: Palette) -> ModelSection:
    section = ModelSection(model, index.label(model), _headline(index, model, palette))
    labels = {run: index.label(run) for run in palette.places}
    section.curves = _sft_loss(index, model, palette) + _curves(
        index, model, _of_training(index, model), palette, labels
    )
    for training in _first_seeds(index, model):
        drawn = _vps(training, palette)
        if drawn is not None:
            section.vps.append((f"{labels[training.run]}, seed {training.seed}", *drawn))
    section.calibration = _calibration(index, model, palette, labels)
    for benchmark in index.benchmarks:
        chosen = samples(index, model, benchmark)
        if chosen:
            section.samples.append((index.label(benchmark), chosen))
    return section


def _headline(index: Index, model: str, palette: Palette) -> list[Row]:
    accuracies = {}
    for subject in ("base", "sft", *index.runs(model)):
        cells = _cells(index, model, subject, index.accuracy)
        if any(cell is not None for cell in cells):
            accuracies[subject] = cells
    means = {subject: _mean(cells) for subject, cells in accuracies.items()}
    start = means.get("sft")
    rows = []
    for subject, cells in accuracies.items():
        mean = means[subject]
        compared = subject not in ("base", "sft") and mean is not None and start is not None
        gain = mean - start if compared and mean is not None and start is not None else None
        official = _cells(index, model, subject, "official")
        rows.append(Row(index.label(subject), palette.colour(subject), cells, official, mean, gain))
    return rows


def _cells(index: Index, model: str, subject: str, score: str) -> tuple[Accuracy | None, ...]:
    """A subject's accuracies by one score, in the benchmarks' order."""
    return tuple(results.accuracy(index, model, subject, name, score) for name in index.benchmarks)


def _mean(cells: Sequence[Accuracy | None]) -> float | None:
    """The mean over benchmarks; None if one is missing, because it could not be compared."""
    present = [cell.mean for cell in cells if cell is not None]
    return float(np.mean(present)) if len(present) == len(cells) else None


def _sft_loss(index: Index, model: str, palette: Palette) -> list[Picture]:
    drawn = []
    for one in index.sft:
        points = [(row["step"], row["loss"]) for row in results.jsonl(one.metrics) if row.get("loss") is not None]
        if one.model == model and points:
            steps, losses = zip(*points, strict=True)
            png = figures.loss_curve(steps, losses, palette.colour("sft"))
            drawn.append(Picture(f"{model}-sft-loss", png, "SFT loss", "cold start"))
    return drawn


def _of_training(index: Index, model: str) -> list[Curve]:
    """The curves of training; behind the reward one for each reward that a run was given."""
    trainings = [training for training in index.trainings if training.model == model]
    keys = dict.fromkeys(key for one in trainings for row in results.rows(one, "metrics") for key in row)
    rewards = [key.removeprefix("reward_") for key in keys if key.startswith("reward_") and key != "reward_mean"]
    first, *others = CURVES
    return [first, *map(_of_reward, rewards), *others]


def _of_reward(name: str) -> Curve:
    # A reward that results have may be gone from the folder.
    title = plugins.load("rewards", name).TITLE if name in plugins.names("rewards") else name
    return Curve("metrics", f"reward_{name}", f"Training reward: {title.lower()}", "mean over rollouts")


def _curves(
    index: Index, model: str, wanted: Sequence[Curve], palette: Palette, labels: dict[str, str]
) -> list[Picture]:
    drawn = []
    for curve in wanted:
        series = results.series(index, model, curve.file, curve.key)
        if series:
            png = figures.curves(series, palette, labels, curve.percent, curve.smooth)
            drawn.append(Picture(f"{model}-{curve.file}-{curve.key}", png, curve.title, curve.note))
    return drawn


def _first_seeds(index: Index, model: str) -> list[Training]:
    first: dict[str, Training] = {}
    for training in index.trainings:
        if training.model == model:
            first.setdefault(training.run, training)
    return list(first.values())


def _vps(training: Training, palette: Palette) -> tuple[list[Picture], list[Picture]] | None:
    """A run's histograms and transition matrices; None for a run without scores."""
    scores = results.round_scores(training)
    if not scores:
        return None
    edges = results.vps_edges(scores)
    top, name = figures.histogram_top(scores, edges), f"{training.model}-{training.run}-vps"
    histograms = [
        Picture(
            f"{name}-round{one.round}",
            figures.vps_histogram(one, edges, palette.colour(training.run), top),
            f"VPS in round {one.round}",
        )
        for one in scores
    ]
    transitions = [
        Picture(
            f"{name}-transition{before.round}-{after.round}",
            figures.vps_transition(before, after, edges),
            f"VPS from round {before.round} to round {after.round}",
        )
        for before, after in pairwise(scores)
    ]
    return histograms, transitions


def _calibration(index: Index, model: str, palette: Palette, labels: dict[str, str]) -> list[Picture]:
    drawn = []
    points = {training.run: _curve_points(training) for training in _first_seeds(index, model)}
    points = {run: values for run, values in points.items() if len(values)}
    if points:
        png = figures.calibration_curve(points, palette, labels)
        note = "groups by predicted OVS, all steps of the first seed; larger dots hold more groups"
        drawn.append(Picture(f"{model}-calibration-curve", png, "Calibration of OVS", note))
    drawn += _curves(index, model, CALIBRATION, palette, labels)
    weighted, uniform = (
        results.series(index, model, "calibration", f"zero_variance_{half}") for half in ("weighted", "uniform")
    )
    if weighted or uniform:
        png = figures.two_halves(weighted, uniform, palette, labels)
        note = "share in the weighted and in the uniform part of the batch"
        drawn.append(Picture(f"{model}-calibration-halves", png, "Zero-variance groups by part", note))
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


def _fragment(path: Path) -> Markup:
    """A table that another job made; of a whole page only its body."""
    text = path.read_text()
    body = re.search(r"<body[^>]*>(.*)</body>", text, re.DOTALL | re.IGNORECASE)
    return Markup(body.group(1) if body else text)


def _pass_label(index: Index, place: str) -> str:
    model, run, seed = place.split("/")
    return f"{index.label(model)}, {index.label(run)}, {seed.replace('seed', 'seed ')}"


def _changed(records: Sequence[Record], of_report: Sequence[Changed]) -> list[tuple[str, Sequence[Any]]]:
    """The jobs that were told to use files that are not as they were made, with these; the report's own first."""
    jobs: list[tuple[str, Sequence[Any]]] = [("this report", of_report)]
    jobs += [(f"{record.rule} {record.place}", record.changed_inputs) for record in records]
    return [(job, inputs) for job, inputs in jobs if inputs]


def _provenance(records: Sequence[Record]) -> dict[str, Any]:
    commits = Counter(str(record.execution.git.get("commit")) for record in records)
    environments = Counter(
        (str(record.execution.environment.get("sha256")), str(record.execution.environment.get("python")))
        for record in records
    )
    return {
        "commits": commits.most_common(),
        "dirty": sum(record.execution.git.get("dirty") is not None for record in records),
        "environments": environments.most_common(),
        "hosts": Counter(record.execution.host for record in records).most_common(),
        "gpus": sorted({str(gpu.get("name")) for record in records for gpu in record.execution.gpu}),
        "jobs": len(records),
        "start": min(record.execution.start for record in records).strftime("%Y-%m-%d %H:%M"),
        "end": max(record.execution.end for record in records).strftime("%Y-%m-%d %H:%M"),
    }
