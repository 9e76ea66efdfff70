"""A hub that says no, that is not there, that has other things; and a work folder with what another call left."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from hub_stand_in import COMMIT, OTHER, Hub, serving
from mmr1.data import hub as client
from mmr1.plumbing.errors import UserError
from work_holder import held_elsewhere


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, and the client of this process set to it."""
    with serving() as (url, served):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(client, "FIRST_WAIT", 0)
        served.files = {"data/a.parquet": b"a" * 1000, "data/b.parquet": b"b" * 1000, "README.md": b"not asked for"}
        yield served


def download(folder: Path, *patterns: str, commit: str = COMMIT) -> dict[str, bytes]:
    """The files that a download gives."""
    out = folder / "out"
    client.download("some/thing", "dataset", commit, patterns or ("*.parquet",), folder / "work", out)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def expected(hub: Hub) -> dict[str, bytes]:
    return {name: data for name, data in hub.files.items() if name.endswith(".parquet")}


# --- what another call left


def lay(path: Path, data: bytes = b"left") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


LEFT: dict[str, Callable[[Path], None]] = {
    "a file that the commit does not have": lambda work: lay(work / "old.parquet"),
    "a file that is not asked for": lambda work: lay(work / "README.md", b"not asked for"),
    "a file of another revision": lambda work: lay(work / "data/a.parquet"),
    "notes of the client's that are damaged": lambda work: lay(
        work / ".cache/huggingface/download/data/a.parquet.metadata"
    ),
    "half a file": lambda work: lay(work / ".cache/huggingface/download/data/a.parquet.x.incomplete"),
}


@pytest.mark.parametrize("left", LEFT)
def test_what_another_call_left_is_neither_taken_nor_in_the_way(hub: Hub, tmp_path: Path, left: str) -> None:
    LEFT[left](tmp_path / "work")
    assert download(tmp_path) == expected(hub)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_a_killed_download_of_another_revision_and_of_other_files_leaves_no_byte(hub: Hub, tmp_path: Path) -> None:
    def kill(folder: Path) -> None:
        raise KeyboardInterrupt

    before = {"data/a.parquet": b"old", "data/old.parquet": b"old", "README.md": b"old"}
    now, hub.files = hub.files, before
    with pytest.raises(KeyboardInterrupt):
        client.download("some/thing", "dataset", OTHER, (), tmp_path / "work", tmp_path / "out", kill)
    assert (tmp_path / "work" / "data" / "old.parquet").exists()
    hub.files = now
    assert download(tmp_path) == expected(hub)


def test_what_is_named_is_what_is_there(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(tmp_path / "work" / "old.parquet")
    download(tmp_path)
    assert f"warning: {tmp_path}/work/old.parquet: left by another download; removed" in capsys.readouterr().err


def test_an_older_download_gives_way_as_a_whole(hub: Hub, tmp_path: Path) -> None:
    lay(tmp_path / "out" / "old.parquet")
    assert download(tmp_path) == expected(hub)


def test_two_downloads_into_one_folder(hub: Hub, tmp_path: Path) -> None:
    with (
        held_elsewhere(tmp_path / "work") as other,
        pytest.raises(UserError, match=rf"work: expected no other program there, found process {other.pid} on "),
    ):
        download(tmp_path)
    assert download(tmp_path) == expected(hub)


def test_a_file_that_the_hub_lists_and_does_not_give(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client returns the folder as it is where the hub fails between two of its requests."""
    monkeypatch.setattr(client, "snapshot_download", lambda *words, **more: None)
    with pytest.raises(UserError, match=r"a\.parquet: expected the file from the hub, found none; run again"):
        download(tmp_path)
    assert not (tmp_path / "out").exists()


def test_patterns_that_match_nothing(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"some/thing@{COMMIT}: expected files like \*\.tar, found none"):
        download(tmp_path, "*.tar")


@pytest.mark.parametrize("large", [True, False])
def test_a_flipped_byte_in_the_client_s_own_cache(
    hub: Hub, tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where benchmarks come from."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub.large = set(hub.files) if large else set()
    cached = Path(hf_hub_download("some/thing", "data/a.parquet", revision=COMMIT, repo_type="dataset"))
    client.check_cache("some/thing", "dataset", COMMIT)
    cached.resolve().write_bytes(b"A" + hub.files["data/a.parquet"][1:])
    with pytest.raises(UserError, match=r": expected the hash .*; removed, run again$"):
        client.check_cache("some/thing", "dataset", COMMIT)
    again = Path(hf_hub_download("some/thing", "data/a.parquet", revision=COMMIT, repo_type="dataset"))
    assert again.read_bytes() == hub.files["data/a.parquet"]


# --- a hub that says no


REFUSALS = {
    "a wrong token": ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}), "answers 401"),
    "no token, or no such repository": ((401, {"X-Error-Code": "RepoNotFound"}), "answers 401: no such repository"),
    "a gated repository": ((403, {"X-Error-Code": "GatedRepo"}), "gated: accept its conditions on its page"),
    "a token that may not read it": ((403, {}), "answers 403"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_asked_once_and_says_how_to_log_in(hub: Hub, refusal: str) -> None:
    hub.refusal, words = REFUSALS[refusal]
    with pytest.raises(
        UserError, match=rf"^the hub: some/thing: .*{words}.*`hf auth login`\) or set HF_TOKEN"
    ) as caught:
        client.resolve("some/thing", "model", "abc")
    assert "\n" not in str(caught.value)
    assert hub.asked == 1


def test_a_repository_that_is_not_there_is_asked_once(hub: Hub) -> None:
    hub.refusal = (404, {"X-Error-Code": "RepoNotFound"})
    with pytest.raises(UserError, match=r"^the hub: some/thing: RepositoryNotFoundError: 404"):
        client.resolve("some/thing", "model", "abc")
    assert hub.asked == 1


def test_an_error_of_its_own_may_pass(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again itself, and we after it."""
    monkeypatch.setattr(time, "sleep", lambda seconds: setattr(hub, "refusal", None) if hub.asked > 7 else None)
    hub.refusal = (503, {})
    assert client.resolve("some/thing", "model", "662") == COMMIT


def test_offline_is_told_without_a_request(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^the hub: some/thing: HF_HUB_OFFLINE is set, so that nothing is fetched"):
        client.resolve("some/thing", "model", "abc")
    assert hub.asked == 0


# --- a hub that is not there


@pytest.fixture
def closed() -> Iterator[str]:
    """A port at which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A port at which connections wait for ever: nothing accepts them, and the queue is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for one in waiting:
            one.close()


def refused(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of a hub at a URL."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    with pytest.raises(UserError) as caught:
        client.resolve("some/thing", "model", "abc")
    return str(caught.value)


def test_a_hub_that_refuses_connections(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = closed.removeprefix("http://")
    assert refused(closed, monkeypatch) == f"the hub: {place} cannot be reached: Connection refused"


def test_a_black_hole(black_hole: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.SECONDS_TO_CONNECT < 30
    monkeypatch.setattr(client, "SECONDS_TO_CONNECT", 0.5)
    place = black_hole.removeprefix("http://")
    assert refused(black_hole, monkeypatch).startswith(f"the hub: {place} cannot be reached: ")


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*words: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    line = "the hub: hub.invalid:443 cannot be reached: Name or service not known"
    assert refused("https://hub.invalid", monkeypatch) == line


def test_a_name_service_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SECONDS_TO_CONNECT", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *words: time.sleep(5))
    line = "the hub: silent.invalid:443 cannot be reached: no answer within 0 s"
    assert refused("https://silent.invalid", monkeypatch) == line


def test_behind_a_proxy_it_is_the_proxy_that_must_be_there(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", closed)
    place = closed.removeprefix("http://")
    assert refused("http://hub.invalid", monkeypatch) == f"the hub: {place} cannot be reached: Connection refused"
