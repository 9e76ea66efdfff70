"""The parameters of a run: what its record's key says was asked for, nested settings as names joined by dots."""

from typing import Any

from mmr1.plumbing.curves import flat
from mmr1.provenance.ledger import Record


def record_params(record: Record) -> dict[str, Any]:
    """A record's parameters and settings."""
    return {**record.key.params, **flat(record.key.settings)}


def common_params(records: list[Record]) -> dict[str, Any]:
    """The parameters in which all jobs of a program agree, such as `draw_schedule.mix`: they tell runs apart."""
    common: dict[str, dict[str, Any]] = {}
    for record in records:
        params = record_params(record)
        agreed = common.setdefault(record.key.program, params)
        common[record.key.program] = {name: value for name, value in agreed.items() if params.get(name) == value}
    return flat(common)
