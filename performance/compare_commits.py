"""Does a commit make the same results as another? Runs recipes whole at both, and compares every output by hash.

    python performance/compare_commits.py OLD          # OLD against the working tree, with what is not committed
    python performance/compare_commits.py OLD NEW      # against another commit

Each side runs in a temporary folder with its own Snakefile, programs and recipe, on this machine's environments. Hashes
of a commit are kept under --cache by machine, commit and recipe, so that OLD runs once. Printed for each recipe:

    same         the bytes are equal
    same values  other bytes, but the values of JSON, tables (column names, types, rows) or tensors are equal
    differ       the values differ, or the bytes of a file of another kind
    only old     NEW does not make it
    only new     OLD did not make it

The exit code is 1 if a file differs or only OLD has it, and 2 if a side does not run.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from mmr1.plumbing.errors import UserError, run  # noqa: E402
from mmr1.plumbing.files import digest, files_under, read_json, sha256, write_json  # noqa: E402
from project import command, environment  # noqa: E402

RECIPES = ("tests/recipes/tiny.yaml", "tests/recipes/options.yaml", "config/digits.yaml")
ENVIRONMENTS = ("cpu", "driver")
CORES = 2
READING = 2  # counts the ways in which this file has read values; cached hashes of another way are computed again
SHOWN = 10  # files that are listed for each recipe and kind of difference

# What no two runs of one commit share, by path under results/<recipe>/; `*` crosses folders.
NOT_COMPARED = (
    "records/*",  # times, memory, host, process and installed packages of each job
    "logs/*",  # what programs printed, with times and temporary paths
    "work/*",  # state of unfinished jobs; the SFT trainer's has its speed in it
    "id.json",  # drawn, and where the folder lies
    "mlflow*",  # a database and an index, with random run ids, times and absolute paths
    "*/timings.jsonl",  # seconds of each step
    "*/trainer_state/manifest.json",  # hashes of the files beside it, which are compared, and who saved them
)

# Parts of the report that are made of records.
FROM_RECORDS = re.compile(rb'<section id="cost">.*?</section>|<footer id="provenance">.*?</footer>', re.DOTALL)

# Outputs that a commit renamed: from a regular expression for the whole old path under results/<recipe>/ to the new
# path. A new path of "" says that the output was given up on purpose. Both sides' paths go through it.
RENAMED: dict[str, str] = {
    r"(.*)/stale\.parquet": r"\1/selected.parquet",  # any refresh may select problems
    r".*/settings/(base|sft|grpo)\.json": "",  # settings are given on the command line and stand in the record
}


@dataclass(frozen=True)
class Content:
    """A file's sha256, and that of the values in it; None for a file that only has bytes."""

    bytes: str
    values: str | None


@dataclass
class Comparison:
    """Paths under results/<recipe>/, by how the two sides relate."""

    same: list[str] = field(default_factory=list)
    same_values: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)
    only_old: list[str] = field(default_factory=list)
    only_new: list[str] = field(default_factory=list)

    @property
    def keeps_results(self) -> bool:
        """Whether every output of the old side is there with the same values."""
        return not self.differ and not self.only_old


@dataclass(frozen=True)
class Side:
    """A commit, or the working tree where `commit` is None, and the folder that its files are put in for a run."""

    commit: str | None
    folder: Path

    @property
    def label(self) -> str:
        return "the working tree" if self.commit is None else self.commit[:12]


def main() -> None:
    args = parse_arguments()
    commits = full_hash(args.old), full_hash(args.new) if args.new else None
    scratch = Path(tempfile.mkdtemp(prefix="compare-commits-"))
    old, new = (Side(commit, scratch / name) for commit, name in zip(commits, ("old", "new"), strict=True))
    print(f"{old.label} against {new.label} on {processor()}", flush=True)
    keeps_results = []
    try:
        print(f"{'recipe':32}" + "".join(f"{name:>13}" for name in kinds(Comparison())))
        for recipe in args.recipes:
            before, after = (contents(side, recipe, args.cache, anew=args.keep) for side in (old, new))
            comparison = compare(before, after, RENAMED)
            print_comparison(recipe, comparison)
            keeps_results.append(comparison.keeps_results)
    finally:
        if args.keep:
            print(f"kept: {scratch}", file=sys.stderr)
        else:
            shutil.rmtree(scratch)
    sys.exit(0 if all(keeps_results) else 1)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD", help="a commit")
    parser.add_argument("new", metavar="NEW", nargs="?", help="a commit; left out: the working tree")
    parser.add_argument("--recipes", nargs="+", default=RECIPES, help=f"default: {' '.join(RECIPES)}")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--cache", type=Path, default=caches / "mmr1-compare-commits", help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="run both sides again, and keep their folders with results")
    return parser.parse_args()


def compare(old: Mapping[str, Content], new: Mapping[str, Content], renamed: Mapping[str, str]) -> Comparison:
    """Put each path, after renaming, where it belongs. Raises UserError if renaming makes two paths one."""
    old, new = with_new_names(old, renamed), with_new_names(new, renamed)
    comparison = Comparison(only_old=sorted(old.keys() - new.keys()), only_new=sorted(new.keys() - old.keys()))
    for path in sorted(old.keys() & new.keys()):
        if old[path].bytes == new[path].bytes:
            comparison.same.append(path)
        elif old[path].values is not None and old[path].values == new[path].values:
            comparison.same_values.append(path)
        else:
            comparison.differ.append(path)
    return comparison


def with_new_names(contents: Mapping[str, Content], renamed: Mapping[str, str]) -> dict[str, Content]:
    named: dict[str, Content] = {}
    for path, content in contents.items():
        matches = [(pattern, name) for pattern, name in renamed.items() if re.fullmatch(pattern, path)]
        name = re.sub(f"^(?:{matches[0][0]})$", matches[0][1], path) if matches else path
        if name in named:
            raise UserError(f"RENAMED: expected one file under each new path, found two under {name}")
        if name:
            named[name] = content
    return named


def kinds(comparison: Comparison) -> dict[str, list[str]]:
    return {name.replace("_", " "): paths for name, paths in vars(comparison).items()}


def print_comparison(recipe: str, comparison: Comparison) -> None:
    """A recipe's row of the table, and below it the first files of each kind but "same"."""
    print(f"{recipe:32}" + "".join(f"{len(paths):13}" for paths in kinds(comparison).values()), flush=True)
    for name, paths in kinds(comparison).items():
        if name != "same" and paths:
            more = [f"and {len(paths) - SHOWN} more"] if len(paths) > SHOWN else []
            print(f"  {name}:", *paths[:SHOWN], *more, sep="\n    ", flush=True)


def contents(side: Side, recipe: str, cache: Path, anew: bool) -> dict[str, Content]:
    """Every output of a recipe by its path under results/<recipe>/: from the cache, or else from a run."""
    cached = None if side.commit is None else cache / machine_name() / side.commit / f"{recipe.replace('/', '-')}.json"
    if cached and cached.exists() and not anew:
        return {path: Content(**content) for path, content in read_json(cached).items() if is_compared(path)}
    began = time.monotonic()
    made = contents_under(run_recipe(side, recipe))
    print(f"{recipe} at {side.label}: ran in {(time.monotonic() - began) / 60:.1f} minutes", file=sys.stderr)
    if cached:
        write_json(cached, {path: asdict(content) for path, content in made.items()})
    return made


def contents_under(results: Path) -> dict[str, Content]:
    """What the files of a results folder hold, by path under it, less those that no two runs share."""
    paths = {file.relative_to(results).as_posix(): file for file in files_under(results)}
    return {path: content_of(file) for path, file in paths.items() if is_compared(path)}


def is_compared(path: str) -> bool:
    return not any(fnmatchcase(path, pattern) for pattern in NOT_COMPARED)


def content_of(file: Path) -> Content:
    if file.name == "report.html":
        return Content(hashlib.sha256(FROM_RECORDS.sub(b"", file.read_bytes())).hexdigest(), None)
    return Content(sha256(file), values_of(file))


def values_of(file: Path) -> str | None:
    """The sha256 of what JSON, JSON lines, Parquet or PyTorch say, however it is laid out; None for other files."""
    if file.suffix == ".json":
        return digest(json.loads(file.read_text()))
    if file.suffix == ".jsonl":
        return digest([json.loads(line) for line in file.read_text().splitlines()])
    if file.suffix == ".parquet":
        return table_digest(file)
    return state_digest(file) if file.suffix == ".pt" else None


def table_digest(file: Path) -> str:
    """The sha256 of a Parquet table's column names, types and rows."""
    parquet = pq.ParquetFile(file, page_checksum_verification=True)
    schema = parquet.schema_arrow.remove_metadata().to_string(show_field_metadata=False)
    rows = hashlib.sha256(schema.encode())
    for batch in parquet.iter_batches(batch_size=256):
        for row in batch.to_pylist():
            rows.update(repr(row).encode())
    return rows.hexdigest()


def state_digest(file: Path) -> str:
    """The sha256 of what `torch.save` wrote: tensors by type, shape and bytes, mappings whatever their keys' order."""
    import torch

    hashed = hashlib.sha256()

    def take(value: object) -> None:
        if isinstance(value, Mapping):
            take([(key, value[key]) for key in sorted(value, key=repr)])
        elif isinstance(value, list | tuple):
            hashed.update(f"{len(value)} items ".encode())
            for item in value:
                take(item)
        elif isinstance(value, torch.Tensor):
            hashed.update(f"{value.dtype} {tuple(value.shape)} ".encode())
            hashed.update(value.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            hashed.update(f"{value!r} ".encode())

    with contextlib.redirect_stdout(sys.stderr):  # DeepSpeed, whose classes are in the file, talks when it is imported
        take(torch.load(file, map_location="cpu", weights_only=False))
    return hashed.hexdigest()


def run_recipe(side: Side, recipe: str) -> Path:
    """Run all of a recipe in the side's folder, which is filled at its first use; give the results folder.

    Raises UserError if the side has no such recipe or Snakemake fails, after what Snakemake printed last.
    """
    if not side.folder.exists():
        check_out(side)
    try:
        name = yaml.safe_load((side.folder / recipe).read_text())["name"]
    except FileNotFoundError:
        raise UserError(f"{recipe}: no such file at {side.label}") from None
    log = side.folder.parent / f"{side.folder.name}-{name}.log"
    with log.open("w") as printed:
        done = subprocess.run(
            command("--cores", str(CORES), "all", recipe=recipe),
            cwd=side.folder,
            env=environment_of_make(),
            stdout=printed,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise UserError(f"{recipe} at {side.label}: expected a run that succeeds, found exit code {done.returncode}")
    return side.folder / "results" / name


def environment_of_make() -> dict[str, str]:
    """The environment's variables as the Makefile sets and unsets them."""
    others = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    # Both sides run on the packages that are here, whatever lock the commit has.
    variables = environment(PYTHONNOUSERSITE="1", MMR1_ENVIRONMENT="warn")
    return {name: value for name, value in variables.items() if name not in others}


def check_out(side: Side) -> None:
    """Put a commit's files, or the working tree's that Git does not ignore, into the side's folder."""
    side.folder.mkdir()
    if side.commit:
        with tarfile.open(fileobj=io.BytesIO(git("archive", side.commit))) as archive:
            archive.extractall(side.folder, filter="tar")
    else:
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0")
        for name in sorted({*names} - {"", ".envs"}):
            source, target = ROOT / name, side.folder / name
            if source.exists():  # a file that was deleted and is not committed yet is still listed
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
    (side.folder / ".envs").symlink_to((ROOT / ".envs").resolve())


def full_hash(commit: str) -> str:
    """A commit's 40 hexadecimal digits. Raises UserError if there is no such commit."""
    try:
        return git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError:
        raise UserError(f"{commit}: expected a commit of {ROOT}, found none of that name") from None


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, stdout=subprocess.PIPE).stdout


def processor() -> str:
    """The processor's model name."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def cpu_info() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def machine_name() -> str:
    """A folder's name for what decides the hashes besides code and recipe: processor, its instructions, locks.

    One model name may hide other instructions (virtual machines), for which torch chooses other kernels.
    """
    locks = {name: read_json(ROOT / ".envs" / name / "mmr1-lock.json") for name in ENVIRONMENTS}
    instructions = sorted(cpu_info().get("flags", "").split())
    return digest([READING, processor(), instructions, locks])[:16]


if __name__ == "__main__":
    run(main)
