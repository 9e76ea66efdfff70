"""Which job made a file, and whether the file is still what that job wrote.

A job hashes its inputs before it works. Those that lie in a results folder (`results/<recipe>/`, with `records/` in it)
are compared here with the record of the job that made them, and the job ends where one is another. What lies elsewhere
no job made: own data, a released checkpoint, a prompt. It is a *source*, and the record says with which hash.

`records/.makers/<path>.maker` names the record of the job that made `<path>`, a file or a folder of the results folder;
a job writes them just before its record. So a job reads the records of its inputs' makers and no other. Where no such
file is (results of an earlier version), all records are looked through, whatever is wrong with some of them.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic
from mmr1.plumbing.folders import digest_file
from mmr1.plumbing.seal import read_record

# "warn" has a job use inputs that are not as their makers wrote them; its record, the report and MLflow say so.
VARIABLE = "MMR1_CHANGED_INPUTS"
# How Snakemake was called, for commands in messages: the workflow says so, and jobs on a cluster get it, too.
CALL = "MMR1_CALL"
CALL_OPTIONS = {"--profile": 1, "--configfile": None, "--configfiles": None, "--config": None}  # values; None: many
RECORDS, MAKERS, SUFFIX = "records", ".makers", ".maker"
RESULTS = "results"  # the folder that the workflow puts results folders into

Hashed = Mapping[str, Sequence[Mapping[str, Any]]]  # the name of an input or output to its files: path, sha256, bytes


@dataclass(frozen=True)
class Changed:
    """An input that is not as it was made. None for `expected` or `found`: no such file; for `record`: none is good."""

    path: str
    expected: str | None
    found: str | None
    record: str | None
    problem: str  # in words


@dataclass
class Origins:
    """Where the inputs of a job come from."""

    parents: dict[str, str] = field(default_factory=dict)  # the records of their makers, with the records' names
    sources: dict[str, str] = field(default_factory=dict)  # files that no job made, with their sha256
    changed: list[Changed] = field(default_factory=list)


@dataclass(frozen=True)
class Maker:
    """A job that made files: where its record lies, its name, when it ended, what makes its files again, and these.

    `files` maps their paths, seen from the results folder, to their sha256.
    """

    record: str
    name: str
    end: str
    command: str
    files: Mapping[str, str]


def check_origins(inputs: Mapping[str, Sequence[Path]], hashed: Hashed, record: Path | None) -> Origins:
    """Find out where inputs come from, and raise UserError if one is not as its maker wrote it.

    `hashed` are the files of the inputs, `record` is where the job will write its record. With MMR1_CHANGED_INPUTS=warn
    what is wrong is logged and given back.
    """
    origins = find_origins(inputs, hashed, record)
    if origins.changed and os.environ.get(VARIABLE) != "warn":
        more = f" ({len(origins.changed) - 1} more such inputs)" if origins.changed[1:] else ""
        raise UserError(f"{origins.changed[0].problem}; {VARIABLE}=warn uses it as it is{more}")
    for one in origins.changed:
        _log(f"warning: {one.problem}; used as it is")
    return origins


def log_sources(sources: Mapping[str, str]) -> None:
    """Say of which files nothing is known: a job by hand has no record that would list them."""
    if sources:
        first, *others = sources
        more = f" and {len(others)} more files" if others else ""
        _log(f"no record says what these should be, they were taken as they are: {first}{more}")


def find_origins(inputs: Mapping[str, Sequence[Path]], hashed: Hashed, record: Path | None) -> Origins:
    """Where inputs come from, and which are not as their makers wrote them; see `check_origins`."""
    origins, makers = Origins(), Makers(record)
    for path, value in sorted({(file["path"], file["sha256"]) for files in hashed.values() for file in files}):
        _compare(Path(path), value, makers, origins)
    for folder in sorted({path for paths in inputs.values() for path in paths if path.is_dir()}):
        _find_missing(folder, makers, origins)
    return origins


def write_makers(outputs: Iterable[Path], record: Path) -> None:
    """Write down which record will tell of the outputs that lie in its results folder."""
    results = _absolute(results_folder(record))
    for output in map(_absolute, outputs):
        if output.is_relative_to(results):
            with atomic(_maker_file(results, output.relative_to(results))) as temporary:
                temporary.write_text(f"{_absolute(record).relative_to(results / RECORDS)}\n")


def remember_call(words: Sequence[str]) -> None:
    """Keep the profile and the recipe that Snakemake was called with; the first call counts, not that of a job."""
    kept, room = ["snakemake"], 0
    for word in words:
        name, _, value = word.partition("=")
        if word.startswith("-"):
            room = 0
            if name in CALL_OPTIONS:
                kept.append(word)
                room = 0 if value else CALL_OPTIONS[name] or len(words)
        elif room:
            kept.append(word)
            room -= 1
    os.environ.setdefault(CALL, shlex.join(kept))


def results_folder(record: Path) -> Path:
    """The folder that holds the `records/` that a record is to lie in. Raises UserError where there is none."""
    for folder in record.parents:
        if folder.name == RECORDS:
            return folder.parent
    raise UserError(f"--record {record}: expected a path of the form …/records/<rule>/<name>.json")


def record_files(root: Path) -> list[Path]:
    """The JSON files of records or logs, while jobs may write some: what they are at lies in folders with a dot."""
    files = []
    for folder, folders, names in os.walk(root):  # which, unlike glob, bears a folder that goes away
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if name.endswith(".json") and not name.startswith(".")]
    return sorted(files)


class Makers:
    """Finds the makers of files, for one job, whose record will lie at `record`. Each record is read once."""

    def __init__(self, record: Path | None) -> None:
        self.own = None if record is None else _absolute(results_folder(record))
        self._named = cache(_named)
        self._all = cache(_all_good)

    def results_of(self, path: Path) -> Path | None:
        """The results folder that a path lies in; None where there is none, so that nothing can be known of it."""
        path = _absolute(path)
        if self.own is not None and path.is_relative_to(self.own):
            return self.own
        for folder in path.parents:
            records = folder / RECORDS
            if (records / MAKERS).is_dir() or (records.is_dir() and _is_of_the_workflow(folder)):
                return folder
        return None

    def must_know(self, results: Path) -> bool:
        """Whether each file in a results folder is made by a job; elsewhere own files may lie beside records."""
        return _is_of_the_workflow(results)

    def find(self, results: Path, place: Path) -> Maker | None:
        """The maker of what lies at `place` in a results folder; None if no record tells of it.

        Raises UserError if its record is damaged or gone.
        """
        for part in (place, *place.parents):
            if (maker := self._named(results, part)) is not None:
                return maker
        makers = [_maker(path, record, place) for path, record in self._all(results / RECORDS)]
        return max((maker for maker in makers if maker), key=lambda maker: maker.end, default=None)


def _compare(path: Path, value: str, makers: Makers, origins: Origins) -> None:
    """Compare a file and its sha256 with what its maker wrote."""
    results = makers.results_of(path)
    if results is None:
        origins.sources[str(path)] = value
        return
    place = _absolute(path).relative_to(results)
    if place.parts[0] == RECORDS:
        return  # a record is known by its own integrity
    try:
        maker = makers.find(results, place)
    except UserError as error:
        problem = f"{path}: expected a good record of the job that made it: {error}; {_again(path)}"
        origins.changed.append(Changed(str(path), None, value, None, problem))
        return
    if maker is not None:
        origins.parents[maker.record] = maker.name
        _note_difference(path, maker.files.get(place.as_posix()), value, maker, origins)
    elif makers.must_know(results):
        problem = f"{path}: expected a record of the job that made it, found none in {_shown(results / RECORDS)}"
        origins.changed.append(Changed(str(path), None, value, None, f"{problem}; {_again(path)}"))
    else:
        origins.sources[str(path)] = value


def _find_missing(folder: Path, makers: Makers, origins: Origins) -> None:
    """Look for files that a folder had when it was made, and has no longer."""
    results = makers.results_of(folder)
    if results is None:
        return
    place = _absolute(folder).relative_to(results)
    try:
        maker = makers.find(results, place)
    except UserError:
        return  # it was said of its files
    if maker is None:
        return
    for name, value in sorted(maker.files.items()):
        if Path(name).is_relative_to(place) and not (results / name).exists():
            _note_difference(folder / Path(name).relative_to(place), value, None, maker, origins)


def _note_difference(path: Path, expected: str | None, found: str | None, maker: Maker, origins: Origins) -> None:
    if expected == found:
        return
    said, there = (f"sha256 {value[:12]}…" if value else "no such file" for value in (expected, found))
    problem = f"{path}: expected {said} as {maker.record} says, found {there}; make it again: {maker.command}"
    origins.changed.append(Changed(str(path), expected, found, maker.record, problem))


def _named(results: Path, place: Path) -> Maker | None:
    """The maker that `.makers` names for exactly this place."""
    file = _maker_file(results, place)
    if not file.is_file():
        return None
    name = file.read_bytes().decode(errors="replace").strip()
    if not name.isprintable():
        raise UserError(f"{file}: expected the name of a record, found {name!r}")
    record = results / RECORDS / name
    return _maker(record, read_record(record), place)


def _maker(path: Path, record: Mapping[str, Any], place: Path) -> Maker | None:
    """The job of a record, whose results folder may have been moved since; None if it made nothing at `place`."""
    outputs = {file["path"]: file["sha256"] for files in record["outputs"].values() for file in files}
    starts = [(f"/{name}/".find(f"/{place.as_posix()}/"), name) for name in outputs]
    prefixes = [name[:start] for start, name in starts if start >= 0]
    if not prefixes:
        return None
    folder = min(prefixes, key=len)  # how the record calls the results folder
    files = {name.removeprefix(folder): value for name, value in outputs.items() if name.startswith(folder)}
    shown, argv = _shown(path), record["execution"]["argv"]
    # A rule says where its start marker lies; by hand nobody does.
    command = made_again_by(shown) if "--attempt" in argv else shlex.join(["python", *argv])
    return Maker(shown, record["name"], record["execution"]["end"], command, files)


def _all_good(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All records in a folder but those that cannot be read: they are no concern of a job that does not need them."""

    def good() -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in record_files(root):
            try:
                yield path, read_record(path)
            except UserError:
                continue

    return list(good())


def _again(path: Path) -> str:
    """How a file without a record is made again: it or the folder that a rule makes."""
    made = [folder for folder in path.parents if folder.name and digest_file(folder).is_file()]
    return f"make it again: {made_again_by(str(made[0] if made else path))}"


def made_again_by(*targets: str) -> str:
    """The command that makes files again, and nothing else."""
    call = os.environ.get(CALL, "snakemake --profile workflow/profiles/local")
    return f"{call} {shlex.join(['--forcerun', *targets, '--', *targets])}"


def adopting() -> str:
    """The command that writes digest files again, from records, where all else agrees."""
    words = shlex.split(os.environ.get(CALL, ""))[1:]
    return f"make adopt ARGS={shlex.quote(shlex.join(words))}" if words else "make adopt"


def _is_of_the_workflow(results: Path) -> bool:
    return RESULTS in results.parts[-2:]


def _maker_file(results: Path, place: Path) -> Path:
    return results / RECORDS / MAKERS / place.parent / f"{place.name}{SUFFIX}"


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _shown(path: Path) -> str:
    """A path as seen from the working folder, if it lies there."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def _log(line: str) -> None:
    from mmr1.plumbing.progress import log  # rich is not in every environment that writes records

    log(line)
