"""Repositories of the Hugging Face hub at a pinned commit, each file checked against the hash that the hub gives."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import HfApi, RepoFile, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, wait_exponential

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import files_under, sha256
from mmr1.plumbing.progress import log, track

Kind = Literal["model", "dataset"]
Result = TypeVar("Result")

ATTEMPTS, FIRST_WAIT = 5, 2.0  # seconds, doubled each time

# Errors that another attempt does not fix.
FINAL = (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError, UserError)


def resolve(repository: str, kind: Kind, revision: str | None) -> str:
    """The full commit hash that `revision` begins; the newest without one. Raises UserError if it is not one commit."""
    commits = [commit.commit_id for commit in reached(lambda: HfApi().list_repo_commits(repository, repo_type=kind))]
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
    `out` appears when every file is there and has the hash that the hub gives, and `check` of the folder has passed.
    Raises UserError for a file that has another hash, and whatever `check` raises.
    """
    expected = reached(lambda: _hashes(repository, kind, commit))
    reached(
        lambda: snapshot_download(
            repository, repo_type=kind, revision=commit, local_dir=work, allow_patterns=list(patterns) or None
        )
    )
    notes = work / ".cache"  # the client's, on what it has fetched
    files = [file for file in files_under(work) if notes not in file.parents]
    for file in track(files, "checking files"):
        name = file.relative_to(work).as_posix()
        digest = sha256(file) if len(expected[name]) == 64 else git_blob(file)
        if digest != expected[name]:
            file.unlink()
            raise UserError(f"{file}: expected the hash {expected[name]}, found {digest}; removed, run again")
    if not files:
        raise UserError(f"{repository}@{commit}: expected files like {', '.join(patterns) or '*'}, found none")
    if check is not None:
        check(work)
    shutil.rmtree(notes, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        shutil.rmtree(out)
    os.replace(work, out)
    log(f"{repository}@{commit}: {len(files)} files")
    return len(files)


def git_blob(path: Path) -> str:
    """The name that git gives a file's content: what the hub has for a file that is not large."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _hashes(repository: str, kind: Kind, commit: str) -> dict[str, str]:
    """By file name: the sha256 of a large file, git's name for the content of another."""
    tree = HfApi().list_repo_tree(repository, recursive=True, revision=commit, repo_type=kind)
    return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in tree if isinstance(file, RepoFile)}


def reached(request: Callable[[], Result]) -> Result:
    """What a request to the hub gives, after more tries where they may help. Raises UserError in one line otherwise."""
    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT, max=60),
        retry=retry_if_not_exception_type(FINAL),
        reraise=True,
    )
    try:
        return attempts(request)
    except UserError:
        raise
    except Exception as error:  # the client raises types of several libraries for a network that is not there
        raise UserError(f"the hub: {type(error).__name__}: {str(error).strip().splitlines()[0]}") from None
