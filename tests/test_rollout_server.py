"""A served engine answers as the engine it serves does, takes weights, and keeps strangers out."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import torch

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.rollout.engines.transformers import TransformersEngine
from mmr1.rollout.make import make_engine
from mmr1.rollout.requests import Request, Rollout, Sampling, group_requests
from mmr1.rollout.server_engine import TOKEN_VARIABLE, ServerEngine, serve
from mmr1.rollout.wire import pack_weights, unpack_weights

PROGRAM = Path(__file__).parents[1] / "scripts" / "serve_rollouts.py"
SAMPLED = Sampling(temperature=1.0, max_tokens=8)


@pytest.fixture(scope="module")
def encoder(tiny_model_dir: Path) -> PromptEncoder:
    return PromptEncoder(load_processor(tiny_model_dir), "Think first.")


@pytest.fixture
def local(tiny_model_dir: Path, encoder: PromptEncoder) -> TransformersEngine:
    return TransformersEngine.from_folder(tiny_model_dir, encoder, max_prompt_tokens=150)


@pytest.fixture
def url(tiny_model_dir: Path, encoder: PromptEncoder) -> Iterator[str]:
    """A server in a thread, on a model of its own."""
    engine = TransformersEngine.from_folder(tiny_model_dir, encoder, max_prompt_tokens=150)
    server = serve(engine, encoder, "127.0.0.1", 0, max_images=4, max_tokens=8)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def requests_for(problems: list[Problem]) -> list[Request]:
    return [request for problem in problems[:4] for request in group_requests(problem, 2, 0, "test")]


def same(first: list[Rollout], second: list[Rollout]) -> bool:
    return all(
        np.array_equal(a.token_ids, b.token_ids)
        and np.array_equal(a.logprobs, b.logprobs)
        and (a.problem_id, a.rollout, a.seed, a.text, a.finish_reason)
        == (b.problem_id, b.rollout, b.seed, b.text, b.finish_reason)
        for a, b in zip(first, second, strict=True)
    )


def test_served_rollouts_are_local_ones(
    url: str,
    local: TransformersEngine,
    encoder: PromptEncoder,
    digit_problems: list[Problem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the last bit, before and after a weight update that travels in several pieces."""
    monkeypatch.setattr("mmr1.rollout.wire.PIECE_BYTES", 100_000)
    remote = ServerEngine(url, encoder, max_images=4, max_tokens=8)
    requests = requests_for(digit_problems)
    before = local.generate(requests, SAMPLED)
    assert same(remote.generate(requests, SAMPLED), before)
    noise = torch.Generator().manual_seed(1)
    weights = {
        name: weight + 0.02 * torch.randn(weight.shape, generator=noise)
        for name, weight in local.model.state_dict().items()
    }
    for engine in (local, remote):
        engine.load_weights(weights.items())
    after = local.generate(requests, SAMPLED)
    assert same(remote.generate(requests, SAMPLED), after)
    assert not same(before, after)


def test_weights_survive_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmr1.rollout.wire.PIECE_BYTES", 40)
    weights = {f"w{size}": torch.arange(size, dtype=torch.bfloat16) for size in (3, 30, 5, 1)}
    pieces = list(pack_weights(weights.items()))
    assert len(pieces) == 3
    received = dict(unpack_weights(pieces))
    assert received.keys() == weights.keys()
    assert all(torch.equal(received[name], weight) for name, weight in weights.items())


def test_mistakes_of_the_user_come_back(url: str, encoder: PromptEncoder, digit_problems: list[Problem]) -> None:
    remote = ServerEngine(url, encoder, max_images=4, max_tokens=8)
    long = Problem("long", "test", "x" * 200, (), "1")
    with pytest.raises(UserError, match="problem long: expected a prompt of at most 150 tokens"):
        remote.generate(group_requests(long, 1, 0, "test"), SAMPLED)
    assert len(remote.generate(requests_for(digit_problems), SAMPLED)) == 8


def test_another_prompt_is_refused(url: str, tiny_model_dir: Path) -> None:
    other = PromptEncoder(load_processor(tiny_model_dir), "Answer at once.")
    with pytest.raises(UserError, match=r"system_prompt: expected 'Answer at once\.', found 'Think first\.'"):
        ServerEngine(url, other, max_images=4, max_tokens=8)


def test_too_small_a_server_is_refused(url: str, encoder: PromptEncoder) -> None:
    with pytest.raises(UserError, match="max_tokens: expected at least 9, found 8"):
        ServerEngine(url, encoder, max_images=4, max_tokens=9)


def test_no_server(encoder: PromptEncoder, tiny_model_dir: Path) -> None:
    with pytest.raises(UserError, match="no answer in 0 s"):
        ServerEngine("http://127.0.0.1:9", encoder, max_images=4, max_tokens=8, patience=0)
    with pytest.raises(UserError, match="expected an address of the form http://host:port, found None"):
        make_engine("server", tiny_model_dir, encoder, max_images=4, max_tokens=8)


def test_strangers_are_kept_out(url: str, encoder: PromptEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    ServerEngine(url, encoder, max_images=4, max_tokens=8)
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/generate", body=b"{}", headers={"Authorization": "Bearer guess"})
    assert connection.getresponse().status == 401
    connection.close()


def test_an_open_address_needs_a_token(
    local: TransformersEngine, encoder: PromptEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(UserError, match=f"expected the environment variable {TOKEN_VARIABLE}"):
        serve(local, encoder, "0.0.0.0", 0, max_images=4, max_tokens=8)


def test_program(tiny_model_dir: Path, encoder: PromptEncoder, digit_problems: list[Problem], tmp_path: Path) -> None:
    """The program says where it listens, serves, and ends on SIGTERM with code 0."""
    ready, prompt = tmp_path / "ready.json", tmp_path / "prompt.txt"
    prompt.write_text("Think first.\n")
    command = [sys.executable, str(PROGRAM), "--model", str(tiny_model_dir), "--system-prompt", str(prompt)]
    command += ["--max-tokens", "8", "--max-images", "4", "--ready", str(ready)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.1)
        remote = ServerEngine(read_json(ready)["url"], encoder, max_images=4, max_tokens=8)
        assert len(remote.generate(requests_for(digit_problems), SAMPLED)) == 8
        assert remote.notes() == {**remote.notes(), "engine": "transformers", "served": True}
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
