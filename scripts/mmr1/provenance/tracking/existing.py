"""What earlier exports left in the experiment: found again, deleted if half-written, set aside if superseded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow.entities import Run

from mmr1.provenance.tracking import tags
from mmr1.provenance.tracking.experiment import Experiment


@dataclass
class Existing:
    """Runs in force by their names (tags `mmr1.name`), and MLflow's model ids by the digest of a checkpoint.

    `live` are those that a job has begun, by the name of its start: see `mmr1.plumbing.live`.
    """

    parents: dict[str, Run] = field(default_factory=dict)
    records: dict[str, Run] = field(default_factory=dict)
    attempts: dict[str, Run] = field(default_factory=dict)
    live: dict[str, Run] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


def find_existing(experiment: Experiment, current: Mapping[str, str]) -> Existing:
    """The runs of earlier exports that stay.

    `current` maps the names of the records that there are now to their integrity. A run that an export did not end, or
    that another version of it made, is deleted; that of a record that is there no longer, or was made again, with other
    times, is marked as superseded.
    """
    existing = Existing()
    by_kind = {
        tags.PARENT_RUN: existing.parents,
        tags.RECORD_RUN: existing.records,
        tags.ATTEMPT_RUN: existing.attempts,
    }
    half_written, gone, superseded = [], [], []
    for run in experiment.runs():
        kind, name = run.data.tags.get(tags.KIND), run.data.tags.get(tags.NAME, "")
        if tags.SUPERSEDED in run.data.tags:
            superseded.append(run.info.run_id)
        elif kind == tags.LIVE_RUN:
            existing.live[name] = run
        elif run.info.status == "RUNNING" or run.data.tags.get(tags.FORM) != tags.PRESENT_FORM:
            half_written.append(run.info.run_id)
        elif kind == tags.RECORD_RUN and run.data.tags.get(tags.INTEGRITY) != current.get(name):
            gone.append(run)
        elif kind in by_kind:
            by_kind[kind][name] = run
    _supersede(experiment, existing.parents, gone)
    existing.models = _models(experiment, {*half_written, *superseded, *(run.info.run_id for run in gone)})
    for run_id in half_written:
        experiment.client.delete_run(run_id)
    return existing


def delete_all(experiment: Experiment) -> None:
    """Delete all that exports of these results have made in an experiment."""
    for model in experiment.logged_models():
        experiment.client.delete_logged_model(model.model_id)
    for run in experiment.runs():
        experiment.client.delete_run(run.info.run_id)


def _supersede(experiment: Experiment, parents: dict[str, Run], gone: list[Run]) -> None:
    """Mark the runs of records that are gone, and take out their parents, whose curves hold steps that were done again.

    Parents first: an export that is killed between the two finds the rest by what is still unmarked.
    """
    shrunk = {run.data.tags.get(tags.PARENT) for run in gone}
    stale = {name: run for name, run in parents.items() if run.info.run_id in shrunk}
    for run in [*stale.values(), *gone]:
        experiment.set_tag(run.info.run_id, tags.SUPERSEDED, "true")
    for name in stale:
        del parents[name]


def _models(experiment: Experiment, gone: set[str]) -> dict[str, str]:
    """The models that stay, by digest. Those that runs made which do not stay are deleted: others take their place."""
    models = {}
    for model in experiment.logged_models():
        if model.source_run_id in gone:
            experiment.client.delete_logged_model(model.model_id)
        else:
            models[model.tags.get("sha256", "")] = model.model_id
    return models
