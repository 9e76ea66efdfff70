"""What earlier exports left in the experiment: found again, deleted if half-written, set aside if superseded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow.entities import Run

from mmr1.provenance.tracking import tags
from mmr1.provenance.tracking.experiment import Experiment


@dataclass
class Existing:
    """Runs in force by their names (tags `mmr1.name`), and MLflow's model ids by the digest of a checkpoint."""

    parents: dict[str, Run] = field(default_factory=dict)
    records: dict[str, Run] = field(default_factory=dict)
    attempts: dict[str, Run] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


def find_existing(experiment: Experiment, current: Mapping[str, str]) -> Existing:
    """The runs of earlier exports that stay.

    `current` maps the names of the records that there are now to their integrity. A run that an export did not end is
    deleted; that of a record that is there no longer, or was made again, with other times, is marked as superseded.
    """
    existing = Existing()
    by_kind = {
        tags.PARENT_RUN: existing.parents,
        tags.RECORD_RUN: existing.records,
        tags.ATTEMPT_RUN: existing.attempts,
    }
    half_written, gone = [], []
    for run in experiment.runs():
        kind, name = run.data.tags.get(tags.KIND), run.data.tags.get(tags.NAME, "")
        if tags.SUPERSEDED in run.data.tags:
            continue
        if run.info.status == "RUNNING":
            half_written.append(run.info.run_id)
        elif kind == tags.RECORD_RUN and run.data.tags.get(tags.INTEGRITY) != current.get(name):
            gone.append(run)
        elif kind in by_kind:
            by_kind[kind][name] = run
    _supersede(experiment, existing.parents, gone)
    existing.models = _delete(half_written, experiment)
    return existing


def delete_all(experiment: Experiment) -> None:
    """Delete all that exports have made in an experiment."""
    own = [run.info.run_id for run in experiment.runs() if tags.KIND in run.data.tags]
    _delete(own, experiment)


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


def _delete(half_written: list[str], experiment: Experiment) -> dict[str, str]:
    """Delete half-written runs after the models that they made; returns the models that stay, by digest."""
    models = {}
    for model in experiment.logged_models():
        if model.source_run_id in half_written:
            experiment.client.delete_logged_model(model.model_id)
        else:
            models[model.tags.get("sha256", "")] = model.model_id
    for run_id in half_written:
        experiment.client.delete_run(run_id)
    return models
