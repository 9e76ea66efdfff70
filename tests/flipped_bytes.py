"""One flipped byte at a time, all over the files that the jobs of a results folder read, and what reads it next."""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.plumbing.makers import record_files
from mmr1.plumbing.record import job
from mmr1.provenance.ledger import read_records

NOTES = "records/.makers/"  # which record tells of a file


def readers(results: Path) -> dict[str, dict[str, Any]]:
    """The files that jobs read, those from outside among them, each with the record of the first job that did."""
    first: dict[str, dict[str, Any]] = {}
    for record in sorted(map(read_json, record_files(results / "records")), key=lambda one: one["execution"]["start"]):
        for files in record["key"]["inputs"].values():
            for file in files:
                first.setdefault(file["path"], record)
    return first


def passed_over(results: Path, flips: int) -> list[tuple[str, int, str | None]]:
    """The flips that the next reader did not refuse with the file's name, but for those that change nothing it reads.

    These are of the blank behind the name of a record, in the note that says who made a file.
    """
    passed = []
    for path, at, said in flip_everywhere(results, flips):
        if NOTES in path:
            about, name = (
                path.replace(NOTES, "").removesuffix(".maker"),
                Path(path).read_bytes().decode(errors="replace"),
            )
            if (results / "records" / name.strip()).is_file() and said is None:
                continue
        else:
            about = path
        if said is None or about not in said:
            passed.append((path, at, said))
    return passed


def flip_everywhere(results: Path, flips: int, seed: int = 0) -> Iterator[tuple[str, int, str | None]]:
    """For each flip the file, the byte, and in which words the file's reader refused it; None where it did not.

    Paths are seen from the working folder. The next reader of a record is whoever reads the records; what says who made
    a file is read with that file.
    """
    draw, by_file = random.Random(seed), readers(results)
    by_file |= {
        f"{results}/{NOTES}{made.relative_to(results)}.maker": reader
        for path, reader in list(by_file.items())
        for made in (Path(path), *Path(path).parents)
        if made != results and made.is_relative_to(results)
    }
    files = sorted(path for path in by_file if Path(path).is_relative_to(results) and Path(path).is_file())
    for number in range(flips):
        path = Path(files[number % len(files)])
        whole = path.read_bytes()
        if not whole:
            continue
        at = draw.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ draw.randrange(1, 256)]) + whole[at + 1 :])
        try:
            yield str(path), at, refusal(results, path, by_file[str(path)])
        finally:
            path.write_bytes(whole)


def refusal(results: Path, path: Path, reader: dict[str, Any]) -> str | None:
    """What the job of a record says when it is to read its inputs again, before any work; None if it would work."""
    where = results / "records" / reader["key"]["rule"] / f"{reader['key']['wildcards']}.json"
    args = argparse.Namespace(record=where, attempt=None, limited=None)
    inputs = {name: [file["path"] for file in files] for name, files in reader["key"]["inputs"].items()}
    # What was temporary is gone, and what else the job read is not what is asked about.
    inputs = {name: [one for one in paths if Path(one).exists()] for name, paths in inputs.items()}
    try:
        if path.is_relative_to(results / "records") and path.suffix == ".json":
            read_records(results)
        else:
            with job(args, inputs=inputs, outputs={}):
                return None
    except UserError as error:
        return str(error)
    return None
