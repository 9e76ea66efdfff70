"""Blocks of a generation that are done, each in a file of its own: what a killed job goes on from.

work/identity.json     what the job computes: blocks of another one are not used
work/000012.parquet    the rollouts of block 12; whole, because it appears by a rename
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.progress import log
from mmr1.plumbing.states import differences, remove

IDENTITY, NOTES = "identity.json", "notes.json"


class Blocks:
    """The blocks of one job in `folder`. `rows` are the rollouts that each is to have, by its number."""

    def __init__(self, folder: Path, identity: dict[str, Any], rows: Mapping[int, int]) -> None:
        self.folder, self.identity, self.rows = folder, identity, rows

    def finished(self) -> set[int]:
        """The numbers of the blocks that are there, whole and of this job; what is not is removed, a line each."""
        if self.folder.exists() and (changed := self._changed()):
            log(f"warning: {self.folder}: rollouts of a job that differed in {', '.join(changed)}; removed")
            remove(self.folder)
        done = {number for number in self.rows if self._path(number).exists() and self._is_whole(number)}
        if done:
            log(f"going on from {self.folder}: {len(done)} of {len(self.rows)} blocks done")
        return done

    def add(self, number: int, rollouts: pa.Table, notes: dict[str, Any]) -> None:
        """Keep a block, made by an engine of which the record is to say `notes`."""
        if not (self.folder / IDENTITY).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / NOTES, notes)
            write_json(self.folder / IDENTITY, self.identity)
        contracts.write(self._path(number), rollouts, contracts.ROLLOUTS)

    def notes(self) -> dict[str, Any]:
        """What was said of the engine; nothing where there is no block."""
        return read_json(self.folder / NOTES) if self.rows else {}

    def join(self, out: Path) -> dict[str, float]:
        """Write one table of all blocks, a row group each, in their order; returns what it holds: counts and rates."""
        rollouts = tokens = truncated = 0
        with contracts.writer(out, contracts.ROLLOUTS) as table:
            for number in sorted(self.rows):
                block = contracts.read(self._path(number), contracts.ROLLOUTS)
                table.write_table(block)
                rollouts += len(block)
                tokens += sum(len(ids) for ids in block.column("token_ids"))
                truncated += block.column("finish_reason").to_pylist().count("length")
        counted = max(1, rollouts)
        return {
            "rollouts": rollouts,
            "tokens": tokens,
            "mean_tokens": tokens / counted,
            "truncated": truncated / counted,
        }

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def _changed(self) -> list[str]:
        try:
            return differences(read_json(self.folder / IDENTITY), self.identity)
        except (UserError, OSError, ValueError, AttributeError):
            return ["what is not written down"]

    def _is_whole(self, number: int) -> bool:
        path = self._path(number)
        try:
            found = len(contracts.read(path, contracts.ROLLOUTS))
        except UserError as problem:
            log(f"warning: {problem}; sampled again")
        else:
            if found == self.rows[number]:
                return True
            log(f"warning: {path}: expected {self.rows[number]} rows, found {found}; sampled again")
        path.unlink()
        return False
