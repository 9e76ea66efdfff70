"""A record as a file: sealed by a digest of all that it says, and refused if that digest is no longer its own."""

from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import as_text, digest, read_json_and_bytes

SCHEMA_VERSION = 2


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A record with its integrity: the sha256 of all else that it says."""
    said = {name: value for name, value in record.items() if name != "integrity"}
    return {**said, "integrity": digest(said)}


def read_record(path: Path) -> dict[str, Any]:
    """A record that is as it was written.

    Raises UserError in one line: for a file that is missing or no JSON object, for another schema version, and for a
    record whose integrity is not that of its content.
    """
    record, data = read_json_and_bytes(path)
    if not isinstance(record, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(record).__name__}")
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version: expected {SCHEMA_VERSION}, found {version}: another version of this package "
            "wrote it, and that version reads it"
        )
    expected, actual = sealed(record)["integrity"], record.get("integrity")
    if expected != actual or data != as_text(record).encode():
        raise UserError(
            f"{path}: integrity: expected {expected[:12]}… for what it says, found {str(actual)[:12]}…: it was changed "
            "after it was written"
        )
    return record
