"""The records of a results folder, found by the files that their jobs made, wherever the folder lies now."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import NOT_CONTENT
from mmr1.plumbing.folders import digest_file
from mmr1.plumbing.makers import MAKERS, RECORDS, SUFFIX, made_again_by, record_files
from mmr1.plumbing.seal import read_record
from mmr1.provenance.tracking import EXPORTED

LOGS = "logs"
METADATA = "ro-crate-metadata.json"  # of a crate that was unpacked here (mmr1.provenance.crate)
# What a results folder holds besides what jobs make: none of it is read by a job or shown in a result.
OWN = (
    RECORDS,
    LOGS,
    "work",
    "recipe.json",
    "id.json",
    "records.sha256",
    "mlflow.db",
    "mlflow.db.lock",  # of earlier versions
    "mlflow-artifacts",
    "mlflow.lock",
    ".audit.json",
    METADATA,
    "ro-crate",
    "elsewhere.sha256",
)


@dataclass(frozen=True)
class File:
    """A file as a record names it: its place in the results folder (None: outside), the path as it was, its sha256."""

    place: str | None
    path: str
    sha256: str


class Job:
    """A finished job, by its record."""

    def __init__(self, archive: "Archive", path: Path, record: dict[str, Any]) -> None:
        self.archive, self.path, self.record = archive, path, record
        # How the record calls the results folder, which may have been moved since.
        argv = record["execution"]["argv"]
        own = Path(argv[argv.index("--record") + 1]) if "--record" in argv else path
        self.results = next((folder.parent for folder in own.parents if folder.name == RECORDS), archive.results)

    @property
    def key(self) -> dict[str, Any]:
        """What was computed."""
        key: dict[str, Any] = self.record["key"]
        return key

    @property
    def execution(self) -> dict[str, Any]:
        """When, where and with what installed."""
        execution: dict[str, Any] = self.record["execution"]
        return execution

    @property
    def name(self) -> str:
        """`rule wildcards`, as people know a job."""
        return f"{self.key['rule']} {self.key['wildcards']}".strip()

    @property
    def end(self) -> str:
        """When it ended, as ISO 8601 in UTC."""
        return str(self.execution["end"])

    @property
    def again(self) -> str:
        """The command that does this job again, and nothing else."""
        return self.archive.again(self.path)

    @cached_property
    def inputs(self) -> list[File]:
        """The files that it read."""
        return list(self._files(self.key["inputs"]))

    @cached_property
    def outputs(self) -> list[File]:
        """The files that it made."""
        return list(self._files(self.record["outputs"]))

    @cached_property
    def made(self) -> dict[str, str]:
        """The sha256 of the files that it made in the results folder, by place."""
        return {file.place: file.sha256 for file in self.outputs if file.place is not None}

    @cached_property
    def temporary(self) -> list[str]:
        """The places of outputs that may go once other jobs have read them."""
        return [place for path in self.record.get("temporary", []) if (place := self._place(path)) is not None]

    def is_gone_for_good(self, place: str) -> bool:
        """Whether a place lies in an output that may be gone as a whole, and is."""
        gone = [one for one in self.temporary if not (self.archive.results / one).exists()]
        return any(PurePosixPath(place).is_relative_to(one) for one in gone)

    @cached_property
    def folders(self) -> list[str]:
        """The places of the folders that it made, each with its digest file beside it."""
        found = {
            parent.as_posix()
            for place in self.made
            for parent in PurePosixPath(place).parents
            if parent.name and self._is_output(parent)
        }
        return sorted(found)

    def _is_output(self, place: PurePosixPath) -> bool:
        """Whether a folder is an output, and not one that outputs lie in: jobs note down what they made."""
        folder = self.archive.results / place
        return self.archive.note(place.as_posix()).is_file() or digest_file(folder).is_file()

    def _files(self, named: dict[str, list[dict[str, Any]]]) -> Iterator[File]:
        for files in named.values():
            for file in files:
                yield File(self._place(file["path"]), file["path"], file["sha256"])

    def _place(self, path: str) -> str | None:
        for results in (self.results, self.archive.results):
            if Path(path).is_relative_to(results):
                return Path(path).relative_to(results).as_posix()
        return None


class Archive:
    """The records of one results folder; `checkout` is the folder that other paths are seen from."""

    def __init__(self, results: Path, checkout: Path) -> None:
        self.results, self.checkout = results, checkout
        self.jobs: dict[Path, Job] = {}
        self.damaged: dict[Path, str] = {}  # records that cannot be believed, and why
        for path in record_files(results / RECORDS):
            try:
                job = Job(self, path, read_record(path))
                if path != results.joinpath(RECORDS, job.key["rule"], f"{job.key['wildcards']}.json"):
                    raise UserError(
                        f"{path}: expected the record of the job that it is named after, found {job.name}'s"
                    )
                self.jobs[path] = job
            except UserError as error:
                self.damaged[path] = str(error)
            except (KeyError, TypeError, ValueError) as error:
                self.damaged[path] = f"{path}: expected a record: {type(error).__name__} {error}"
        self._makers: dict[str, Job] = {}
        for job in sorted(self.jobs.values(), key=lambda one: one.end):
            self._makers |= dict.fromkeys(job.made, job)

    def maker(self, place: str) -> Job | None:
        """The job that made the file at a place in the results folder; None if no good record tells of it."""
        return self._makers.get(place)

    def noted(self, place: str) -> Path | None:
        """The record that will tell of the file at a place, by the note that its job left; None without a note."""
        for part in (PurePosixPath(place), *PurePosixPath(place).parents):
            note = self.note(part.as_posix())
            if part.name and note.is_file():
                return self.results / RECORDS / note.read_bytes().decode(errors="replace").strip()
        return None

    def note(self, place: str) -> Path:
        """Where a job notes down that it made the file or folder at a place."""
        part = PurePosixPath(place)
        return self.results / RECORDS / MAKERS / part.parent / f"{part.name}{SUFFIX}"

    def makers_under(self, place: str) -> list[Job]:
        """The jobs that made files in a folder of the results folder, in the order in which they ended."""
        jobs = [job for made, job in self._makers.items() if PurePosixPath(made).is_relative_to(place)]
        return sorted(dict.fromkeys(jobs), key=lambda job: job.end)

    def job_of(self, record: str) -> Job | None:
        """The job whose record is named so: as it stands, or in this folder if the results were moved."""
        parts = PurePosixPath(record).parts
        if RECORDS not in parts:
            return None
        inside = parts[len(parts) - 1 - parts[::-1].index(RECORDS) :]
        return self.jobs.get(self.results.joinpath(*inside))

    def unknown_files(self) -> list[Path]:
        """Files of the results folder that no good record tells of, but for those that are no results."""
        return [
            path
            for path in sorted(self.results.rglob("*"))
            if path.is_file()
            and path.name not in NOT_CONTENT
            and (place := path.relative_to(self.results)).parts[0] not in OWN
            and place.as_posix() not in self._makers
            and not self._is_digest_file(place)
        ]

    def again(self, path: Path) -> str:
        """The command that makes a file again and, where MLflow showed the results, shows it there."""
        shown = self.results / EXPORTED
        targets = [path, *([shown] if shown.is_file() else [])]
        return made_again_by(*dict.fromkeys(map(self.shown, targets)))

    def shown(self, path: Path) -> str:
        """A path as seen from the checkout, if it lies there."""
        return (path.relative_to(self.checkout) if path.is_relative_to(self.checkout) else path).as_posix()

    def _is_digest_file(self, place: Path) -> bool:
        folder = place.with_suffix("").as_posix()
        return place.suffix == ".sha256" and any(made.startswith(f"{folder}/") for made in self._makers)
