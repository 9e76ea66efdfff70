"""What a run says of its job in tags: how it is found again, where it belongs, and what its record's hashes are."""

from collections.abc import Iterable

from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking.describe import described
from mmr1.provenance.tracking.record_files import files_digest
from mmr1.provenance.tracking.runs import SHARED, ParentRun, Unfinished

# Names of tags. A run is known by whose it is (the id of a results folder), its kind and its name: that of a parent, or
# the name of a record or an attempt.
FOLDER, KIND, NAME, SUPERSEDED, PARENT = (
    "mmr1.folder", "mmr1.kind", "mmr1.name", "mmr1.superseded", "mlflow.parentRunId",
)  # fmt: skip
CHANGED = "mmr1.changed_inputs"
INTEGRITY, RECORD = "mmr1.integrity", "mmr1.record"
PARENT_RUN, RECORD_RUN, ATTEMPT_RUN, LIVE_RUN = "parent", "record", "attempt", "live"  # kinds
REPORT = "mmr1.report"
# How this version shows a record; what another version showed is shown anew.
FORM, PRESENT_FORM = "mmr1.form", "2"

DESCRIPTION, USER = "mlflow.note.content", "mlflow.user"

Tags = dict[str, str]


def of_folder(id: str) -> str:
    """The name of an experiment's tag that says where the results folder with this id lies."""
    return f"mmr1.results.{id}"


def of_experiment(id: str, place: str) -> Tags:
    """The tags of the experiment: the folder that is shown in it, among others maybe, and what its runs are."""
    return {
        of_folder(id): place,
        "mlflow.experimentKind": "custom_model_development",  # its pages are those of models, not of agents
        DESCRIPTION: "Made from the records of results folders (`records/`). A run named model/run/seed is one RL run "
        "with the curves of all its rounds, and its jobs are nested under it; jobs that runs share (data, SFT, tables) "
        f'are nested under "{SHARED}", which has the report. Each job has its record among its artifacts. Models are '
        "the checkpoints, with their accuracies. Where names end in a user and four digits, several people show "
        "their results here.",
    }


def of_parent(parent: ParentRun, place: str) -> Tags:
    """The tags of a parent run; `place` is where its results lie."""
    commits = [record.execution.git.get("commit") for record in parent.records]
    known = {
        KIND: PARENT_RUN,
        NAME: parent.name,
        USER: parent.records[-1].execution.user if parent.records else parent.unfinished[-1].attempt.user,
        "mmr1.results": place,
        "mlflow.source.name": "Snakefile",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": commits[-1]} if commits and commits[-1] else {}),
    }
    if parent.name == SHARED:
        content = "What the runs have in common: data, base model, SFT, their evaluation, tables; and the report."
        return known | {DESCRIPTION: content}
    model, run, seed = parent.name.split("/")
    content = (
        f"RL of {model} by the recipe's run {run}, {seed}: curves over all rounds; its jobs are nested here. The "
        f'report lies among the artifacts of the run "{SHARED}".'
    )
    return known | {"mmr1.model": model, "mmr1.run": run, "mmr1.seed": seed, DESCRIPTION: content}


def of_record(record: Record, parent_id: str) -> Tags:
    """The tags of a record's run: its code, its environment, where it ran, and its inputs' and outputs' hashes."""
    execution = record.execution
    return {
        KIND: RECORD_RUN,
        NAME: record.name,
        INTEGRITY: record.integrity,
        PARENT: parent_id,
        "mmr1.rule": record.rule,
        "mmr1.wildcards": record.key.wildcards,
        RECORD: record.path.as_posix(),
        USER: execution.user,
        DESCRIPTION: described(record),
        "mmr1.code": str(record.key.code.get("sha256")),
        "mmr1.environment": str(record.execution.environment.get("sha256")),
        "mmr1.host": execution.host,
        "mmr1.dirty": str(execution.git.get("dirty")),
        "mlflow.source.name": f"scripts/{record.key.program}.py",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": execution.git["commit"]} if execution.git.get("commit") else {}),
        **of_changed([record]),
        **{f"mmr1.slurm.{name}": value for name, value in execution.slurm.items()},
        **{f"mmr1.input.{name}": files_digest(files) for name, files in record.key.inputs.items()},
        **{f"mmr1.output.{name}": files_digest(files) for name, files in record.outputs.items()},
    }


def of_changed(records: Iterable[Record]) -> Tags:
    """The files that jobs were told to use though they are not as their makers wrote them; no tag where there are none.

    Parent runs have it too, so that a run with such a job is seen in the list of runs.
    """
    paths = sorted({one.path for record in records for one in record.changed_inputs})
    return {CHANGED: ", ".join(paths)} if paths else {}


def of_unfinished(unfinished: Unfinished, parent_id: str) -> Tags:
    """The tags of an attempt that came to nothing: its command line, and why it ended as its description."""
    attempt = unfinished.attempt
    return {
        KIND: ATTEMPT_RUN,
        NAME: unfinished.digest,
        PARENT: parent_id,
        "mmr1.rule": attempt.rule,
        "mmr1.wildcards": attempt.wildcards,
        "mmr1.host": attempt.host,
        USER: attempt.user,
        "mmr1.argv": " ".join(attempt.argv),
        DESCRIPTION: attempt.error or "killed: its start marker was never closed",
        **{f"mmr1.slurm.{name}": value for name, value in attempt.slurm.items()},
    }
