"""A whole round whose rollouts a server makes, as the recipe asks for with `engine: {name: server, url: …}`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grpo_fixtures import settings
from mmr1.data.problems import Problem
from mmr1.plumbing.files import read_json
from trainer_harness import small_setup, trainers

PROGRAM = Path(__file__).parents[1] / "scripts" / "serve_rollouts.py"


@pytest.mark.slow
def test_a_round_with_a_server_is_the_round_without(tmp_path: Path, digit_problems: list[Problem]) -> None:
    """To the last bit: the server has the same engine, the same seeds, and new weights after every step."""
    setup = small_setup(tmp_path, digit_problems)
    schedule = setup.schedule(range(3), size=4)
    ready = tmp_path / "ready.json"
    command = [sys.executable, str(PROGRAM), "--model", str(setup.model), "--ready", str(ready)]
    command += ["--max-tokens", "16", "--max-images", "4", "--max-prompt-tokens", "200"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.1)
        engines = {"local": {"name": "transformers"}, "served": {"name": "server", "url": read_json(ready)["url"]}}
        with trainers() as server:
            for name, engine in engines.items():
                chosen = setup.settings(name, group_size=2, mini_batch_size=2, learning_rate=1e-3, engine=engine)
                code = server.wait(server.start(setup.arguments(name, chosen, schedule), setup.log(name)))
                assert code == 0, setup.log(name).read_text()[-2000:]
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    hashes = {name: setup.hashes(name) for name in engines}
    # A state's manifest says which settings it was saved under.
    compared = [name for name in hashes["local"] if not name.endswith("manifest.json")]
    assert len(compared) > 8
    assert [hashes["served"][name] for name in compared] == [hashes["local"][name] for name in compared]


def test_only_a_server_has_an_address() -> None:
    for engine in ({"name": "server"}, {"name": "vllm", "url": "http://node:8000"}):
        with pytest.raises(ValueError, match="url: expected for the engine server and no other, found"):
            settings(engine=engine)
