"""The records and attempts of a results folder, read back: what the report, MLflow and any audit start from."""

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.plumbing.makers import made_again_by, record_files
from mmr1.plumbing.seal import read_record
from mmr1.plumbing.settings import describe

ATTEMPT_SUFFIX = ".attempt.json"


class Part(BaseModel):
    """A piece of a record. What later versions add is kept and passed on, not refused."""

    model_config = ConfigDict(extra="allow")


class File(Part):
    """One file of an input or output: `bytes` is its size."""

    path: str
    sha256: str
    bytes: int


class Key(Part):
    """What was computed; see `mmr1.plumbing.record`."""

    rule: str
    wildcards: str
    program: str
    params: dict[str, Any]
    settings: Any = None
    inputs: dict[str, list[File]]
    code: dict[str, Any]


class Execution(Part):
    """When and where it was computed. Times are UTC; `gpu` lists the GPUs of one of the `nodes`.

    `earlier` lists the attempts that this job went on from: `state`, `start`, `slurm`, and `end` of those that say it.
    """

    start: datetime
    end: datetime
    seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    host: str
    user: str = "unknown"
    pid: int = 0
    cpu: str = ""
    cpus: int = 0
    git: dict[str, Any]
    environment: dict[str, Any] = {}
    lock: dict[str, Any] | None = None
    gpu: list[dict[str, Any]] = []
    nodes: int = 1
    slurm: dict[str, str] = {}
    earlier: list[dict[str, Any]] = []


class Parent(Part):
    """A record that made inputs of this one, and its name (None in old records, of an input that was changed since)."""

    record: str
    name: str | None


class ChangedInput(Part):
    """An input that was not as its maker's record says and that the job was told to use; see `mmr1.plumbing.makers`."""

    path: str
    expected: str | None
    found: str | None
    record: str | None
    problem: str


class Record(Part):
    """One finished job. `path` is where its record lies."""

    path: Path
    name: str
    integrity: str
    key: Key
    outputs: dict[str, list[File]]
    parents: list[Parent]
    changed_inputs: list[ChangedInput] = []
    metrics: dict[str, float | None] = {}
    notes: dict[str, Any] = {}
    execution: Execution

    @property
    def rule(self) -> str:
        """The rule that ran."""
        return self.key.rule

    @property
    def place(self) -> PurePosixPath:
        """What the rule was asked for, such as `tiny/vas/seed0/round1`."""
        return PurePosixPath(self.key.wildcards)


class Attempt(Part):
    """One start of a job: `state` is running, finished or failed. A job that was killed stays at running."""

    rule: str
    wildcards: str
    state: str
    start: datetime
    end: datetime | None = None
    error: str | None = None
    host: str
    user: str = "unknown"
    pid: int
    argv: list[str] = []
    slurm: dict[str, str] = {}

    @property
    def place(self) -> PurePosixPath:
        """What the rule was asked for, such as `tiny/vas/seed0/round1`."""
        return PurePosixPath(self.wildcards)


def read_records(results: str | Path) -> list[Record]:
    """Every record under `results/records`, in the order in which the jobs ended, while others may be written anew.

    Raises UserError if there is none, or naming the file and field of one that is broken.
    """
    root = Path(results) / "records"
    records = [record for path in record_files(root) if (record := _record(path)) is not None]
    if not records:
        raise UserError(f"{root}: expected the records of finished jobs, found none")
    return sorted(records, key=lambda record: (record.execution.end, record.path))


def read_attempts(results: str | Path) -> list[Attempt]:
    """Every start of a job that `results/logs` still knows of, earlier ones of the same job included, oldest first.

    Raises UserError naming the file and field of a broken start marker.
    """
    root = Path(results) / "logs"
    attempts = []
    for path in record_files(root):
        if path.name.endswith(ATTEMPT_SUFFIX):
            rule, *rest = path.relative_to(root).parts
            name = {"rule": rule, "wildcards": "/".join(rest).removesuffix(ATTEMPT_SUFFIX)}
            marker = read_json(path)
            earlier = marker.pop("earlier", []) if isinstance(marker, dict) else []
            attempts += [_checked(Attempt, path, one, name) for one in [*earlier, marker]]
    return sorted(attempts, key=lambda attempt: (attempt.start, attempt.rule, attempt.wildcards))


def locate(path: str, results: str | Path) -> Path | None:
    """Where a file that a record names lies now: as it stands, or under a results folder that was moved; else None."""
    if Path(path).exists():
        return Path(path)
    parts = PurePosixPath(path).parts
    for index, part in enumerate(parts[:-1], 1):
        moved = Path(results).joinpath(*parts[index:])
        if part == Path(results).resolve().name and moved.exists():
            return moved
    return None


def _record(path: Path) -> Record | None:
    """A record; None if it was taken away since it was listed, because its job is being done again.

    Raises UserError for a damaged one, with the command that makes it again: whoever reads all records shows them all.
    """
    try:
        return _checked(Record, path, read_record(path), {"path": path})
    except UserError as error:
        if path.exists():
            raise UserError(f"{error}; make it again: {made_again_by(str(path))}") from None
        return None


def _checked(model: type[Any], path: Path, value: Any, more: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    try:
        return model.model_validate({**value, **more})
    except ValidationError as error:
        raise UserError(f"{path}: {describe(error)}") from None
