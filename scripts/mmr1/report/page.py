"""The report: one HTML file that holds its pictures and asks the network for nothing."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from mmr1.plumbing.makers import Changed
from mmr1.provenance.ledger import Record
from mmr1.report import cost, curves, data, pictures, results
from mmr1.report.accuracy import mean_of
from mmr1.report.answer import Answer, answers, compared
from mmr1.report.bootstrap import Difference
from mmr1.report.breakdown import Breakdown, breakdowns
from mmr1.report.curves import Look
from mmr1.report.drawing import Drawing, in_page
from mmr1.report.index import BEFORE_RL, Index, Training
from mmr1.report.payoff import Payoff, payoff
from mmr1.report.pictures import Picture, Sources
from mmr1.report.results import Accuracy, Series
from mmr1.report.rollouts_figure import accuracy_by_rollouts, unit_of_rollouts
from mmr1.report.samples import Sample, samples

TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Row:
    """One subject of the headline table: an accuracy per benchmark, their mean, and its paired difference to another.

    `official` are the same accuracies by each benchmark's own procedure, `seeds` is None before RL. `against` names the
    subject it is compared with; both are None for the one that others are compared with.
    """

    label: str
    colour: str
    seeds: int | None
    cells: tuple[Accuracy | None, ...]
    official: tuple[Accuracy | None, ...]
    mean: Accuracy | None
    against: str | None = None
    difference: Difference | None = None


@dataclass(frozen=True)
class Answered:
    """A trained run in the answer's table: what is known of it, its accuracy, and names as the page shows them."""

    answer: Answer
    label: str
    baseline: str | None
    colour: str
    accuracy: Accuracy | None


@dataclass
class ModelSection:
    """What the report says of one model."""

    name: str
    label: str
    rows: list[Row]
    answered: list[Answered] = field(default_factory=list)
    lead: Answered | None = None  # the run that the first line is about
    breakdowns: list[Breakdown] = field(default_factory=list)
    answer_pictures: list[Picture] = field(default_factory=list)
    payoffs: list[tuple[str, str | None, Payoff]] = field(default_factory=list)
    curves: list[Picture] = field(default_factory=list)
    by_kind: list[tuple[str, list[Picture]]] = field(default_factory=list)
    vps: list[tuple[str, list[Picture], list[Picture]]] = field(default_factory=list)
    calibration: list[Picture] = field(default_factory=list)
    samples: list[tuple[str, list[Sample]]] = field(default_factory=list)

    @property
    def trained_without_baseline(self) -> bool:
        """Whether there are runs, and none with uniform draws to compare them with."""
        return bool(self.answered) and all(one.answer.weighted and one.baseline is None for one in self.answered)

    @property
    def scale(self) -> float:
        """The largest bound of an interval of a difference, for a common axis."""
        found = [row.difference for row in self.rows] + [one.answer.difference for one in self.answered]
        return max((max(abs(one.low), abs(one.high)) for one in found if one is not None), default=0.0) or 1.0

    def pictures(self) -> list[Picture]:
        """Every figure of the section."""
        shown = [picture for _, histograms, transitions in self.vps for picture in (*histograms, *transitions)]
        by_kind = [picture for _, drawn in self.by_kind for picture in drawn]
        return [*self.answer_pictures, *self.curves, *by_kind, *shown, *self.calibration]


def build(index: Index, records: Sequence[Record], changed: Sequence[Changed] = ()) -> tuple[str, dict[str, Drawing]]:
    """The page as HTML, and its figures by name. The same files make the same page.

    `changed` are the files of the report itself that are not as their makers wrote them.
    """
    sources = Sources(index, records)
    sections = [_section(sources, model) for model in index.models()]
    stages = cost.by_stage(records)
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(TEMPLATE.read_text())
    html = template.render(
        index=index,
        sections=sections,
        benchmarks=[index.label(name) for name in index.benchmarks],
        comparisons=sum(one.answer.difference is not None for section in sections for one in section.answered),
        tables=[_fragment(path) for path in index.tables],
        data=data.section(index.data),
        changed=_changed(records, changed),
        sizes=_sizes(index, records),
        total=cost.total(stages),
        passes=[(_pass_label(index, one.run), one) for one in cost.vps_passes(records)],
        provenance=_provenance(records),
        percent=lambda value, digits=1: f"{100 * value:.{digits}f}",
        points=points,
        count=count,
        duration=duration,
    )
    drawn = [picture for section in sections for picture in section.pictures()]
    return html, {picture.name: picture.drawing for picture in drawn if picture.drawing is not None}


def duration(seconds: float) -> str:
    """Seconds as people say them: `8.2 s`, `3 min 20 s`, `5 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def points(share: float) -> str:
    """A difference of shares in percentage points, with its sign: `+1.2`, `−0.3`, `0.0`."""
    text = f"{100 * share:.1f}"
    if float(text) == 0:
        return "0.0"
    return f"+{text}" if share > 0 else f"−{text.removeprefix('-')}"


def count(number: float) -> str:
    """A number of things, as in 12,345."""
    return f"{number:,.0f}"


def _sizes(index: Index, records: Sequence[Record]) -> list[tuple[str, list[cost.StageCost]]]:
    """The cost by stage: of what all models share, then of each model; one list where there is one model."""
    if len(index.models()) == 1:
        return [("", cost.by_stage(records))]
    of_models = {model: [one for one in records if one.place.parts[:1] == (model,)] for model in index.models()}
    own = {one.name for records_of in of_models.values() for one in records_of}
    shared = [one for one in records if one.name not in own]
    groups = [("shared by all models", shared), *((index.label(model), of) for model, of in of_models.items())]
    return [(name, cost.by_stage(of)) for name, of in groups if of]


def _section(sources: Sources, model: str) -> ModelSection:
    index, labels = sources.index, sources.labels
    answered = [
        Answered(
            answer=one,
            label=labels[one.run],
            baseline=None if one.baseline is None else labels[one.baseline],
            colour=sources.palette.colour(one.run),
            accuracy=_mean(_cells(index, model, one.run, index.accuracy)),
        )
        for one in answers(index, model, sources.passes, sources.group_sizes)
    ]
    section = ModelSection(model, index.label(model), _headline(sources, model, [one.answer for one in answered]))
    section.answered = answered
    section.lead = _lead(answered)
    section.breakdowns = breakdowns(index, model)
    section.answer_pictures = _answer_pictures(sources, model, answered)
    section.payoffs = _payoffs(sources, model)
    section.curves = pictures.sft_loss(index, model, sources.palette) + pictures.drawn_curves(
        sources, model, pictures.training_curves(index, model)
    )
    section.by_kind = pictures.validation_by_kind(sources, model)
    for training in pictures.first_seeds(index, model):
        drawn = pictures.vps(training, sources.palette)
        if drawn is not None:
            section.vps.append((f"{labels[training.run]}, seed {training.seed}", *drawn))
    section.calibration = pictures.calibration(sources, model)
    for benchmark in index.benchmarks:
        chosen = samples(index, model, benchmark)
        if chosen:
            section.samples.append((index.label(benchmark), chosen))
    return section


def _lead(answered: Sequence[Answered]) -> Answered | None:
    """The run that the first line is about: the first that draws by score, else the first that has a baseline."""
    others = [one for one in answered if one.baseline is not None]
    return next((one for one in others if one.answer.weighted), next(iter(others), None))


def _headline(sources: Sources, model: str, found: Sequence[Answer]) -> list[Row]:
    """Every subject that was evaluated, each beside the run with uniform draws, or SFT where there is none."""
    index = sources.index
    own = {one.run: (one.baseline, one.difference) for one in found if one.baseline is not None}
    uniform = next((baseline for baseline, _ in own.values()), None)
    rows = []
    for subject in (*BEFORE_RL, *index.runs(model)):
        cells = _cells(index, model, subject, index.accuracy)
        if not any(cell is not None for cell in cells):
            continue
        if subject in own:
            against, difference = own[subject]
        else:
            against = uniform or "sft"
            difference = None if against == subject else compared(index, model, subject, against)
        rows.append(
            Row(
                label=index.label(subject),
                colour=in_page(sources.palette.colour(subject)),
                seeds=None if subject in BEFORE_RL else max(cell.seeds for cell in cells if cell is not None),
                cells=cells,
                official=_cells(index, model, subject, "official"),
                mean=_mean(cells),
                against=None if difference is None else index.label(against),
                difference=difference,
            )
        )
    return rows


def _cells(index: Index, model: str, subject: str, score: str) -> tuple[Accuracy | None, ...]:
    """A subject's accuracies by one score, in the benchmarks' order."""
    return tuple(results.accuracy(index, model, subject, name, score) for name in index.benchmarks)


def _mean(cells: Sequence[Accuracy | None]) -> Accuracy | None:
    """The mean over benchmarks; None if one is missing, because it could not be compared."""
    present = [cell for cell in cells if cell is not None]
    return mean_of(present) if present and len(present) == len(cells) else None


def _answer_pictures(sources: Sources, model: str, answered: Sequence[Answered]) -> list[Picture]:
    """Accuracy against rollouts: of the last checkpoints, and on the validation problems during training."""
    drawn = []
    final = {
        one.answer.run: (one.answer.rollouts, one.accuracy)
        for one in answered
        if one.accuracy is not None and one.answer.rollouts is not None
    }
    title, note = "Accuracy against rollouts spent", "last checkpoints, with 95% intervals; means over seeds"
    if final:
        drawing = accuracy_by_rollouts(final, sources.palette, sources.labels)
        drawn.append(Picture(f"{model}-accuracy-rollouts", drawing, title, note))
    series = [one for training in sources.trainings(model) for one in _by_rollouts(sources, training)]
    if series and curves.constant(series) is None:
        unit, xlabel = unit_of_rollouts([one.steps.max() for one in series])
        series = [replace(one, steps=one.steps / unit) for one in series]
        look = Look("Validation accuracy by rollouts", "accuracy", True, False, xlabel=xlabel)
        baseline = next((one.answer.baseline for one in answered if one.answer.baseline), None)
        drawing = curves.curves(series, sources.palette, sources.labels, look, baseline)
        drawn.append(Picture(f"{model}-validation-rollouts", drawing, look.title, "with 95% intervals over problems"))
    return drawn


def _by_rollouts(sources: Sources, training: Training) -> list[Series]:
    """A training's validation accuracy by rollouts spent until then, in place of steps."""
    spent = sources.rollouts(training)
    found = results.series_of([training], "validation", "accuracy")
    if spent is None or not found:
        return []
    known = [step in spent.by_step for step in found[0].steps.tolist()]
    steps = np.array([spent.by_step[step] for step in found[0].steps[known].tolist()])
    return [replace(found[0], steps=steps, values=found[0].values[known], round_starts=())]


def _payoffs(sources: Sources, model: str) -> list[tuple[str, str | None, Payoff]]:
    """For each run that prefers some problems: its name, its baseline's, and what its scores cost and bought."""
    found = []
    for run in dict.fromkeys(one.run for one in sources.trainings(model)):
        of_run = sources.trainings(model, run)
        baseline = of_run[0].baseline
        others = sources.trainings(model, baseline) if baseline is not None else []
        one = payoff(of_run, others, sources.passes, sources.group_sizes)
        if one is not None:
            found.append((sources.labels[run], sources.labels.get(baseline or ""), one))
    return found


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
