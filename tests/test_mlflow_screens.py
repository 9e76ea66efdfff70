"""The three questions of an auditor, asked at MLflow's pages by a browser (README). Needs Chromium.

The results were moved since they were shown, and `make mlflow` opens them. The pictures stay in pytest's temporary
folder, by default as /tmp/pytest-of-$USER/pytest-current/screenshots/mlflow-*.png.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import CHROMIUM, Browser, browsing
from mlflow_store import ROOT, Store, needs_driver
from mmr1.plumbing.files import read_json
from synthetic_results import SyntheticResults

pytestmark = [
    needs_driver,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Results that were shown where they were made, and lie elsewhere now."""
    folder = tmp_path_factory.mktemp("screens")
    made = Store(folder / "made")
    synthetic = SyntheticResults(made.results, rounds=1, steps=3)
    page = made.results / "report.html"
    page.write_text("<h1>Did VAS help?</h1>")
    synthetic.record("make_report", "report", {}, {"out": [page]})
    made.exported()
    made.folder.rename(folder / "my moved")
    return Store(folder / "my moved")


@pytest.fixture(scope="module")
def address(moved: Store) -> Iterator[str]:
    """What `make mlflow` says where to look, once it is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["make", "--old-file=env", "--no-print-directory", "mlflow", f"RESULTS={moved.results}", f"PORT={port}"]
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline().split()[0]
        end = time.monotonic() + 600
        while True:
            assert process.poll() is None
            assert time.monotonic() < end
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).close()
                break
            except OSError:
                time.sleep(0.2)
        yield said
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder


def test_which_checkpoint_is_best_and_what_made_this_number(
    browser: Browser, address: str, moved: Store, pictures: Path
) -> None:
    """One click: checkpoints with their accuracies. Two more: the run that made one, with all that it was made of."""
    browser.open(address)
    browser.read("tiny/vas/seed0", "tiny/grpo/seed0", "shared")
    browser.picture(pictures / "mlflow-runs.png")
    browser.click("Models")
    scores = read_json(moved.results / "tiny/eval/vas-seed0/digits/scores.json")["scores"]["reader"]
    browser.read("tiny-vas-seed0-round0", "eval/digits/reader/accuracy", f"{scores['accuracy']:g}")
    browser.picture(pictures / "mlflow-models.png")
    browser.click("tiny-vas-seed0-round0")
    browser.read("score_benchmark tiny/vas-seed0/digits", f"{scores['accuracy']:g}", "Source run")
    browser.click("train_grpo round0")
    record = read_json(moved.results / "records/train_grpo/tiny/vas/seed0/round0.json")
    browser.read(
        "by user on host",
        "2 × x86_64",
        "Python 3.11.2, torch 2.9.0",
        f"sha256 {record['key']['inputs']['problems'][0]['sha256'][:12]}",
        "model: results/digits/tiny/sft/checkpoint",
        "seed",
        "aaaaaaa",  # the commit
        "tiny/vas/seed0",  # its parent run
    )
    browser.picture(pictures / "mlflow-made-by.png")


def test_has_anything_changed_and_what_is_to_be_run_again(
    browser: Browser, address: str, moved: Store, pictures: Path
) -> None:
    """Two clicks from the list of models, in the words of the shell."""
    browser.open(f"{address.partition('/runs')[0]}/models?workflowType=machine_learning")
    browser.read("tiny-sft")
    browser.click("train_sft tiny")
    record = read_json(moved.results / "records/train_sft/tiny.json")
    path = "results/digits/records/train_sft/tiny.json"
    browser.read(
        "make audit ARGS=--full FILE=results/digits/tiny/sft/checkpoint",
        f"snakemake --profile workflow/profiles/local --forcerun {path} -- {path}",
        record["name"][:12],
        record["integrity"][:12],
    )
    browser.click("Show more", "button, span, a, div")
    browser.picture(pictures / "mlflow-again.png")


def test_the_report_and_the_record_lie_where_the_results_were_moved(
    browser: Browser, address: str, moved: Store, pictures: Path
) -> None:
    browser.open(address)
    browser.read("shared")
    browser.click("shared")
    browser.read("What the runs have in common")
    shared = moved.runs("parent")["shared"]["id"]
    browser.open(f"{address.partition('/runs')[0]}/runs/{shared}/artifacts/report/report.html")
    browser.read("report.html")
    browser.picture(pictures / "mlflow-report.png")
    server = address.partition("/#")[0]
    with urllib.request.urlopen(f"{server}/get-artifact?path=report/report.html&run_uuid={shared}") as answer:
        assert answer.read() == b"<h1>Did VAS help?</h1>"
