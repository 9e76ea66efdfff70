"""What a run says of its job in tags: how it is found again, where it belongs, and what its record's hashes are."""

from collections.abc import Iterable
from pathlib import Path

from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking.record_files import files_digest
from mmr1.provenance.tracking.runs import SHARED, ParentRun, Unfinished

# Names of tags. A run is known by its kind and its name: that of a parent, or the name of a record or an attempt.
KIND, NAME, SUPERSEDED, PARENT = "mmr1.kind", "mmr1.name", "mmr1.superseded", "mlflow.parentRunId"
CHANGED = "mmr1.changed_inputs"
INTEGRITY, RECORD = "mmr1.integrity", "mmr1.record"
PARENT_RUN, RECORD_RUN, ATTEMPT_RUN = "parent", "record", "attempt"  # kinds

DESCRIPTION = "mlflow.note.content"

Tags = dict[str, str]


def of_experiment(results: Path) -> Tags:
    """The tags of the experiment: the folder it shows, and what its runs are."""
    return {
        "mmr1.results": results.as_posix(),
        DESCRIPTION: f"Made from the records under {results.as_posix()}/records. A run named model/run/seed is one RL "
        "run with the curves of all its rounds, and its jobs are nested under it; jobs that runs share (data, SFT, "
        f'tables) are nested under "{SHARED}". Each job has its record among its artifacts.',
    }


def of_parent(parent: ParentRun) -> Tags:
    """The tags of a parent run."""
    known = {KIND: PARENT_RUN, NAME: parent.name}
    if parent.name == SHARED:
        return known | {DESCRIPTION: "What the runs have in common: data, base model, SFT, their evaluation, tables."}
    model, run, seed = parent.name.split("/")
    described = f"RL of {model} by the recipe's run {run}, {seed}: curves over all rounds; its jobs are nested here."
    return known | {"mmr1.model": model, "mmr1.run": run, "mmr1.seed": seed, DESCRIPTION: described}


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
        "mmr1.argv": " ".join(attempt.argv),
        DESCRIPTION: attempt.error or "killed: its start marker was never closed",
        **{f"mmr1.slurm.{name}": value for name, value in attempt.slurm.items()},
    }
