"""What a killed job goes on from: a work folder with the finished steps' results and the last two trainer states.

    work/steps/000012/    rollouts.parquet, rewards.parquet, schedule.parquet, logs.json of step 12
    work/states/000013/   DeepSpeed's files after 13 steps, and manifest.json

A state's manifest holds the sha256 of its own files and of every step's before it. All folders appear whole, by a
rename. Which state is taken on start, `mmr1.plumbing.states` says.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.policy import Policy
from mmr1.plumbing.disk import writing
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic, digest, files_under, read_json, sha256, write_json
from mmr1.plumbing.states import (
    MANIFEST,
    Hasher,
    Manifest,
    States,
    check_hashes,
    hashes,
    numbered,
    read_manifest,
    remove,
    tidy,
)

DIGITS = 6


class Work:
    """The work folder of one job. `identity` says what the job computes: states of another job are not used."""

    def __init__(self, folder: Path, identity: dict[str, Any], ranks: Ranks) -> None:
        self.folder = folder
        self.ranks = ranks
        self.steps, self.states = folder / "steps", States(folder / "states", identity, digits=DIGITS)

    def restore(self, policy: Policy, any_world_size: bool = False) -> int | None:
        """Load the newest good state into `policy` and return the number of its steps; None if there is none.

        Raises UserError on all ranks if another number of ranks saved it and `any_world_size` is false.
        """
        step = None
        with self.ranks.one_mistake_is_all():
            step = self.ranks.lead(self._newest)
        step = self.ranks.gather(step)[0]
        if step is not None:
            load_state(policy, self.states.path(step), self.ranks, any_world_size, self.folder)
        return step

    def save(self, policy: Policy, step: int) -> None:
        """Save a state with `step` steps behind it, and drop all but the last two."""
        target = self.states.path(step)
        if self.ranks.any(self.ranks.first and target.exists()):
            return
        if self.ranks.first:
            with atomic(target) as folder:
                folder.mkdir()
                self.ranks.gather(str(folder))
                policy.save_state(folder)
                self.ranks.barrier()
                self._seal(step, folder)
        else:
            folder = Path(self.ranks.gather(None)[0])
            with writing(target, folder):
                policy.save_state(folder)
            self.ranks.barrier()
            self._seal(step, folder)
        self.ranks.barrier()
        if self.ranks.first:
            self.states.prune(step)

    def _seal(self, step: int, folder: Path) -> None:
        def seal(hasher: Hasher) -> None:
            self.states.seal(step, folder, hasher=hasher, ranks=self.ranks.size, steps=self._step_hashes(step))

        self.ranks.lead(seal)

    def write_step(self, step: int, tables: Mapping[str, pa.Table], logs: dict[str, Any]) -> None:
        """Keep the results of a finished step, its tables by name; on the first rank only."""
        with atomic(self.steps / f"{step:0{DIGITS}d}") as folder:
            folder.mkdir()
            for name, table in tables.items():
                contracts.write(folder / f"{name}.parquet", table, table.schema)
            write_json(folder / "logs.json", logs)

    def logs(self, steps: Iterable[int]) -> list[dict[str, Any]]:
        """The logs of finished steps, in order."""
        return [read_json(self.steps / f"{step:0{DIGITS}d}" / "logs.json") for step in steps]

    def join_tables(self, steps: Iterable[int], name: str, schema: pa.Schema, out: Path) -> None:
        """Write one table of all finished steps, a row group per step."""
        with contracts.writer(out, schema) as writer:
            for step in steps:
                writer.write_table(self.table(step, name, schema))

    def table(self, step: int, name: str, schema: pa.Schema) -> pa.Table:
        """A table of a finished step."""
        return contracts.read(self.steps / f"{step:0{DIGITS}d}" / f"{name}.parquet", schema)

    def _newest(self, hasher: Hasher) -> int | None:
        """The steps of the newest good state; the results of later steps are removed."""
        self.steps.mkdir(parents=True, exist_ok=True)
        tidy(self.steps, digits=DIGITS)
        newest = self.states.newest(self._check_steps, hasher)
        for step, folder in numbered(self.steps, digits=DIGITS).items():
            if step >= (newest or 0):
                remove(folder)
        return newest

    def _check_steps(self, manifest: Manifest) -> None:
        """Raises UserError if the results of a step before a state are not as its manifest says."""
        if not isinstance(manifest.get("steps"), dict):
            raise UserError("steps: expected the sha256 of each file of the steps before, found none")
        check_hashes(self.steps, manifest["steps"])

    def _step_hashes(self, step: int) -> dict[str, str]:
        folders = [folder for done, folder in numbered(self.steps, digits=DIGITS).items() if done < step]
        return hashes(self.steps, [file for folder in folders for file in files_under(folder)])


def load_state(policy: Policy, folder: Path, ranks: Ranks, any_world_size: bool, scratch: Path) -> None:
    """Load a checked state. One of another number of ranks is refused, or if `any_world_size` converted in `scratch`.

    Raises UserError on all ranks.
    """
    saved = read_manifest(folder).get("ranks")
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
    manifest = read_manifest(source)
    with atomic(target) as folder:
        for name in manifest["files"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _link(source / name, folder / name)
        write_json(folder / MANIFEST, {**facts, "ranks": manifest["ranks"], "files": manifest["files"]})


def folder_digest(folder: Path, pattern: str = "*") -> str:
    """One sha256 over the names and bytes of a folder's files that match."""
    files = [file for file in files_under(folder) if file.match(pattern)]
    return digest(hashes(folder, files) if folder.is_dir() else sha256(folder))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
