"""A team's MLflow server: several people's results in one experiment, trainings that are shown live, many at once."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forking import ForkingServer
from mlflow_store import DRIVER, ROOT, Server, Store, needs_driver, rows, runs, serving
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing import live
from mmr1.plumbing.files import read_json
from synthetic_results import SyntheticResults
from trainer_harness import small_setup

pytestmark = needs_driver

RUN = "tiny/vas/seed0"


@pytest.fixture(scope="module")
def mlflow() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a small run, not shown yet."""
    folder = tmp_path_factory.mktemp("finished")
    SyntheticResults(folder / "results/digits", rounds=1, steps=2)
    return folder


def clone(finished: Path, folder: Path) -> Store:
    """Somebody's checkout with these results."""
    shutil.copytree(finished, folder)
    return Store(folder)


def few(finished: Path, folder: Path) -> Store:
    """A clone with a few finished jobs."""
    store = clone(finished, folder)
    for rule in (store.results / "records").iterdir():
        if rule.name not in ("prepare_data", "train_sft", "train_grpo"):
            shutil.rmtree(rule)
    return store


def folder_of(store: Store) -> str:
    return str(read_json(store.results / "id.json")["id"])


def test_two_clones_of_one_recipe_show_their_runs_side_by_side(finished: Path, tmp_path: Path, mlflow: Server) -> None:
    """What either exports again changes nothing of the other's, nor does a run that somebody has there at work."""
    one, two = few(finished, tmp_path / "one"), few(finished, tmp_path / "two")
    one.exported(mlflow.url)
    experiment = read_json(one.results / "mlflow_runs.json")["experiment_id"]
    foreign = mlflow.ask("runs/create", experiment_id=experiment, run_name="by hand")["run"]["info"]["run_id"]
    two.exported(mlflow.url)
    before = runs(mlflow.database, "record", folder_of(one))
    assert "0 new runs" in one.exported(mlflow.url)
    assert "0 new runs" in two.exported(mlflow.url)
    assert runs(mlflow.database, "record", folder_of(one)) == before
    both = [runs(mlflow.database, "record", folder_of(store)) for store in (one, two)]
    assert set(both[0]) == set(both[1])
    ids = [{run["id"] for run in mine.values()} for mine in both]
    assert ids[0].isdisjoint(ids[1])
    for store, mine in zip((one, two), both, strict=True):
        assert all(run["name"].endswith(f" {folder_of(store)[:4]}]") for run in mine.values())
        assert {run["tags"]["mlflow.user"] for run in mine.values()} == {"user"}
    assert mlflow.ask(f"runs/get?run_id={foreign}")["run"]["info"]["status"] == "RUNNING"
    names = [name for (name,) in rows(mlflow.database, "select name from logged_models where name like '%vas%'")]
    assert {name.rpartition("-")[2] for name in names} == {folder_of(store)[:4] for store in (one, two)}
    assert list(mlflow.artifacts.rglob("round0.json"))


KILLED = """
import os, sys
from pathlib import Path
from mmr1.provenance.tracking.experiment import Experiment
from mmr1.provenance.tracking.export import export

log_artifact, calls = Experiment.log_artifact, []
Experiment.log_artifact = lambda *words: os._exit(9) if len(calls) == 3 else calls.append(log_artifact(*words))
export(Path("results/digits"), sys.argv[1])
"""


def test_an_export_that_is_killed_is_finished_by_the_next_and_leaves_nothing_running(
    finished: Path, tmp_path: Path, mlflow: Server
) -> None:
    store = few(finished, tmp_path / "killed")
    there = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    killed = subprocess.run([DRIVER, "-c", KILLED, mlflow.url], cwd=store.folder, env=there, timeout=800)
    assert killed.returncode == 9
    assert "RUNNING" in {run["status"] for run in runs_of(mlflow, store).values()}
    store.exported(mlflow.url)
    assert {run["status"] for run in runs_of(mlflow, store).values()} == {"FINISHED"}
    assert set(runs(mlflow.database, "record", folder_of(store))) == names(store)


# A job as the workflow starts it: a record, a start marker, steps that are told. It dies at a step if it is told to,
# and leaves out what a server would not have heard.
JOB = """
import argparse, os, sys
from pathlib import Path
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing import live
from mmr1.plumbing.files import write_jsonl
from mmr1.plumbing.record import add_job_arguments, job

parser = argparse.ArgumentParser()
parser.add_argument("--metrics", type=Path)
parser.add_argument("--steps", type=int)
parser.add_argument("--dies-at", type=int)
parser.add_argument("--unheard", type=int, nargs="*", default=[])
add_job_arguments(parser)
args = parser.parse_args()
with job(args, inputs={}, outputs={"metrics": args.metrics}):
    rows = [{"step": step, "reward_mean": step / 7, "kl": 0.5} for step in range(args.steps)]
    for row in rows:
        if row["step"] == args.dies_at:
            sys.stdin.readline()
            os.kill(os.getpid(), 9)
        if row["step"] not in args.unheard:
            live.tell("metrics", row)
    sys.stdin.readline()
    write_jsonl(args.metrics, rows)
"""


def start_job(store: Store, url: str, place: str, *words: Any) -> subprocess.Popen[str]:
    """A training at a place such as `tiny/vas/seed0/round7`. It goes to its end once its standard input ends."""
    files = {
        "metrics": f"results/digits/{place}/metrics.jsonl",
        "record": f"results/digits/records/train_grpo/{place}.json",
        "attempt": f"results/digits/logs/train_grpo/{place}.attempt.json",
    }
    paths = [word for name, path in files.items() for word in (f"--{name}", path)]
    program = store.folder / "describe_data.py"  # any of ours: a record says what it computes with
    program.write_text(JOB)
    command = [sys.executable, program, *paths, "--live", url, *map(str, words)]
    there = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=store.folder, env=there, text=True, **pipes)


def seen(mlflow: Server, store: Store, metric: str = "reward_mean") -> dict[str, list[tuple[int, float]]]:
    """The steps of the runs that jobs have begun themselves, by wildcards."""
    query = "select step, value from metrics where run_uuid = ? and key = ? order by step"
    if not (store.results / "id.json").exists():
        return {}
    live_runs = runs(mlflow.database, "live", folder_of(store)).values()
    return {run["tags"]["mmr1.wildcards"]: rows(mlflow.database, query, run["id"], metric) for run in live_runs}


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_training_is_seen_while_it_trains_and_the_next_export_adds_what_is_missing(
    finished: Path, tmp_path: Path, mlflow: Server
) -> None:
    store, place = few(finished, tmp_path / "live"), f"{RUN}/round7"
    job = start_job(store, mlflow.url, place, "--steps", 9, "--unheard", 2, 3)
    heard = [(step, step / 7) for step in range(9) if step not in (2, 3)]
    wait_for(lambda: seen(mlflow, store) == {place: heard})
    store.exported(mlflow.url)  # meanwhile
    (run,) = runs(mlflow.database, "live", folder_of(store)).values()
    assert run["status"] == "RUNNING"
    output, _ = job.communicate(timeout=300)
    assert job.returncode == 0, output
    store.exported(mlflow.url)
    assert seen(mlflow, store) == {}
    record = read_json(store.results / f"records/train_grpo/{place}.json")
    shown = runs(mlflow.database, "record", folder_of(store))[record["name"]]
    assert (shown["id"], shown["status"]) == (run["id"], "FINISHED")
    assert shown["name"].startswith("train_grpo round7 [")
    query = "select step, value from metrics where run_uuid = ? and key = 'reward_mean' order by step"
    assert rows(mlflow.database, query, run["id"]) == [(step, step / 7) for step in range(9)]
    assert "0 new runs" in store.exported(mlflow.url)


def test_a_training_that_was_killed_is_shown_as_killed_with_its_steps(
    finished: Path, tmp_path: Path, mlflow: Server
) -> None:
    store, place = few(finished, tmp_path / "dies"), f"{RUN}/round8"
    job = start_job(store, mlflow.url, place, "--steps", 9, "--dies-at", 4)
    wait_for(lambda: len(seen(mlflow, store).get(place, [])) == 4)
    job.communicate(timeout=300)
    assert job.returncode == -signal.SIGKILL
    assert {run["status"] for run in runs(mlflow.database, "live", folder_of(store)).values()} == {"RUNNING"}
    store.exported(mlflow.url)
    assert seen(mlflow, store) == {}
    (lost,) = runs(mlflow.database, "attempt", folder_of(store)).values()
    assert lost["status"] == "KILLED"
    assert lost["tags"]["mlflow.note.content"].startswith("killed")
    steps = rows(mlflow.database, "select step from metrics where run_uuid = ? and key = 'kl'", lost["id"])
    assert sorted(steps) == [(0,), (1,), (2,), (3,)]
    assert "RUNNING" not in {run["status"] for run in runs_of(mlflow, store).values()}


def test_the_trainer_of_grpo_tells_what_its_files_say(
    server: ForkingServer, mlflow: Server, tmp_path: Path, digit_problems: list[Problem]
) -> None:
    """The next export finds nothing to add but what a job cost."""
    setup, store, place = small_setup(tmp_path, digit_problems), Store(tmp_path), f"{RUN}/round0"
    held_out = tmp_path / "validation.parquet"
    write_problems(held_out, digit_problems[:2])
    shown = {
        "record": store.results / f"records/train_grpo/{place}.json",
        "attempt": store.results / f"logs/train_grpo/{place}.attempt.json",
        "validation": held_out,
        "validation_out": store.results / place / "validation.jsonl",
        "entries": store.results / place / "entries.jsonl",
    }
    schedule = setup.schedule(range(2), size=4)
    command = setup.arguments(f"results/digits/{place}", setup.settings(), schedule, live=mlflow.url, **shown)
    assert server.wait(server.start(command, setup.log("live"), cwd=tmp_path)) == 0, setup.log("live").read_text()
    (run,) = runs(mlflow.database, "live", folder_of(store)).values()
    assert run["status"] == "FINISHED"
    query = "select key, step, value from metrics where run_uuid = ? order by key, step"
    live_points = rows(mlflow.database, query, run["id"])
    assert [step for key, step, _ in live_points if key == "validation/accuracy"] == [0, 1, 2]
    store.exported(mlflow.url)
    (shown_run,) = runs(mlflow.database, "record", folder_of(store)).values()
    assert shown_run["id"] == run["id"]
    costs = {"system/seconds", "system/cpu_seconds", "system/system_memory_usage_megabytes"}
    assert [one for one in rows(mlflow.database, query, run["id"]) if one[0] not in costs] == live_points


def test_sixteen_exports_and_trainings_at_once_lose_nothing(finished: Path, tmp_path: Path, mlflow: Server) -> None:
    stores = [few(finished, tmp_path / f"clone{number}") for number in range(5)]
    jobs = [start_job(stores[0], mlflow.url, f"{RUN}/round{number}", "--steps", 5) for number in range(10, 16)]
    exports = [
        subprocess.Popen(store.command(mlflow.url), cwd=store.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for store in stores
        for _ in range(2)
    ]
    assert len([*jobs, *exports]) == 16
    for job in jobs:
        output, _ = job.communicate(timeout=600)
        assert job.returncode == 0, output
    for export in exports:
        said, _ = export.communicate(timeout=600)
        assert export.returncode == 0, said
    stores[0].exported(mlflow.url)
    for store in stores:
        assert "0 new runs" in store.exported(mlflow.url)
        shown = runs(mlflow.database, "record", folder_of(store))
        assert set(shown) == names(store)
        assert {run["status"] for run in runs_of(mlflow, store).values()} == {"FINISHED"}
    for number in range(10, 16):
        record = read_json(stores[0].results / f"records/train_grpo/{RUN}/round{number}.json")
        run = runs(mlflow.database, "record", folder_of(stores[0]))[record["name"]]
        query = "select step, value from metrics where run_uuid = ? and key = 'reward_mean' order by step"
        assert rows(mlflow.database, query, run["id"]) == [(step, step / 7) for step in range(5)]
    assert len(rows(mlflow.database, "select 1 from experiments where name = 'digits'")) == 1


# What Snakemake, and an audit, would compare of each job.
ASKED = """
import json, sys
sys.path.insert(0, "scripts")
import adopt

planned = adopt.planned
adopt.planned = lambda job: (job.rule.name, str(job.output.record), planned(job).words, list(map(repr, job.params)))
print(json.dumps([sorted(adopt.plan_all(words.split())) for words in sys.argv[1:]]))
"""


def test_a_server_in_the_recipe_makes_nothing_due_but_the_export() -> None:
    calls = [f"{more} --configfile tests/recipes/tiny.yaml -- all" for more in ("", "--config mlflow=http://host:5000")]
    asked = subprocess.run([DRIVER, "-c", ASKED, *calls], cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert asked.returncode == 0, asked.stderr
    without, with_server = json.loads(asked.stdout.splitlines()[-1])
    assert len(without) > 20
    assert {new[0] for old, new in zip(without, with_server, strict=True) if old[2:] != new[2:]} == {"export_mlflow"}


def test_a_server_that_never_answers_holds_up_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With patience without end, so that whoever waited for the server would wait for ever."""
    monkeypatch.setattr(live, "SECONDS", 1e6)
    monkeypatch.setattr(live, "AT_THE_END", 1e6)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with live.showing(url, tmp_path, "train_grpo", RUN, datetime.now(UTC)):
            for step in range(3 * live.ROWS):  # more than are kept
                live.tell("metrics", {"step": step, "kl": 0.5})


def test_a_server_that_is_gone_is_left_alone_after_a_while_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "FAILURES", 3)
    monkeypatch.setattr(live, "LONGEST_PAUSE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with live.showing(url, tmp_path, "train_grpo", RUN, datetime.now(UTC)):
        live.tell("metrics", {"step": 0, "kl": 0.5})
        assert live._running is not None
        assert live._running.given_up.wait(300)
        live.tell("metrics", {"step": 1, "kl": 0.5})
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"warning: {url}: steps are not shown while they are trained: no answer for 3 times")
    assert line.endswith("the next export shows them")


def test_a_server_that_says_no_is_not_asked_again(
    tmp_path: Path, mlflow: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """As for want of a password: here there is no such path."""
    with live.showing(f"{mlflow.url}/nowhere", tmp_path, "train_grpo", RUN, datetime.now(UTC)):
        live.tell("metrics", {"step": 0, "kl": 0.5})
        assert live._running is not None
        assert live._running.given_up.wait(300)
    assert "HTTPError" in capfd.readouterr().err


def runs_of(mlflow: Server, store: Store) -> dict[str, dict[str, Any]]:
    """All runs of a results folder, by kind and name."""
    return {
        f"{kind} {name}": run
        for kind in ("parent", "record", "attempt", "live")
        for name, run in runs(mlflow.database, kind, folder_of(store)).items()
    }


def names(store: Store) -> set[str]:
    """The names of the records of a folder."""
    records = [read_json(path) for path in (store.results / "records").rglob("*.json")]
    return {record["name"] for record in records if record["key"]["program"] != "export_mlflow"}
