"""The files of a record: which are shown as artifacts, which make up a checkpoint, and one digest for several."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from mmr1.plumbing.files import digest, sha256
from mmr1.provenance.ledger import File, Record, locate

# Copied into MLflow whole, so that its pages show them. Anything else is logged by reference and hash.
ARTIFACT_SUFFIXES = {".csv", ".html", ".json", ".jsonl", ".md", ".png", ".svg", ".tex", ".yaml"}
ARTIFACT_BYTES = 20_000_000
REPORT_RULE, REPORT_FOLDER = "make_report", "report"


def artifact_files(record: Record, results: Path) -> Iterator[tuple[str, Path]]:
    """The small readable outputs, by name, that still hold the bytes of the record; others are not shown."""
    in_checkpoints = {file.path for files in checkpoints(record.outputs).values() for file in files}
    for name, files in record.outputs.items():
        for file in files:
            readable = Path(file.path).suffix in ARTIFACT_SUFFIXES and file.path not in in_checkpoints
            if readable and file.bytes <= ARTIFACT_BYTES:
                path = locate(file.path, results)
                if path is not None and sha256(path) == file.sha256:
                    yield name, path


def report_files(record: Record, results: Path) -> Iterator[Path]:
    """The pages of the report, if the record is that of its job: they are shown at the run of what runs share, too."""
    for _, path in artifact_files(record, results) if record.rule == REPORT_RULE else ():
        if path.suffix == ".html":
            yield path


def checkpoints(named: Mapping[str, list[File]]) -> dict[str, list[File]]:
    """The model folders among a record's files: those that hold a `config.json` and safetensors, with their files."""
    folders = defaultdict(list)
    for files in named.values():
        for file in files:
            folders[PurePosixPath(file.path).parent.as_posix()].append(file)
    return {
        folder: files
        for folder, files in folders.items()
        if any(PurePosixPath(file.path).name == "config.json" for file in files)
        and any(file.path.endswith(".safetensors") for file in files)
    }


def files_digest(files: list[File]) -> str:
    """A file's own sha256; for several, one over their names under the common folder and their hashes."""
    if len(files) == 1:
        return files[0].sha256
    if not files:
        return digest([])
    common = os.path.commonpath([PurePosixPath(file.path).parent.as_posix() for file in files])
    return digest(sorted([os.path.relpath(file.path, common), file.sha256] for file in files))
