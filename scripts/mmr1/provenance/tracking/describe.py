"""A record in words, for the first page of its run: what made it, from what, where, and what checks or repeats it."""

import os
from collections.abc import Iterator
from pathlib import PurePosixPath

from mmr1.provenance.ledger import Execution, File, Record
from mmr1.provenance.tracking.record_files import checkpoints, files_digest

# What a result depends on most; the record has all.
PACKAGES = ("torch", "transformers", "vllm", "deepspeed", "accelerate", "flash-attn")
LONGEST_LIST = 8
DIGITS = 12  # of a sha256 that is shown


def described(record: Record) -> str:
    """A table in Markdown. It says nothing that the record does not."""
    rows = [f"| **{name}** | {text} |" for name, text in _rows(record) if text]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def hardware(execution: Execution) -> str:
    """The machines of a job, such as "2 nodes of 8 × NVIDIA H100 (driver 550.54)" or "2 × AMD EPYC 7763"."""
    names = [f"{gpu.get('name')} (driver {gpu.get('driver_version')})" for gpu in execution.gpu]
    parts = [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]
    parts.append(f"{execution.cpus} × {execution.cpu}" if execution.cpus else execution.cpu)
    nodes = f"{execution.nodes} nodes of " if execution.nodes > 1 else ""
    return nodes + ", ".join(filter(None, parts))


def environment(execution: Execution) -> str:
    """The lock that made a job's environment, its Python, and the packages that matter most."""
    packages = execution.environment.get("packages", {})
    found = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    lock = execution.lock
    made = "no lock" if lock is None else f"envs/{lock.get('name')}.lock `{str(lock.get('sha256'))[:DIGITS]}`"
    if lock and lock.get("differences"):
        made += f", but for {len(lock['differences'])} packages"
    return ", ".join([made, f"Python {execution.environment.get('python')}", *found])


def _rows(record: Record) -> Iterator[tuple[str, str]]:
    execution, key = record.execution, record.key
    slurm = f", SLURM job {execution.slurm['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in execution.slurm else ""
    when = f"{execution.start:%Y-%m-%d %H:%M:%S} UTC, {execution.seconds:.0f} s"
    yield "made", f"{when}, by {execution.user} on {execution.host}{slurm}"
    yield "hardware", hardware(execution)
    yield "environment", environment(execution)
    yield "code", _code(record)
    yield "seed", str(key.params["seed"]) if "seed" in key.params else ""
    models = {name: files for name, files in key.inputs.items() if checkpoints({name: files})}
    yield "parent checkpoint", _listed([_input(name, files) for name, files in models.items()])
    others = [_input(name, files) for name, files in key.inputs.items() if files and name not in models]
    yield "data", _listed(others)
    yield "made checkpoint", _listed([_named(*made) for made in checkpoints(record.outputs).items()])
    measured = [f"{name} {value:.6g}" for name, value in record.metrics.items() if value is not None]
    yield "measured", _listed(measured, ", ")
    yield "changed inputs", _listed([f"`{one.path}`" for one in record.changed_inputs])
    place = _place(record)
    yield "record", f"`{place}`, name `{record.name[:DIGITS]}`, digest `{record.integrity[:DIGITS]}`"
    yield "has anything changed?", f"`make audit ARGS=--full FILE={_first_output(record)}`"
    yield "make it again", f"`snakemake --profile workflow/profiles/local --forcerun {place} -- {place}`"


def _code(record: Record) -> str:
    git = record.execution.git
    commit = f"commit `{git['commit'][:DIGITS]}`" if git.get("commit") else "no commit known"
    dirty = ", with uncommitted changes" if git.get("dirty") else ""
    return f"`scripts/{record.key.program}.py`, digest `{str(record.key.code.get('sha256'))[:DIGITS]}`, {commit}{dirty}"


def _named(path: str, files: list[File]) -> str:
    return f"`{path}` sha256 `{files_digest(files)[:DIGITS]}`"


def _input(name: str, files: list[File]) -> str:
    """A named input: a file, or the folder of several."""
    paths = [file.path for file in files]
    return f"{name}: {_named(paths[0] if len(paths) == 1 else os.path.commonpath(paths), files)}"


def _listed(things: list[str], between: str = "<br>") -> str:
    shown = things[:LONGEST_LIST]
    more = len(things) - len(shown)
    return between.join(shown) + (f"{between}and {more} more" if more else "")


def _first_output(record: Record) -> str:
    if made := checkpoints(record.outputs):
        return next(iter(made))
    return next((file.path for files in record.outputs.values() for file in files), _place(record))


def _place(record: Record) -> str:
    """The record's path in a checkout, wherever the results lie now."""
    results = record.path.parents[len(PurePosixPath(record.key.wildcards).parts) + 1]
    return f"results/{results.name}/records/{record.rule}/{record.key.wildcards}.json"
