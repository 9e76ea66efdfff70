"""The model card of a checkpoint: what it is, how well it does with which intervals, what it was made from and by what.

All of it is read from records and from the scores of its evaluations. The card's metadata is that of the Hugging Face
hub (`huggingface_hub.ModelCardData`), so that accuracies stand in its `model-index`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from mmr1.plugins import load
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, sha256
from mmr1.provenance.audit.archive import Archive, Job
from mmr1.provenance.audit.walk import find_archive, jobs_of, walk

PACKAGE = "the reproducibility package of MMR1 (arXiv 2509.21268)"


@dataclass(frozen=True)
class Result:
    """An accuracy of the checkpoint: on which benchmark, of how many items, by which rule, with its 95% interval."""

    benchmark: str
    items: int
    rule: str
    accuracy: float
    interval: tuple[float, float]
    record: str


@dataclass(frozen=True)
class Made:
    """A checkpoint's folder: its records, its place in the results folder, the job that made it."""

    archive: Archive
    place: str
    maker: Job

    def check(self, found: Mapping[str, str]) -> None:
        """Raises UserError where files, sha256 by path in the folder, are not those that the record tells of."""
        start = f"{self.place}/"
        expected = {
            name.removeprefix(start): sha256 for name, sha256 in self.maker.made.items() if name.startswith(start)
        }
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                record = self.archive.shown(self.maker.path)
                raise UserError(
                    f"{self.place}/{name}: expected {expected.get(name, 'no such file')}, as {record} says, found "
                    f"{found.get(name, 'none')}; make it again: {self.maker.again}"
                )


def made(checkpoint: Path, checkout: Path) -> Made:
    """What a checkpoint is by its record. Raises UserError for a folder that no record tells of."""
    checkpoint = checkpoint.absolute()
    archive = find_archive(checkpoint, checkout)
    place = checkpoint.relative_to(archive.results).as_posix()
    makers = [job for job in jobs_of(archive, checkpoint) if place in job.folders]
    if len(makers) != 1:
        raise UserError(f"{checkpoint}: expected a checkpoint's folder, which one job made, found {len(makers)} makers")
    return Made(archive, place, makers[0])


def model_card(checkpoint: Made) -> str:
    """The card of a checkpoint, as Markdown with metadata. Raises UserError for scores that are not as recorded."""
    archive, maker = checkpoint.archive, checkpoint.maker
    lineage = [*walk(archive, [maker])]
    results = [*evaluations(archive, checkpoint.place)]
    folder = archive.shown(archive.results / checkpoint.place)
    name = f"{archive.results.name} {' '.join(maker.key['wildcards'].split('/'))}"
    sections = (
        f"# {name}",
        f"Made by {PACKAGE}: `{maker.name}`, {maker.end[:10]}. Nothing is known of it beyond the numbers below.",
        "## Accuracy",
        *accuracies(results),
        "## Made from",
        *lines(archive, lineage),
        "## Data and licences",
        *data(lineage),
        "## Check it",
        f"Record `{archive.shown(maker.path)}`, name `{maker.record['name']}`. In the checkout that made it: "
        f"`make audit FILE={folder} ARGS=--full`. The files' hashes are in `SHA256SUMS`.",
    )
    return f"---\n{metadata(name, lineage, results)}\n---\n\n" + "\n\n".join(sections) + "\n"


def evaluations(archive: Archive, place: str) -> Iterator[Result]:
    """The accuracies of a checkpoint, from the scores of the answers that were sampled from it."""
    answered = {
        answers
        for job in archive.jobs.values()
        if any(file.place is not None and file.place.startswith(f"{place}/") for file in job.inputs)
        for answers in job.made
        if answers.endswith("predictions.parquet")
    }
    for job in archive.jobs.values():
        if answered & {file.place for file in job.inputs}:
            for made in job.made:
                if made.endswith("scores.json"):
                    if sha256(archive.results / made) != job.made[made]:
                        raise UserError(
                            f"{made}: not what {archive.shown(job.path)} tells of; make it again: {job.again}"
                        )
                    scores = read_json(archive.results / made)
                    for rule, one in scores["scores"].items():
                        interval = (one["ci95"][0], one["ci95"][1])
                        record = archive.shown(job.path)
                        yield Result(scores["benchmark"], scores["n"], rule, one["accuracy"], interval, record)


def accuracies(results: list[Result]) -> Iterator[str]:
    """The table of accuracies, in per cent."""
    if not results:
        yield "This checkpoint was not evaluated."
        return
    rows = [
        f"| {one.benchmark} | {one.items} | {one.rule} | {100 * one.accuracy:.1f} "
        f"[{100 * one.interval[0]:.1f}, {100 * one.interval[1]:.1f}] | `{one.record}` |"
        for one in results
    ]
    head = (
        "| benchmark | items | rule | accuracy, %, with its 95% interval | record |\n| --- | ---: | --- | --- | --- |"
    )
    yield "\n".join([head, *rows])


def lines(archive: Archive, lineage: list[Job]) -> Iterator[str]:
    """Each job that the checkpoint comes from, with its commit, its lock and its record's name."""
    rows = [
        f"- `{job.name}`: {job.end[:16]}Z, commit {str(job.execution['git'].get('commit'))[:10]}, lock "
        f"{(job.execution.get('lock') or {}).get('name', 'none')}, record name `{job.record['name'][:16]}…`"
        for job in lineage
    ]
    yield "\n".join(rows)


def data(lineage: list[Job]) -> Iterator[str]:
    """Where data and weights come from, under which licences."""
    said = []
    for job in lineage:
        if source := job.record["notes"].get("source"):
            said.append(f"- `{job.name}`: {'@'.join(map(str, source.values()))}; the licence is that of its page.")
        settings = job.key["settings"]
        named = settings.get("source") if isinstance(settings, dict) else None
        if isinstance(named, dict) and "name" in named:
            module = load("data/sources", named["name"])
            said.append(f"- {module.TITLE}: licence {getattr(module, 'LICENCE', 'unknown')}")
    yield "\n".join(said) or "No source is recorded."


def metadata(name: str, lineage: list[Job], results: list[Result]) -> str:
    """The card's metadata, as YAML."""
    bases = [job.record["notes"]["source"] for job in lineage if job.key["rule"] == "download_model"]
    known: dict[str, Any] = {"base_model": [next(iter(one.values())) for one in bases]} if bases else {}
    card = ModelCardData(
        model_name=name,
        license="other",
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        tags=["mmr1", "variance-aware-sampling", "grpo"],
        eval_results=[
            EvalResult(
                task_type="image-text-to-text",
                dataset_type=one.benchmark,
                dataset_name=one.benchmark,
                metric_type="accuracy",
                metric_name=f"accuracy ({one.rule})",
                metric_value=round(100 * one.accuracy, 2),
            )
            for one in results
        ],
        **known,
    )
    return str(card.to_yaml()).strip()
