"""The record of a job: what was computed, from which bytes, by which code, where and when (facts: docs/design.md §7).

A program wraps its work in `job(...)`. The record is the last file a job writes. Its `key` says what was computed and
is the same wherever and whenever it runs; its `execution` says when, where and with what installed.

A record has two digests. Its `name` is of the key and the outputs: of bytes, not of where they lie, and without what
need not repeat (times). Records name their parents by it, so that making the same bytes again heals a chain. Its
`integrity` is of the whole record: a reader computes it again and refuses a record that was changed (`seal`).

Before the work the inputs are compared with the records of the jobs that made them (`makers`).
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmr1.plumbing import live
from mmr1.plumbing.attempt import Attempt, kept_marker
from mmr1.plumbing.code import code_digest, code_files, computing_files, plumbing_files, text_hashes
from mmr1.plumbing.environment import check_environment, environment, lock_comparison
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import (
    digest,
    files_under,
    remove_leftovers,
    sha256,
    write_json,
)
from mmr1.plumbing.folders import digest_file, write_digests
from mmr1.plumbing.gpu_node import check_gpu_node
from mmr1.plumbing.machine import where
from mmr1.plumbing.makers import RECORDS, Changed, Origins, check_origins, log_sources, results_folder, write_makers
from mmr1.plumbing.seal import SCHEMA_VERSION, sealed
from mmr1.plumbing.secrets import blotted_values
from mmr1.plumbing.usage import Usage, nodes

if TYPE_CHECKING:  # programs without settings need no pydantic
    from pydantic import BaseModel

# The names of settings in the parsed arguments begin with this, so that nothing takes them for parameters of their own.
PREFIX = "setting:"

Paths = str | Path | Sequence[str | Path] | None


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--record` and `--attempt`, which every program has; both may be left out when it is run by hand."""
    group = parser.add_argument_group("provenance")
    group.add_argument("--record", type=Path, help="write the record of this job here, last")
    group.add_argument(
        "--attempt", type=Path, help="start marker: says running, then finished or failed; kept when the job fails"
    )
    group.add_argument(
        "--limited", help="the run that this job is part of takes only the first problems: how it says so"
    )
    group.add_argument("--live", metavar="URL", help="an MLflow server that is shown a training's steps while it runs")


class Job:
    """A running job: programs add what they measured, and outputs' hashes are taken when it ends."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.notes: dict[str, Any] = {}
        self.plugins: list[str] = []  # files that compute, under `scripts/`, beyond those that the settings name
        self.inputs: dict[str, str] = {}  # a digest of the bytes of each input, wherever it lies
        self.changed_inputs: list[Changed] = []  # those that are not as they were made, where that is allowed


@contextmanager
def job(
    args: argparse.Namespace,
    *,
    inputs: Mapping[str, Paths],
    outputs: Mapping[str, Paths],
    settings: "BaseModel | None" = None,
    unrepeated: Collection[str] = (),
    temporary: Collection[str] = (),
) -> Iterator[Job]:
    """Run the body as a recorded job of the program that is running.

    `inputs` and `outputs` map a name to a path, several paths, or None where an option was not given; folders are
    hashed file by file. Every other argument is a parameter. `settings` are the program's, if it has any: what of them
    can change a number is part of the key, as are the plugins that they name. `unrepeated` are the outputs that hold
    times and the like: they are no part of the name. `temporary` are those that may go as a whole, once the jobs that
    read them are done: an audit does not miss them. Raises UserError at once for a missing input, for one that is not
    as its maker wrote it, and where installed packages are not the lock's.
    """
    check_environment()
    check_gpu_node()
    if args.record is not None:
        results_folder(args.record)  # a wrong path is found now, not after hours of work
    named_inputs, named_outputs = _as_lists(inputs), _as_lists(outputs)
    _check_existence(named_inputs)
    attempt = Attempt(args.attempt, _places(args, named_outputs))
    attempt.end_orphan()
    _tidy(args, named_outputs)
    for folder in _folders(named_outputs):
        digest_file(folder).unlink(missing_ok=True)  # what it says will not hold any more
    work = Job()
    with attempt.running():
        hashed = {name: _hashed(paths) for name, paths in named_inputs.items()}
        work.inputs = {name: _bytes_digest(named_inputs[name], files) for name, files in hashed.items()}
        origins = check_origins(named_inputs, hashed, args.record)
        work.changed_inputs = origins.changed
        with Usage() as usage, live.showing(*_shown(args, attempt)):
            yield work
        if args.record is None:
            log_sources(origins.sources)
            return
        said = _said(settings)
        said["plugins"] = sorted({*work.plugins, *said["plugins"]})
        written, repeated = _written(named_outputs, unrepeated)
        key = _key(args, said, _params(args, named_inputs, named_outputs), hashed)
        name = digest({"key": key | {"inputs": work.inputs}, "outputs": repeated})
        about = {"schema_version": SCHEMA_VERSION, "name": name, "key": key, "outputs": written}
        about |= {"temporary": [path.as_posix() for name in temporary for path in named_outputs[name]]}
        execution = {**_execution(attempt, usage), "machine": said["machine"], **_read(said)}
        record = {**about, **_facts(origins, work), "execution": blotted_values(execution)}
        write_makers([path for paths in named_outputs.values() for path in paths], args.record)
        write_json(args.record, sealed(record))


@contextmanager
def beside_job(args: argparse.Namespace, rank: int, outputs: Mapping[str, Paths]) -> Iterator[Job]:
    """The body on a rank that is not the first: nothing is recorded, but the start marker says if it fails."""
    with Attempt(args.attempt, _places(args, _as_lists(outputs))).beside(rank):
        yield Job()


def _check_existence(inputs: Mapping[str, list[Path]]) -> None:
    for name, paths in inputs.items():
        for path in paths:
            if not path.exists():
                raise UserError(f"{path}: no such file or folder (--{name.replace('_', '-')})")


def _written(outputs: Mapping[str, list[Path]], unrepeated: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The files of each output, and the digest of each that repeats; folders get their digest files."""
    written = {name: _hashed(paths) for name, paths in outputs.items()}
    for folder in _folders(outputs):
        write_digests(folder, _hashes_in(folder, written))
    repeated = [name for name in written if name not in unrepeated]
    return written, {name: _bytes_digest(outputs[name], written[name]) for name in repeated}


def _key(
    args: argparse.Namespace, said: dict[str, Any], params: dict[str, Any], inputs: dict[str, Any]
) -> dict[str, Any]:
    """What was computed: the same wherever and whenever it is."""
    program, plugins = Path(sys.argv[0]).stem, said["plugins"]
    return {
        **_rule_and_wildcards(args.record),
        "program": program,
        **({"limited": args.limited} if getattr(args, "limited", None) else {}),
        "params": blotted_values(params),
        "settings": blotted_values(said["numbers"]),
        "inputs": inputs,
        "code": {"sha256": code_digest(program, plugins), "files": computing_files(program, plugins)},
    }


def _facts(origins: Origins, work: Job) -> dict[str, Any]:
    """Where the inputs come from, and what the program measured."""
    return {
        "parents": [{"record": path, "name": name} for path, name in sorted(origins.parents.items())],
        "sources": [{"path": path, "sha256": value} for path, value in sorted(origins.sources.items())],
        "changed_inputs": [asdict(one) for one in origins.changed],
        "metrics": work.metrics,
        "notes": blotted_values(work.notes),
    }


def _read(said: dict[str, Any]) -> dict[str, Any]:
    """What else was read: the files that compute nothing, and the text of all of them and of the workflow."""
    program, plugins = Path(sys.argv[0]).stem, said["plugins"]
    return {"plumbing": plumbing_files(program, plugins), "texts": text_hashes(code_files(program, plugins))}


def _said(settings: "BaseModel | None") -> dict[str, Any]:
    """What settings say: the numbers, what only fits a machine, and the plugins that they name."""
    if settings is None:
        return {"numbers": None, "machine": None, "plugins": []}
    from mmr1.plumbing.settings import machine, numbers, plugin_files

    return {"numbers": numbers(settings), "machine": machine(settings), "plugins": plugin_files(settings)}


def _as_lists(named: Mapping[str, Paths]) -> dict[str, list[Path]]:
    lists = {}
    for name, paths in named.items():
        if paths is None:
            continue
        lists[name] = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    return lists


def _folders(named: Mapping[str, list[Path]]) -> list[Path]:
    return [path for paths in named.values() for path in paths if path.is_dir()]


def _hashes_in(folder: Path, written: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
    files = [file for files in written.values() for file in files]
    return {file["path"]: file["sha256"] for file in files if Path(file["path"]).is_relative_to(folder)}


def _hashed(paths: list[Path]) -> list[dict[str, Any]]:
    return [
        {"path": file.as_posix(), "sha256": sha256(file), "bytes": file.stat().st_size}
        for path in paths
        for file in files_under(path)
    ]


def _bytes_digest(paths: list[Path], files: list[dict[str, Any]]) -> str:
    """One digest of files and their names below the paths under which they were found."""
    named = []
    for file in files:
        path = Path(file["path"])
        root = next(root for root in paths if path.is_relative_to(root))
        named.append([path.relative_to(root).as_posix(), file["sha256"]])
    return digest(named)


def _params(args: argparse.Namespace, *named: Mapping[str, list[Path]]) -> dict[str, Any]:
    """The arguments that are not paths: where a file lies is not part of what is computed."""
    paths = {name for names in named for name in names}
    return {
        name: value
        for name, value in sorted(vars(args).items())
        if name not in paths
        and name not in ("record", "attempt", "limited", "live")
        and not name.startswith(PREFIX)
        and not isinstance(value, Path)
    }


def _shown(args: argparse.Namespace, attempt: Attempt) -> tuple[str | None, Path, str, str, datetime]:
    """What `live.showing` has to know; no server for a job without a record, which no export would find again."""
    if args.record is None:
        return None, Path(), "", "", attempt.start
    named = _rule_and_wildcards(args.record)
    url = getattr(args, "live", None)
    return url, results_folder(args.record), named["rule"], named["wildcards"], attempt.start


def _rule_and_wildcards(record: Path) -> dict[str, str]:
    """`…/records/<rule>/<wildcards>.json` names what was asked for."""
    rule, *wildcards = record.relative_to(results_folder(record) / RECORDS).with_suffix("").parts
    return {"rule": rule, "wildcards": "/".join(wildcards)}


def _execution(attempt: Attempt, used: Usage) -> dict[str, Any]:
    start, end = attempt.start, datetime.now(UTC)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "seconds": (end - start).total_seconds(),
        "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in usage),
        "peak_memory_mib": max(used.peak_memory_mib, *(one.ru_maxrss / 1024 for one in usage)),
        "argv": sys.argv,
        "git": _git(),
        "gpu": used.gpus(),
        "nodes": nodes(),
        "environment": environment(),
        "lock": lock_comparison(),
        "earlier": [{name: one.get(name) for name in ("state", "start", "end", "slurm")} for one in attempt.earlier],
        **where(),
    }


def _git() -> dict[str, Any]:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True
        ).stdout

    try:
        diff = git("diff", "HEAD")
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": digest(diff) if diff else None}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _places(args: argparse.Namespace, outputs: Mapping[str, list[Path]]) -> list[Path]:
    """Where a job writes: its outputs, and the folder or file that it goes on from after a kill."""
    kept = (getattr(args, name, None) for name in ("work", "cache"))
    return [*(path for paths in outputs.values() for path in paths), *(path for path in kept if path is not None)]


def _tidy(args: argparse.Namespace, outputs: Mapping[str, list[Path]]) -> None:
    """Remove what killed starts of this job left of its outputs under temporary names; says so, a line each."""
    paths = [path for paths in outputs.values() for path in paths]
    own = [args.record, *([] if args.attempt is None else [args.attempt, kept_marker(args.attempt)])]
    for path in [*paths, *map(digest_file, paths), *own]:
        for leftover in [] if path is None else remove_leftovers(path):
            print(f"warning: {leftover}: left by a start that was killed; removed", file=sys.stderr, flush=True)
