"""Repositories of the Hugging Face hub at a pinned commit, each file checked against the hash that the hub gives."""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import HfApi, RepoFile, constants, set_client_factory, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects
from huggingface_hub.utils._http import default_client_factory
from tenacity import RetryCallState, Retrying, stop_after_attempt, wait_exponential

from mmr1.plumbing.disk import bytes_under, check_room, no_room
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, sha256, sync
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.states import remove
from mmr1.plumbing.work_folder import WorkFolder

Kind = Literal["model", "dataset"]
Result = TypeVar("Result")

ATTEMPTS, FIRST_WAIT = 5, 2.0  # seconds, doubled each time
SECONDS_TO_CONNECT = 20.0  # for the hub's name and all its addresses together; a person waits for this
SECONDS_TO_ANSWER = 60.0  # the client itself has no limit

# What the hub answers when another attempt may help: too many requests, and errors of its own.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
LOG_IN = "log in (`hf auth login`) or set HF_TOKEN"


@dataclass(frozen=True)
class Promised:
    """What the hub says of a file: the sha256 of a large one, git's name for the content of another; its bytes."""

    digest: str
    bytes: int


def resolve(repository: str, kind: Kind, revision: str | None) -> str:
    """The full commit hash that `revision` begins; the newest without one. Raises UserError if it is not one commit."""
    listed = reached(repository, lambda: HfApi().list_repo_commits(repository, repo_type=kind))
    commits = [commit.commit_id for commit in listed]
    if not commits:
        raise UserError(f"{repository}: expected commits from the hub, found none")
    if revision is None:
        return commits[0]
    matching = [commit for commit in commits if commit.startswith(revision)]
    if len(matching) != 1:
        raise UserError(
            f"{repository}: revision {revision}: expected one commit that begins with it, found {len(matching)}"
        )
    return matching[0]


def download(
    repository: str,
    kind: Kind,
    commit: str,
    patterns: Sequence[str],
    work: Path,
    out: Path,
    check: Callable[[Path], object] | None = None,
) -> int:
    """Make `out` hold the files of a repository that match `patterns` (all without any), and return their number.

    Files are gathered in `work`, which is kept when this fails or is killed, so that the next call goes on from there;
    what lies there and is not asked for is removed. `out` appears when every file is there and has the hash that the
    hub gives, and `check` of the folder has passed. Raises UserError for a file that has another hash, if there is no
    room on the disk, if another program is in `work`, and whatever `check` raises.
    """
    folder = WorkFolder(work)
    folder.hold(apart_from=[out])
    tree = reached(repository, lambda: _tree(repository, kind, commit))
    promised = {name: tree[name] for name in filter_repo_objects(tree, allow_patterns=list(patterns) or None)}
    if not promised:
        raise UserError(f"{repository}@{commit}: expected files like {', '.join(patterns) or '*'}, found none")
    _remove_others(work, promised.keys())
    check_room({work: sum(file.bytes for file in promised.values()) - bytes_under(work)})
    reached(
        repository,
        lambda: snapshot_download(
            repository, repo_type=kind, revision=commit, local_dir=work, allow_patterns=list(patterns) or None
        ),
    )
    for name, file in track(promised.items(), "checking files", len(promised)):
        _check(work / name, file)
    if check is not None:
        check(work)
    shutil.rmtree(_notes(work), ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        remove(out)
    os.replace(work, out)
    folder.leave()
    log(f"{repository}@{commit}: {len(promised)} files")
    return len(promised)


def check_cache(repository: str, kind: Kind, commit: str) -> None:
    """Compare what the client's own cache holds of a commit with the hashes that the hub gives.

    Raises UserError for a file that has another one, and removes it, so that it is fetched again.
    """
    for name, file in reached(repository, lambda: _tree(repository, kind, commit)).items():
        path = try_to_load_from_cache(repository, name, revision=commit, repo_type=kind)
        if isinstance(path, str):
            _check(Path(path).resolve(), file)


def _notes(work: Path) -> Path:
    """Where the client keeps what it knows of the files that it has fetched."""
    return work / ".cache"


def _remove_others(work: Path, names: Set[str]) -> None:
    """Remove what another revision or another choice of files left in a work folder; says so, a line each."""
    for file in files_under(work) if work.is_dir() else []:
        if _notes(work) not in file.parents and file.relative_to(work).as_posix() not in names:
            log(f"warning: {file}: left by another download; removed")
            file.unlink()


def _check(path: Path, file: Promised) -> None:
    """Raises UserError if a file is missing, or is another than was promised: it is removed, to be fetched again."""
    if not path.is_file():
        raise UserError(f"{path}: expected the file from the hub, found none; run again")
    digest = sha256(path) if len(file.digest) == 64 else git_blob(path)
    if digest != file.digest:
        path.unlink()
        raise UserError(f"{path}: expected the hash {file.digest}, found {digest}; removed, run again")
    sync(path)


def git_blob(path: Path) -> str:
    """The name that git gives a file's content: what the hub has for a file that is not large."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _tree(repository: str, kind: Kind, commit: str) -> dict[str, Promised]:
    """What the hub says of each file of a commit, by name."""
    tree = HfApi().list_repo_tree(repository, recursive=True, revision=commit, repo_type=kind)
    return {
        file.path: Promised(file.lfs.sha256 if file.lfs else file.blob_id, file.size)
        for file in tree
        if isinstance(file, RepoFile)
    }


def reached(repository: str, request: Callable[[], Result]) -> Result:
    """What a request to the hub gives, after more tries where they may help. Raises UserError in one line otherwise."""
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"the hub: {repository}: HF_HUB_OFFLINE is set, so that nothing is fetched; unset it")
    check_reachable(constants.ENDPOINT)
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT, max=60),
        retry=_may_help,
        reraise=True,
    )
    try:
        return attempts(request)
    except UserError:
        raise
    except Exception as error:  # the client raises types of several libraries for a network that is not there
        raise UserError(f"the hub: {repository}: {_reason(error)}") from None


@cache
def check_reachable(endpoint: str) -> None:
    """Raises UserError if nothing listens where the hub is, or no proxy where one is set; the client would try on."""
    set_client_factory(_client)
    url = urlsplit(endpoint)
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.hostname or ""):
        url = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    place = (url.hostname or "", url.port or {"https": 443}.get(url.scheme, 80))
    failures: list[str] = [f"no answer within {SECONDS_TO_CONNECT:.0f} s"]

    def connect() -> None:
        try:
            socket.create_connection(place, SECONDS_TO_CONNECT).close()
            failures.clear()
        except OSError as error:
            failures[:] = [error.strerror or str(error)]

    # A thread, for nothing limits the time in which a name is looked up.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(SECONDS_TO_CONNECT)
    for failure in failures:
        raise UserError(f"the hub: {place[0]}:{place[1]} cannot be reached: {failure}")


def _client() -> Any:
    client = default_client_factory()
    client.timeout = SECONDS_TO_ANSWER
    return client


def _may_help(state: RetryCallState) -> bool:
    """Whether another attempt may help: not where the hub says no, nor where something else than the network fails."""
    error = _cause(state.outcome.exception() if state.outcome else None)
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    return error is not None and no_room(error) is None and not isinstance(error, UserError | FileNotFoundError)


def _reason(error: BaseException | None) -> str:
    """An error of the client's, in one line that says what to do where the client knows it."""
    error = _cause(error)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return f"gated: accept its conditions on its page, then {LOG_IN}, with that account"
    if status in (401, 403):
        return f"the hub answers {status}: no such repository, or none that may be read without logging in: {LOG_IN}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _cause(error: BaseException | None) -> BaseException | None:
    """What the client met when it says that a file is neither on the hub nor in its cache; else the error itself."""
    return error.__cause__ or error if isinstance(error, LocalEntryNotFoundError) else error
