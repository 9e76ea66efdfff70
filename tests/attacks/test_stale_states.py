"""A finished SFT, asked for again with other settings: the real Snakemake trains anew, whatever the run before left."""

from pathlib import Path

import pytest

from forking import ForkingServer
from mmr1.plumbing.files import files_under, read_json, sha256
from project import copy_project, snakemake

CHECKPOINT = "results/tiny/tiny/sft/checkpoint"
OTHER_RATE = ("--config", "sft={learning_rate: 1.0e-5}", "redo=true")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def made(server: ForkingServer, project: Path, *words: str) -> dict[str, str]:
    """The sha256 of each file of the checkpoint, once it was asked for."""
    snakemake(project, CHECKPOINT, *words, PATH=server.path)
    assert not list((project / "results/tiny/work").rglob("checkpoint-*"))
    return {path.name: sha256(path) for path in files_under(project / CHECKPOINT)}


def test_another_learning_rate_gives_the_weights_of_a_fresh_project(server: ForkingServer, tmp_path: Path) -> None:
    project, fresh = (copy_project(tmp_path / name) for name in ("project", "fresh"))
    before = made(server, project)
    after = made(server, project, *OTHER_RATE)
    assert after["model.safetensors"] != before["model.safetensors"]
    assert after == made(server, fresh, *OTHER_RATE)
    names = {read_json(one / "results/tiny/records/train_sft/tiny.json")["name"] for one in (project, fresh)}
    assert len(names) == 1
