"""What of a recipe's results may go: how much room it frees, and what it would cost to have it again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmr1.plumbing.disk import bytes_under
from mmr1.provenance.ledger import Record, read_records
from mmr1.report.cost import by_stage

CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


@dataclass(frozen=True)
class Disposable:
    """A kind of files that may go. `again` says what is lost, or what it costs; no job is due because they are gone."""

    name: str
    what: str
    paths: tuple[Path, ...]
    again: str

    @property
    def bytes(self) -> int:
        """The room that it takes."""
        return sum(path.lstat().st_size if path.is_file() else bytes_under(path) for path in self.paths)


def disposables(checkout: Path, results: Path) -> list[Disposable]:
    """Everything that may go, from what costs nothing to what costs all. Raises UserError naming a broken record."""
    records = read_records(results) if (results / "records").is_dir() else []
    states = _there(results.glob("*/*/seed*/round*/trainer_state"))
    downloads = [*results.glob("data/hub/*"), *_made_by(records, "download_model", "model", results)]
    return [
        Disposable(
            "caches", "of tests and style checks", _there(checkout / name for name in CACHES), "nothing is lost"
        ),
        Disposable(
            "logs",
            "what programs and Snakemake said",
            _there([*results.glob("logs/**/*.log"), *(checkout / ".snakemake/log").glob("*.log")]),
            "cannot be made again; records and start markers stay",
        ),
        Disposable(
            "work",
            "what killed jobs go on from",
            _there([results / "work"]),
            "a killed training starts its round over, a download or served answers begin anew",
        ),
        Disposable(
            "downloads",
            "models and data from the hub",
            _there(downloads),
            "fetched again as soon as a job reads them",
        ),
        Disposable(
            "states",
            "what more rounds of a run start from",
            states,
            f"more rounds, or a round made again, train a run anew: {_cost(records, _trains)}",
        ),
        Disposable(
            "results",
            f"all of {results}, and what Snakemake noted of it",
            _there([results]),
            f"everything is made anew: {_cost(records, lambda record: True)}",
        ),
    ]


def _trains(record: Record) -> bool:
    return record.rule.startswith("train_grpo")


def _there(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.exists())


def _made_by(records: Sequence[Record], rule: str, output: str, results: Path) -> list[Path]:
    """The folders that a rule made below the results."""
    return [results / record.place for record in records if record.rule == rule and output in record.outputs]


def _cost(records: Sequence[Record], counts: Callable[[Record], bool]) -> str:
    """The time that jobs took, one after the other, and their GPU-hours."""
    stages = by_stage(record for record in records if counts(record))
    hours = sum(stage.seconds for stage in stages) / 3600
    gpu_hours = sum(stage.gpu_hours or 0 for stage in stages)
    jobs = sum(stage.jobs for stage in stages)
    return f"{jobs} jobs took {hours:,.1f} hours" + (f", {gpu_hours:,.1f} GPU-hours" if gpu_hours else "")
