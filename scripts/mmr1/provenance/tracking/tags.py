"""What a run says of its job in tags: how it is found again, where it belongs, and what its record's hashes are."""

from mmr1.provenance.ledger import Record
from mmr1.provenance.tracking.record_files import files_digest
from mmr1.provenance.tracking.runs import SHARED, ParentRun, Unfinished

# Names of tags. A run is known by its kind and its name: that of a parent, or the digest of a record or an attempt.
KIND, NAME, SUPERSEDED, PARENT = "mmr1.kind", "mmr1.name", "mmr1.superseded", "mlflow.parentRunId"
PARENT_RUN, RECORD_RUN, ATTEMPT_RUN = "parent", "record", "attempt"  # kinds

Tags = dict[str, str]


def of_parent(parent: ParentRun) -> Tags:
    """The tags of a parent run."""
    known = {KIND: PARENT_RUN, NAME: parent.name}
    if parent.name == SHARED:
        return known
    return known | dict(zip(("mmr1.model", "mmr1.run", "mmr1.seed"), parent.name.split("/"), strict=True))


def of_record(record: Record, parent_id: str) -> Tags:
    """The tags of a record's run: its code, its environment, where it ran, and its inputs' and outputs' hashes."""
    execution = record.execution
    return {
        KIND: RECORD_RUN,
        NAME: record.digest,
        PARENT: parent_id,
        "mmr1.rule": record.rule,
        "mmr1.wildcards": record.key.wildcards,
        "mmr1.record": record.path.as_posix(),
        "mmr1.code": str(record.key.code.get("sha256")),
        "mmr1.environment": str(record.key.environment.get("sha256")),
        "mmr1.host": execution.host,
        "mmr1.dirty": str(execution.git.get("dirty")),
        "mlflow.source.name": f"scripts/{record.key.program}.py",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": execution.git["commit"]} if execution.git.get("commit") else {}),
        **{f"mmr1.slurm.{name}": value for name, value in execution.slurm.items()},
        **{f"mmr1.input.{name}": files_digest(files) for name, files in record.key.inputs.items()},
        **{f"mmr1.output.{name}": files_digest(files) for name, files in record.outputs.items()},
    }


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
        "mlflow.note.content": attempt.error or "killed: its start marker was never closed",
        **{f"mmr1.slurm.{name}": value for name, value in attempt.slurm.items()},
    }
