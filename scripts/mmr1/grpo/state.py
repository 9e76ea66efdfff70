"""What a killed job goes on from: a work folder with the finished steps' results and the last two trainer states.

    work/steps/000012/    rollouts.parquet, rewards.parquet, schedule.parquet, logs.json of step 12
    work/states/000013/   DeepSpeed's files after 13 steps, and manifest.json

A state's manifest holds the sha256 of its own files and of every step's before it. All folders appear whole, by a
rename. On start the newest state whose files are as its manifest says is taken.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmr1.data import contracts
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.policy import Policy
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic, digest, files_under, read_json, sha256, write_json
from mmr1.plumbing.progress import log

MANIFEST = "manifest.json"
KEPT_STATES = 2


class Work:
    """The work folder of one job. `identity` says what the job computes: states of another job are not used."""

    def __init__(self, folder: Path, identity: dict[str, Any], ranks: Ranks) -> None:
        self.folder = folder
        self.identity = identity
        self.ranks = ranks
        self.steps, self.states = folder / "steps", folder / "states"
        self._hashes: dict[Path, str] = {}
        if ranks.first:
            self.steps.mkdir(parents=True, exist_ok=True)
            self.states.mkdir(parents=True, exist_ok=True)
            for leftover in [*self.steps.glob(".*"), *self.states.glob(".*")]:
                shutil.rmtree(leftover)
        ranks.barrier()

    def restore(self, policy: Policy, any_world_size: bool = False) -> int | None:
        """Load the newest good state into `policy` and return the number of its steps; None if there is none.

        Raises UserError on all ranks if another number of ranks saved it and `any_world_size` is false.
        """
        step = self.ranks.gather(self._newest() if self.ranks.first else None)[0]
        if step is not None:
            load_state(policy, self.state(step), self.ranks, any_world_size, self.folder)
        return step

    def save(self, policy: Policy, step: int) -> None:
        """Save a state with `step` steps behind it, and drop all but the last two."""
        target = self.state(step)
        if self.ranks.any(self.ranks.first and target.exists()):
            return
        save_state(policy, target, self.ranks, {"identity": self.identity, "step": step}, self._step_hashes(step))
        if self.ranks.first:
            for old in sorted(self.states.iterdir())[:-KEPT_STATES]:
                shutil.rmtree(old)

    def write_step(self, step: int, tables: Mapping[str, pa.Table], logs: dict[str, Any]) -> None:
        """Keep the results of a finished step, its tables by name; on the first rank only."""
        with atomic(self.steps / f"{step:06d}") as folder:
            folder.mkdir()
            for name, table in tables.items():
                pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
            write_json(folder / "logs.json", logs)

    def logs(self, steps: Iterable[int]) -> list[dict[str, Any]]:
        """The logs of finished steps, in order."""
        return [read_json(self.steps / f"{step:06d}" / "logs.json") for step in steps]

    def join_tables(self, steps: Iterable[int], name: str, schema: pa.Schema, out: Path) -> None:
        """Write one table of all finished steps, a row group a step."""
        with contracts.writer(out, schema) as writer:
            for step in steps:
                writer.write_table(self.table(step, name, schema))

    def table(self, step: int, name: str, schema: pa.Schema) -> pa.Table:
        """A table of a finished step."""
        return pq.read_table(self.steps / f"{step:06d}" / f"{name}.parquet", schema=schema)

    def _newest(self) -> int | None:
        for folder in sorted(self.states.iterdir(), reverse=True):
            problem = self._problem(folder)
            if problem is None:
                step = int(folder.name)
                log(f"going on from {folder}: {step} steps done")
                return step
            log(f"warning: {folder}: {problem}; not used")
            shutil.rmtree(folder)
        for folder in self.steps.iterdir():
            shutil.rmtree(folder)
        return None

    def _problem(self, folder: Path) -> str | None:
        """What is wrong with a state, or None."""
        try:
            manifest = check_state(folder)
            if manifest["identity"] != self.identity:
                changed = sorted(
                    name
                    for name in {*manifest["identity"], *self.identity}
                    if manifest["identity"].get(name) != self.identity.get(name)
                )
                return f"saved by a job that differed in {', '.join(changed)}"
            _check_hashes(self.steps, manifest["steps"])
        except UserError as error:
            return str(error)
        return None

    def state(self, step: int) -> Path:
        """The folder of the state with `step` steps behind it."""
        return self.states / f"{step:06d}"

    def _step_hashes(self, step: int) -> dict[str, str]:
        if not self.ranks.first:
            return {}
        folders = [folder for folder in sorted(self.steps.iterdir()) if int(folder.name) < step]
        return _hashes(self.steps, [file for folder in folders for file in files_under(folder)])


def save_state(
    policy: Policy, folder: Path, ranks: Ranks, facts: dict[str, Any], steps: dict[str, str] | None = None
) -> None:
    """Write weights and optimizer state with a manifest of hashes; the folder appears whole. All ranks take part."""
    if not ranks.first:
        policy.save_state(Path(ranks.gather(None)[0]))
        ranks.barrier()
        ranks.barrier()
        return
    with atomic(folder) as target:
        target.mkdir()
        ranks.gather(str(target))
        policy.save_state(target)
        ranks.barrier()
        files = _hashes(target, files_under(target))
        write_json(target / MANIFEST, {**facts, "ranks": ranks.size, "files": files, "steps": steps or {}})
    ranks.barrier()


def check_state(folder: Path) -> dict[str, Any]:
    """The manifest of a state, after its files were compared with it. Raises UserError naming what is wrong."""
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise UserError(f"{folder / MANIFEST}: not the manifest of a trainer state")
    _check_hashes(folder, manifest["files"])
    return manifest


def load_state(policy: Policy, folder: Path, ranks: Ranks, any_world_size: bool, scratch: Path) -> None:
    """Load a checked state. One of another number of ranks is refused, or if `any_world_size` converted in `scratch`.

    Raises UserError on all ranks.
    """
    saved = read_json(folder / MANIFEST)["ranks"]
    if saved == ranks.size:
        policy.load_state(folder)
    elif not any_world_size:
        raise UserError(
            f"{folder}: saved by {saved} ranks; expected as many as this job has, {ranks.size}: "
            "--any-world-size converts it"
        )
    else:
        universal = scratch / "universal"
        if ranks.first:
            shutil.rmtree(universal, ignore_errors=True)
        policy.load_state_of_other_ranks(folder, universal, ranks)
        if ranks.first:
            shutil.rmtree(universal)


def copy_state(source: Path, target: Path, facts: dict[str, Any]) -> None:
    """A state under another name and with more facts in its manifest; big files are linked where possible."""
    manifest = read_json(source / MANIFEST)
    with atomic(target) as folder:
        shutil.copytree(source, folder, copy_function=_link, ignore=shutil.ignore_patterns(MANIFEST))
        write_json(folder / MANIFEST, {**facts, "ranks": manifest["ranks"], "files": manifest["files"]})


def folder_digest(folder: Path, pattern: str = "*") -> str:
    """One sha256 over the names and bytes of a folder's files that match."""
    files = [file for file in files_under(folder) if file.match(pattern)]
    return digest(_hashes(folder, files) if folder.is_dir() else sha256(folder))


def _hashes(root: Path, files: Iterable[Path]) -> dict[str, str]:
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def _check_hashes(root: Path, expected: dict[str, str]) -> None:
    for name, value in expected.items():
        try:
            found = sha256(root / name)
        except OSError as error:
            raise UserError(f"{root / name}: {error.strerror}") from None
        if found != value:
            raise UserError(f"{root / name}: expected sha256 {value[:12]}…, found {found[:12]}…")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
