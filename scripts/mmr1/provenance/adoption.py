"""Whether a finished job's record agrees with what the recipe, the code and the files say now.

Snakemake keeps its own notes of what made a file, in `.snakemake`, beside the results. Where they were lost, or results
came from another checkout, records say the same and more. No module here knows Snakemake: `scripts/adopt.py` does.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, read_json, sha256
from mmr1.plumbing.folders import digest_file, digests
from mmr1.plumbing.seal import SCHEMA_VERSION, read_record


@dataclass(frozen=True)
class Planned:
    """A job as the workflow would start it now."""

    rule: str
    record: str
    code: str  # the digest of what computes in its program
    settings: dict[str, Any] | None  # those that make numbers
    words: tuple[str, ...]  # after the program's name, without what only fits a machine
    ignored: tuple[str, ...]  # the flags of what only fits a machine
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    temporary: frozenset[str]  # outputs that need not be there any more


def disagreement(job: Planned, made: Mapping[str, str]) -> str | None:
    """What of a job's record does not hold for the job as it is planned now; None if all of it holds.

    `made` gives the sha256 of every file that some record says was made (`made_files`): for inputs that are gone.
    """
    if not Path(job.record).is_file():
        return "no record"
    try:
        said = read_json(job.record)
        version = said.get("schema_version") if isinstance(said, dict) else None
        if isinstance(version, int) and version != SCHEMA_VERSION:
            return f"a record of schema {version}, of another version of this package: expected schema {SCHEMA_VERSION}"
        record = read_record(Path(job.record))
    except UserError as error:
        return str(error)
    key = record["key"]
    if key["code"]["sha256"] != job.code:
        return "the code is another"
    return asked_otherwise(job, record) or _inputs(job, key["inputs"], made) or _outputs(job, record["outputs"])


def asked_otherwise(job: Planned, record: Mapping[str, Any]) -> str | None:
    """What the workflow would ask of a job otherwise than its record says: settings, or words of its command."""
    # Keys that the rule does not give are flags among the words.
    if differences := _differences(record["key"]["settings"] or {}, job.settings or {}):
        return f"settings: {differences}"
    then = without(record["execution"]["argv"][1:], job.ignored)
    if list(job.words) != then:
        return f"command: {_first_word(then, list(job.words))}"
    return None


def made_files(records: Iterable[Path]) -> dict[str, str]:
    """Every output that the records list, by its path: its sha256."""
    made = {}
    for path in records:
        with suppress(UserError):  # it is said where the record's own job is looked at
            made.update({file["path"]: file["sha256"] for file in _listed(read_record(path)["outputs"])})
    return made


def without(words: Iterable[str], flags: Iterable[str]) -> list[str]:
    """Words of a command line without these flags and the one value of each."""
    kept, skip = [], False
    for word in words:
        if skip or word in flags:
            skip = not skip
        else:
            kept.append(word)
    return kept


def restore_digest_files(job: Planned) -> None:
    """Write the digest files of a job's folders from its record, where they are missing or say something else."""
    hashes = made_files([Path(job.record)])
    for folder in job.outputs:
        listed = digest_file(folder)
        if listed.as_posix() in job.outputs:
            inside = {path: value for path, value in hashes.items() if Path(path).is_relative_to(folder)}
            text = digests(Path(folder), inside)
            if not listed.is_file() or listed.read_text() != text:
                listed.write_text(text)


def _inputs(job: Planned, recorded: dict[str, list[dict[str, Any]]], made: Mapping[str, str]) -> str | None:
    then = {file["path"]: file["sha256"] for file in _listed(recorded)}
    listed = {os.path.realpath(path) for path in then}  # the workflow may know a person's file by a link to it
    for path, value in then.items():
        if Path(path).is_file():
            if _sha256(path) != value:
                return f"{path}: an input with other content"
        elif made.get(path) != value:
            return f"{path}: an input that is gone, and no record has its digest"
    for name in job.inputs:
        for file in map(str, files_under(name) if Path(name).exists() else []):
            # What a job waits for without reading it is known by the record of the job that made it.
            known = (
                os.path.realpath(file) in listed or _is_digest_file(name, job.inputs) or made.get(file) == _sha256(file)
            )
            if not known:
                return f"{file}: an input that the record does not list"
    return None


def _outputs(job: Planned, recorded: dict[str, list[dict[str, Any]]]) -> str | None:
    then = {file["path"]: file["sha256"] for file in _listed(recorded)}
    gone = [folder for folder in job.temporary if not Path(folder).exists()]
    for path, value in then.items():
        if not Path(path).is_file():
            if not any(Path(path).is_relative_to(folder) for folder in gone):
                return f"{path}: an output that is gone"
        elif _sha256(path) != value:
            return f"{path}: an output with other content"
    for name in job.outputs:
        if name == job.record or name in gone or _is_digest_file(name, job.outputs):
            continue
        if not Path(name).exists():
            return f"{name}: an output that is gone"
        for file in files_under(name):
            if file.as_posix() not in then:
                return f"{file}: an output that the record does not list"
    return None


def _is_digest_file(name: str, others: Iterable[str]) -> bool:
    return any(digest_file(other).as_posix() == name for other in others)


def _listed(named: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [file for files in named.values() for file in files]


def _sha256(path: str) -> str:
    """Of a file that many jobs read once, as long as it stays as it is."""
    status = Path(path).stat()
    return _sha256_of(path, status.st_ino, status.st_size, status.st_mtime_ns)


@cache
def _sha256_of(path: str, *_: int) -> str:
    return sha256(path)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in sorted(now) if then.get(name) != now[name]]
    return ", ".join(f"{name} was {json.dumps(then.get(name))}, is {json.dumps(now[name])}" for name in names)


def _first_word(then: list[str], now: list[str]) -> str:
    at = next((i for i, (old, new) in enumerate(zip(then, now, strict=False)) if old != new), min(len(then), len(now)))
    old, new = (" ".join(words[max(0, at - 1) : at + 1]) or "nothing" for words in (then, now))
    return f"was `{old}`, is `{new}`"
