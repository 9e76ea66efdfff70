"""What two runs, or two recipes, were told otherwise, and how far their accuracies are apart, read from results."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmr1.plumbing.curves import flat
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.provenance.kept_recipe import KeptRecipe
from mmr1.provenance.ledger import locate
from mmr1.report.accuracy import cluster_of, verdicts
from mmr1.report.bootstrap import Difference, Paired, SeedVerdicts, difference, paired


@dataclass(frozen=True)
class Subject:
    """One model's run, SFT or base in a results folder: what was evaluated, under all its seeds (None without any)."""

    results: Path
    model: str
    name: str
    seeds: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.results}/{self.model}/{self.name}"

    def folder(self, seed: int | None) -> str:
        """The name that paths have for it."""
        return self.name if seed is None else f"{self.name}-seed{seed}"


@dataclass(frozen=True)
class Compared:
    """The accuracies in [0, 1] of two subjects over the seeds that were compared, and their difference."""

    benchmark: str
    accuracies: tuple[float, float]
    difference: Difference


def subjects(path: Path) -> list[Subject]:
    """The subjects that a path names: all of `results/digits`, or `results/digits/tiny/vas` alone.

    Raises UserError where nothing was evaluated.
    """
    results = next((folder for folder in (path, *path.parents) if (folder / "records").is_dir()), path)
    wanted = path.relative_to(results).parts
    seeds: dict[tuple[str, str], list[int | None]] = {}
    for folder in sorted(results.glob("*/eval/*")):
        name, seed = re.fullmatch(r"(.+?)(?:-seed(\d+))?", folder.name).groups()  # type: ignore[union-attr]
        seeds.setdefault((folder.parts[-3], name), []).append(None if seed is None else int(seed))
    found = [
        Subject(results, model, name, tuple(of)) for (model, name), of in seeds.items()
        if wanted in ((), (model,), (model, name))
    ]  # fmt: skip
    if not found:
        raise UserError(f"{path}: expected a recipe's results, or MODEL/RUN in them, with evaluations, found none")
    return found


def in_common(first: list[Subject], second: list[Subject]) -> Iterator[tuple[Subject, Subject]]:
    """Which subject stands against which: the only ones of both, else those of one name in both."""
    if len(first) == len(second) == 1:
        yield first[0], second[0]
        return
    named = {(one.model, one.name): one for one in second}
    yield from ((one, named[one.model, one.name]) for one in first if (one.model, one.name) in named)


def settings(subject: Subject) -> dict[str, Any]:
    """Its settings by keys in dots: of the training that made it, and of each benchmark's answers and scores."""
    kept = KeptRecipe(subject.results)
    values: dict[str, Any] = {}
    for record, name in kept.trained.items():
        if f"/{subject.model}/{subject.name}/" in record or (subject.name == "sft" and "/train_sft/" in record):
            values |= kept.recipes[name]
    for rule in ("generate_predictions", "score_benchmark"):
        for path in _records(subject, rule):
            key = read_json(path)["key"]
            values |= {f"{path.stem}: {name}": value for name, value in flat(key["settings"]).items()}
    return values


def compared(first: Subject, second: Subject, score: str) -> tuple[list[Compared], Difference | None]:
    """Each benchmark that both were evaluated on, and the mean of the differences where there are several.

    Raises UserError if the two answered different problems, or have no seed in common.
    """
    rows: list[Compared] = []
    tables: dict[str, Paired] = {}
    for benchmark in sorted(_benchmarks(first) & _benchmarks(second)):
        problems = [_problems(one, benchmark) for one in (first, second)]
        if problems[0]["sha256"] != problems[1]["sha256"]:
            raise UserError(f"{benchmark}: expected the same problems for {first} and {second}, found others")
        both = [_verdicts(one, benchmark, score) for one in (first, second)]
        cluster = cluster_of(benchmark, locate(problems[0]["path"], first.results))
        table = paired(both[0], both[1], cluster, benchmark)
        if table is None:
            raise UserError(f"{first} and {second}: expected a seed in common, found {first.seeds} and {second.seeds}")
        tables[benchmark] = table
        rows.append(Compared(benchmark, (_mean(both[0], table), _mean(both[1], table)), difference({benchmark: table})))
    return rows, difference(tables) if len(tables) > 1 else None


def _verdicts(subject: Subject, benchmark: str, score: str) -> SeedVerdicts:
    folder = subject.results / subject.model / "eval"
    files = {seed: folder / subject.folder(seed) / benchmark / "items.parquet" for seed in subject.seeds}
    return {seed: verdicts(path, score) for seed, path in files.items() if path.is_file()}


def _mean(by_seed: SeedVerdicts, table: Paired) -> float:
    """The accuracy over the seeds of a table."""
    rows = [right for seed, rows in by_seed.items() if seed is None or seed in table.seeds for _, right in rows]
    return sum(rows) / len(rows)


def _benchmarks(subject: Subject) -> set[str]:
    return {path.stem for path in _records(subject, "score_benchmark")}


def _problems(subject: Subject, benchmark: str) -> Mapping[str, str]:
    """Path and sha256 of the problems that a subject answered."""
    path = next(path for path in _records(subject, "score_benchmark") if path.stem == benchmark)
    problems: Mapping[str, str] = read_json(path)["key"]["inputs"]["problems"][0]
    return problems


def _records(subject: Subject, rule: str) -> list[Path]:
    """The records that a rule left of a subject's first seed."""
    return sorted(
        (subject.results / "records" / rule / subject.model / subject.folder(subject.seeds[0])).glob("*.json")
    )
