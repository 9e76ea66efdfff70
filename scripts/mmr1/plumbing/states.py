"""States that a killed trainer goes on from: whole, undamaged and of the same job, or not used. For all trainers.

A state is a folder. Its `manifest.json`, written last, holds the identity of the job that saved it (settings, hashes of
the inputs, code, seed, threads, ranks: all that decides the result), the number of steps behind it and the sha256 of
each of its files. On start the newest good state of the same identity is taken; each other thing is named in one line.
A state may need another one: a trainer that keeps the best of its states cannot end without it.

The functions here run on one rank, the first.
"""

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, read_json, sha256, sync, write_json
from mmr1.plumbing.progress import log

MANIFEST = "manifest.json"
KEPT_STATES = 2

Manifest = dict[str, Any]

# The sha256 of files under a folder, by their names there, synced first if they were just written: `hash_alone`, or
# what divides them over ranks.
Hasher = Callable[[Path, Sequence[str], bool], dict[str, str]]


class States:
    """The states of one job in `folder`; the one after 12 steps is named `prefix` and 12 in at least `digits` digits.

    `identity` is a JSON object, compared value by value; its sections may be objects themselves.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], prefix: str = "", digits: int = 1) -> None:
        self.folder = folder
        self.identity = identity
        self.prefix = prefix
        self.digits = digits

    def path(self, step: int) -> Path:
        """The folder of the state with `step` steps behind it."""
        return self.folder / f"{self.prefix}{step:0{self.digits}d}"

    def newest(
        self, check: Callable[[Manifest], None] = lambda manifest: None, hasher: Hasher | None = None
    ) -> int | None:
        """How many steps the newest good state has behind it; None if there is no good one.

        Removes states that are damaged or another job's, and what killed saves left; says so, a line each. `check`
        raises UserError where something beside the state is not as its manifest says. Raises UserError for a state
        that cannot be removed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        manifests = self._of_this_job()
        for step in sorted(manifests, reverse=True):
            try:
                for needed in (step, *manifests[step]["needs"]):
                    self._check_whole(needed, manifests, hasher or hash_alone)
                check(manifests[step])
            except UserError as problem:
                self._drop(step, problem)
                del manifests[step]
            else:
                log(f"going on from {self.path(step)}: {step} steps done")
                return step
        return None

    def seal(
        self,
        step: int,
        folder: Path | None = None,
        needs: Sequence[int] = (),
        hasher: Hasher | None = None,
        **facts: Any,
    ) -> None:
        """Make what was saved a state: sync its files and write its manifest, with `facts` beside what all have.

        `needs` are the steps of other states without which this one is of no use. `folder` is where its files lie
        before they get the state's name, if not under it already.
        """
        folder = folder or self.path(step)
        about = {"identity": self.identity, "step": step, "needs": [other for other in needs if other != step]}
        write_manifest(folder, {**about, **facts}, hasher)

    def prune(self, step: int) -> None:
        """Remove all states but two that can be gone on from without the others: that after `step` steps is the first.

        The second is the state that the first needs or, if it needs none, the one before it, or what that one needs.
        """
        manifests = {step: manifest for step, manifest in self._manifests().items() if isinstance(manifest, dict)}
        kept = [step, *manifests[step]["needs"]]
        if earlier := [other for other in manifests if other < step and len(kept) < KEPT_STATES]:
            kept += manifests[max(earlier)]["needs"] or [max(earlier)]
        for other in self._manifests().keys() - set(kept):
            remove(self.path(other))

    def _of_this_job(self) -> dict[int, Manifest]:
        """The manifests of the states whose identity is this job's; the others are removed, with what is no state."""
        tidy(self.folder, self.prefix, self.digits)
        manifests = {}
        for step, manifest in self._manifests().items():
            if isinstance(manifest, UserError):
                self._drop(step, manifest)
            elif changed := differences(manifest["identity"], self.identity):
                self._drop(step, f"saved by a job that differed in {', '.join(changed)}")
            else:
                manifests[step] = manifest
        return manifests

    def _manifests(self) -> dict[int, Manifest | UserError]:
        """Every state's manifest, or what is wrong with it."""
        manifests: dict[int, Manifest | UserError] = {}
        for step, folder in numbered(self.folder, self.prefix, self.digits).items():
            try:
                manifests[step] = _read_own_manifest(folder, step)
            except UserError as problem:
                manifests[step] = problem
        return manifests

    def _check_whole(self, step: int, manifests: dict[int, Manifest], hasher: Hasher) -> None:
        """Raises UserError if a state is not there or not as its manifest says."""
        if step not in manifests:
            raise UserError(f"needs {self.path(step)}, which is not there or not good")
        check_hashes(self.path(step), manifests[step]["files"], hasher)

    def _drop(self, step: int, problem: object) -> None:
        log(f"warning: {self.path(step)}: {problem}; removed")
        remove(self.path(step))


def states_at_once(saves: int) -> int:
    """How many states of a job that saves so often lie on the disk at a time: those kept and the one being written."""
    return min(saves, KEPT_STATES + 1)


def numbered(folder: Path, prefix: str = "", digits: int = 1) -> dict[int, Path]:
    """What in a folder is named `prefix` and a number of at least `digits` digits, in the order of numbers."""
    paths = {}
    for path in folder.iterdir():
        number = path.name.removeprefix(prefix)
        if re.fullmatch(r"[0-9]+", number) and path.name == f"{prefix}{int(number):0{digits}d}":
            paths[int(number)] = path
    return dict(sorted(paths.items()))


def tidy(folder: Path, prefix: str = "", digits: int = 1) -> None:
    """Remove what killed writes of a folder's numbered entries left, and name what else is in it; a line each."""
    for stray in sorted(set(folder.iterdir()) - set(numbered(folder, prefix, digits).values())):
        if re.fullmatch(rf"\.{re.escape(prefix)}[0-9]+\.\w{{8}}", stray.name):
            log(f"warning: {stray}: left by a save or a removal that was cut off; removed")
            _rmtree(stray)
        else:
            log(f"warning: {stray}: a name that no state has; ignored")


def write_manifest(folder: Path, facts: Manifest, hasher: Hasher | None = None) -> None:
    """Write a folder's manifest, atomically: `facts`, and the sha256 of each file, which is synced first."""
    names = [file.relative_to(folder).as_posix() for file in files_under(folder) if file != folder / MANIFEST]
    write_json(folder / MANIFEST, {**facts, "files": (hasher or hash_alone)(folder, names, True)})


def read_manifest(folder: Path) -> Manifest:
    """A folder's manifest. Raises UserError if it is missing, is cut short, or is something else."""
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{path}: no such file, so the save was cut off")
    try:
        manifest = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected JSON: {error}") from None
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(isinstance(value, str) for value in files.values()):
        raise UserError(f"{path}: files: expected a sha256 for each, as in the manifest of a state")
    return manifest


def check_state(folder: Path) -> Manifest:
    """The manifest of a state, after its files were compared with it. Raises UserError naming what is wrong."""
    manifest = read_manifest(folder)
    check_hashes(folder, manifest["files"])
    return manifest


def hashes(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """The sha256 of files, by their path under `root`."""
    return {file.relative_to(root).as_posix(): sha256(file) for file in files}


def hash_alone(root: Path, names: Sequence[str], written: bool) -> dict[str, str]:
    """The sha256 of the files of these names under `root`, synced first if they were just written.

    What cannot be read is left out.
    """
    found = {}
    for name in names:
        try:
            if written:
                sync(root / name)
            found[name] = sha256(root / name)
        except OSError:
            if written:
                raise
    return found


def check_hashes(root: Path, expected: dict[str, str], hasher: Hasher = hash_alone) -> None:
    """Raises UserError for the first file under `root` that is missing or has another sha256."""
    found = hasher(root, list(expected), False)
    for name, value in expected.items():
        actual = found.get(name)
        if actual is None:
            raise UserError(f"{root / name}: {_unreadable(root / name)}")
        if actual != value:
            raise UserError(f"{root / name}: expected sha256 {value[:12]}…, found {actual[:12]}…")


def _unreadable(path: Path) -> str:
    """Why a file could not be hashed."""
    try:
        with path.open("rb"):
            return "could not be read by the rank that was to hash it"
    except OSError as error:
        return str(error.strerror)


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where two identities differ, sorted: `settings.learning_rate`. As JSON: a tuple is a list, 1 is not true."""
    leaves = dict(_leaves(one)), dict(_leaves(other))
    names = leaves[0].keys() | leaves[1].keys()
    return [".".join(name) for name in sorted(names) if leaves[0].get(name) != leaves[1].get(name)]


def remove(path: Path) -> None:
    """Take a folder's name away, then its files: one that is half removed has no name that anybody reads.

    Raises UserError if that cannot be done.
    """
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.rename(hidden)
    except OSError as error:
        raise UserError(f"{path}: expected to be able to remove it: {error.strerror}") from None
    _rmtree(hidden)


def _leaves(value: Any, name: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*name, key))
    else:
        yield name, json.dumps(value)


def _read_own_manifest(folder: Path, step: int) -> Manifest:
    """The manifest of a state after `step` steps. Raises UserError if one of the entries that all have is missing."""
    manifest = read_manifest(folder)
    if not isinstance(manifest.get("identity"), dict):
        raise UserError(f"{folder / MANIFEST}: identity: expected what the job computes, found none")
    if manifest.get("step") != step:
        raise UserError(f"{folder / MANIFEST}: step: expected {step}, found {manifest.get('step')!r}")
    needs = manifest.get("needs")
    if not isinstance(needs, list) or not all(isinstance(other, int) for other in needs):
        raise UserError(f"{folder / MANIFEST}: needs: expected a list of steps, found {needs!r}")
    return manifest


def _rmtree(path: Path) -> None:
    """Remove what can be removed: NFS keeps a file that some program has open, under another name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
