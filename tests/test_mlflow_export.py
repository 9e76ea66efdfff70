"""The export into MLflow, run as the program in the driver's environment and read back from its SQLite file."""

import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from chat_endpoint import Endpoint, serving
from mlflow_store import DRIVER, ROOT, Store, needs_driver
from mmr1.benchmarks.settings import JUDGE_KEY
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.curves import named_values
from mmr1.plumbing.files import read_json, read_jsonl, write_json, write_jsonl
from mmr1.plumbing.makers import Changed
from mmr1.plumbing.seal import sealed
from mmr1.provenance.ledger import Attempt
from mmr1.provenance.tracking.runs import parent_runs
from mmr1.rollout.served import KEY_VARIABLE as ENDPOINT_KEY
from synthetic_results import SyntheticResults, hashed

CHANGED = "mmr1.changed_inputs"
PROFILE = "--profile workflow/profiles/local"

pytestmark = needs_driver


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two runs of two rounds, exported by two exports that begin at once on no database. Read only."""
    store = Store(tmp_path_factory.mktemp("mlflow"))
    report(SyntheticResults(store.results))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": store.folder}
    both = [subprocess.Popen(store.command(), **pipes) for _ in range(2)]
    outputs = [process.communicate(timeout=800) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted("0 new runs" in output for output, _ in outputs) == [False, True]
    return store


def report(made: SyntheticResults) -> None:
    """The report with a figure, and a table, as their jobs leave them."""
    page, figure, table = (made.root / name for name in ("report.html", "figures/loss.png", "tables/accuracy.csv"))
    for path in (page, figure, table):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    made.record("make_report", "report", {}, {"out": [page], "figures": [figure]})
    metrics = "results/digits/tiny/grpo/seed0/round0/metrics.jsonl"
    changed = Changed(metrics, "a" * 64, "b" * 64, "results/digits/records/train_grpo/x.json", "in words")
    made.record("make_tables", "accuracy", {}, {"csv": [table]}, changed=[changed])


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Store:
    """A copy of the exported store to play with."""
    shutil.copytree(store.folder, tmp_path / "copy")
    return Store(tmp_path / "copy")


def test_every_record_is_a_finished_run_under_its_parent(store: Store) -> None:
    records = {path: read_json(path) for path in (store.results / "records").rglob("*.json")}
    runs, parents = store.runs("record"), store.runs("parent")
    assert set(runs) == {record["name"] for record in records.values()}
    assert {run["status"] for run in [*runs.values(), *parents.values()]} == {"FINISHED"}
    assert set(parents) == {"shared", "tiny/grpo/seed0", "tiny/vas/seed0"}
    by_parent = {parent["id"]: name for name, parent in parents.items()}
    under = {run["tags"]["mlflow.runName"]: by_parent[run["tags"]["mlflow.parentRunId"]] for run in runs.values()}
    assert under["train_grpo round1"] in ("tiny/grpo/seed0", "tiny/vas/seed0")
    assert under["generate round1/0"] == "tiny/vas/seed0"
    assert under["score_benchmark tiny/sft/digits"] == under["prepare_data data"] == "shared"
    assert under["generate_initial tiny/1a2b3c4d/seed0/0"] == "shared"
    evaluated = store.run_of("score_benchmark", "tiny/vas-seed0/digits")
    assert by_parent[evaluated["tags"]["mlflow.parentRunId"]] == "tiny/vas/seed0"


def test_mlflow_says_what_its_runs_are(store: Store) -> None:
    experiment = dict(store.rows("select key, value from experiment_tags"))
    assert "nested under it" in experiment["mlflow.note.content"]
    (place,) = [value for name, value in experiment.items() if name.startswith("mmr1.results.")]
    assert place.endswith(f":{store.results}")
    described = {name: run["tags"]["mlflow.note.content"] for name, run in store.runs("parent").items()}
    assert described["tiny/vas/seed0"].startswith("RL of tiny by the recipe's run vas, seed0")
    assert "SFT" in described["shared"]


def test_a_run_whose_inputs_were_changed_says_so_and_so_does_its_parent(store: Store) -> None:
    tagged = [run for kind in ("record", "parent") for run in store.runs(kind).values() if CHANGED in run["tags"]]
    assert [run["tags"]["mmr1.name"] for run in tagged[1:]] == ["shared"]
    assert tagged[0]["tags"]["mmr1.rule"] == "make_tables"
    assert {run["tags"][CHANGED] for run in tagged} == {"results/digits/tiny/grpo/seed0/round0/metrics.jsonl"}


def test_run_ids_are_written_by_record_digest(store: Store) -> None:
    written = read_json(store.results / "mlflow_runs.json")
    assert written["tracking_uri"] == "sqlite:///mlflow.db"  # beside them, wherever they are moved
    assert written["records"] == {name: run["id"] for name, run in store.runs("record").items()}
    assert written["parents"] == {name: run["id"] for name, run in store.runs("parent").items()}


def test_a_run_has_the_times_parameters_hashes_and_curves_of_its_record(store: Store) -> None:
    record = read_json(store.results / "records/train_grpo/tiny/vas/seed0/round1.json")
    run = store.run_of("train_grpo", "tiny/vas/seed0/round1")
    assert run["end"] - run["start"] == 30_000
    params = dict(store.rows("select key, value from params where run_uuid = ?", run["id"]))
    assert params["mix"] == "0.5"
    assert params["long"] == "x" * 6000  # MLflow's limit; the whole value stands in the record
    assert run["tags"]["mmr1.input.problems"] == record["key"]["inputs"]["problems"][0]["sha256"]
    assert run["tags"]["mlflow.source.git.commit"] == record["execution"]["git"]["commit"]
    rows = read_jsonl(store.results / "tiny/vas/seed0/round1/metrics.jsonl")
    for key in ("gradient_norm", "kl"):
        assert store.metric(run["id"], key) == [(row["step"], row[key]) for row in rows]
    assert [step for step, _ in store.metric(run["id"], "system/timings/seconds_train")] == list(range(6, 12))


def test_a_parent_has_the_settings_the_curves_of_all_rounds_and_the_final_accuracy(store: Store) -> None:
    parent = store.runs("parent")["tiny/vas/seed0"]["id"]
    assert [step for step, _ in store.metric(parent, "reward_mean")] == list(range(12))
    params = dict(store.rows("select key, value from params where run_uuid = ?", parent))
    assert params["train_grpo.mix"] == "0.5"
    assert "train_grpo.first_step" not in params  # in which its rounds differ
    scores = read_json(store.results / "tiny/eval/vas-seed0/digits/scores.json")
    assert store.metric(parent, "eval/digits/reader/accuracy") == [(0, scores["scores"]["reader"]["accuracy"])]


def test_small_outputs_and_the_record_are_artifacts_and_checkpoints_are_not(store: Store) -> None:
    names = artifacts(store, "train_grpo", "tiny/vas/seed0/round1")
    assert {"record/round1.json", "metrics/metrics.jsonl", "timings/timings.jsonl"} <= names
    assert not any("checkpoint" in name for name in names)


def test_the_report_its_figures_and_tables_are_artifacts(store: Store) -> None:
    assert artifacts(store, "make_report", "report") == {"record/report.json", "out/report.html", "figures/loss.png"}
    assert artifacts(store, "make_tables", "accuracy") == {"record/accuracy.json", "csv/accuracy.csv"}


def artifacts(store: Store, rule: str, wildcards: str) -> set[str]:
    """The files that MLflow keeps of a record's run."""
    folder = store.results / "mlflow-artifacts" / store.run_of(rule, wildcards)["id"] / "artifacts"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_lineage_leads_from_an_evaluated_checkpoint_to_the_run_that_made_it(store: Store) -> None:
    maker = store.run_of("train_grpo", "tiny/vas/seed0/round0")["id"]
    user = store.run_of("train_grpo", "tiny/vas/seed0/round1")["id"]
    models = "select destination_id from inputs where source_id = ? and source_type = ?"
    assert store.rows(models, maker, "RUN_OUTPUT") == store.rows(models, user, "RUN_INPUT") != []
    datasets = store.rows(
        "select name, digest from inputs join datasets on dataset_uuid = source_id where destination_id = ?", user
    )
    hashes = dict(datasets)
    record = read_json(store.results / "records/train_grpo/tiny/vas/seed0/round1.json")
    problems = record["key"]["inputs"]["problems"][0]
    assert hashes[problems["path"]] == problems["sha256"][:36]


def test_a_second_export_creates_nothing(copy: Store) -> None:
    tables = ("runs", "metrics", "params", "tags", "inputs", "datasets", "logged_models")
    before = {table: copy.rows(f"select count(*) from {table}") for table in tables}
    done = copy.export()
    assert "0 new runs" in done.stdout, done.stderr
    assert {table: copy.rows(f"select count(*) from {table}") for table in tables} == before


def test_no_metric_is_shown_twice_and_single_values_stay_with_their_jobs(store: Store) -> None:
    """What a training measured last is the end of its curve; times are where MLflow keeps the system's metrics."""
    parent = store.runs("parent")["tiny/vas/seed0"]["id"]
    training = store.run_of("train_grpo", "tiny/vas/seed0/round1")["id"]
    names = [name for (name,) in store.rows("select distinct key from metrics where run_uuid = ?", parent)]
    assert {name.partition("/")[0] for name in names if "/" in name} == {"calibration", "validation", "eval", "system"}
    assert [name for name in names if not name.startswith("eval/") and len(store.metric(parent, name)) < 2] == []
    own = [name for (name,) in store.rows("select distinct key from metrics where run_uuid = ?", training)]
    assert "system/seconds" in own
    assert not any(name.startswith(("train_grpo/", "job/")) for name in own)
    generated = store.run_of("generate", "tiny/vas/seed0/round1/0")["id"]
    assert store.metric(generated, "generate/rollouts") != []


def test_what_mlflow_refuses_in_a_name_becomes_an_underscore() -> None:
    """A validation by what the data say: their words are no names of ours."""
    row = {"step": 5, "accuracy": 0.5, "by": {"source": {"geometry (3%)": 0.25}}}
    assert named_values("validation", row) == {
        "validation/accuracy": 0.5,
        "validation/by.source.geometry _3__": 0.25,
    }


def test_a_checkpoint_has_its_accuracies_so_that_models_can_be_ranked(store: Store) -> None:
    query = "select name, metric_value from logged_models join logged_model_metrics using (model_id)"
    ranked = dict(store.rows(f"{query} where metric_name = ?", "eval/digits/reader/accuracy"))
    assert set(ranked) == {"tiny-base", "tiny-sft", "tiny-grpo-seed0-round1", "tiny-vas-seed0-round1"}
    scores = read_json(store.results / "tiny/eval/vas-seed0/digits/scores.json")
    assert ranked["tiny-vas-seed0-round1"] == scores["scores"]["reader"]["accuracy"]


def test_a_run_says_in_words_what_made_it_and_what_repeats_it(store: Store) -> None:
    said = store.run_of("train_grpo", "tiny/vas/seed0/round1")["tags"]["mlflow.note.content"]
    record = read_json(store.results / "records/train_grpo/tiny/vas/seed0/round1.json")
    problems = record["key"]["inputs"]["problems"][0]["sha256"]
    for expected in (
        "by user on host",
        "2 × x86_64",
        "Python 3.11.2, torch 2.9.0",
        "commit `aaaaaaaaaaaa`",
        f"problems: `results/digits/data/problems.parquet` sha256 `{problems[:12]}`",
        "| **parent checkpoint** | model: `results/digits/tiny/vas/seed0/round0/checkpoint` sha256",
        "| **seed** | 0 |",
        "--forcerun results/digits/records/train_grpo/tiny/vas/seed0/round1.json",
        "make audit ARGS=--full FILE=results/digits/tiny/vas/seed0/round1/checkpoint`",
    ):
        assert expected in said


def test_a_parent_run_has_its_source_its_models_and_the_report(store: Store) -> None:
    parent = store.runs("parent")["tiny/vas/seed0"]
    assert parent["tags"]["mlflow.source.git.commit"] == "a" * 40
    assert parent["tags"]["mlflow.user"] == "user"
    models = "select name from inputs join logged_models on destination_id = model_id where source_id = ?"
    made = [name for (name,) in store.rows(f"{models} and source_type = 'RUN_OUTPUT'", parent["id"])]
    assert sorted(made) == ["tiny-vas-seed0-round0", "tiny-vas-seed0-round1"]
    shared = store.runs("parent")["shared"]["id"]
    assert (store.results / f"mlflow-artifacts/{shared}/artifacts/report/report.html").is_file()


COMPARED = """
import sys
from pathlib import Path
from mmr1.provenance.tracking.compare import shown_differently
from mmr1.provenance.tracking.export import exportable

results = Path("results/digits").absolute()
for thing, problem in shown_differently(results, f"sqlite:///{results}/mlflow.db", exportable(results)):
    print(thing, problem, sep=": ")
"""


def test_an_audit_sees_a_report_that_was_changed_in_mlflow_and_nothing_else(copy: Store) -> None:
    shared = copy.runs("parent")["shared"]["id"]
    (copy.results / f"mlflow-artifacts/{shared}/artifacts/report/report.html").write_text("other")
    there = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    asked = subprocess.run([DRIVER, "-c", COMPARED], cwd=copy.folder, env=there, capture_output=True, text=True)
    assert asked.stdout == "shared: artifact report/report.html: found another\n", asked.stderr


def test_after_a_move_the_export_finds_everything_and_writes_where_the_results_are(copy: Store, tmp_path: Path) -> None:
    before = copy.runs("record")
    moved = Store(tmp_path / "elsewhere/deep")
    moved.folder.parent.mkdir()
    copy.folder.rename(moved.folder)
    assert "0 new runs" in moved.exported()
    _redo_a_round(moved)
    assert "2 new runs" in moved.exported()
    assert not copy.folder.exists()
    assert set(before) - set(moved.runs("record")) != set()
    for run in moved.runs("record").values():
        assert (moved.results / f"mlflow-artifacts/{run['id']}/artifacts/record").is_dir()


NOBODY = 65534
# Another account: it may read all, as this checkout may lie in a folder of root's, and write nothing but its own.
AS_NOBODY = [
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
]  # fmt: skip


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_another_account_shows_its_copy_and_is_told_of_what_it_may_not_write(
    store: Store, copy: Store, tmp_path: Path
) -> None:
    def export_as_nobody(of: Store) -> subprocess.CompletedProcess[str]:
        words = [*AS_NOBODY, DRIVER, *of.command()[1:]]
        there = {**os.environ, "HOME": str(tmp_path), "LOGNAME": "nobody", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(words, cwd=of.folder, env=there, capture_output=True, text=True, timeout=800)

    _redo_a_round(copy)
    for path in (copy.folder, *copy.folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = export_as_nobody(copy)
    assert "2 new runs" in done.stdout, done.stderr
    assert {path.stat().st_uid for path in copy.results.rglob("*")} == {NOBODY}
    refused = export_as_nobody(store)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith(f"Permission denied: {store.results}/mlflow.lock")


def test_what_an_earlier_version_wrote_is_shown_anew(copy: Store) -> None:
    """It named files by where they lay then, and had no sign of its form."""
    there = f"file://{copy.folder}/gone/mlflow-artifacts"
    _execute(copy, "update experiments set artifact_location = ? where name = 'digits'", there)
    _execute(copy, "update runs set artifact_uri = replace(artifact_uri, 'mlflow-artifacts:', ?)", there)
    _execute(copy, "delete from tags where key = 'mmr1.form'")
    made = len(copy.runs("record"))
    assert f"{made + 3} new runs" in copy.exported()
    assert len(copy.runs("record")) == made
    assert copy.rows("select distinct substr(artifact_uri, 1, 18) from runs") == [("mlflow-artifacts:/",)]


def test_one_word_makes_all_of_it_anew_from_the_records(copy: Store) -> None:
    before = copy.runs("record")
    _spoil(copy, "no database")
    shutil.rmtree(copy.results / "mlflow-artifacts")
    copy.exported(MMR1_MLFLOW="anew")
    after = copy.runs("record")
    assert set(after) == set(before)
    assert {run["id"] for run in after.values()}.isdisjoint(run["id"] for run in before.values())


@pytest.mark.parametrize("found", ["no database", "a newer MLflow's"])
def test_a_database_that_cannot_be_migrated_is_one_line_with_that_word(copy: Store, found: str) -> None:
    _spoil(copy, found)
    _is_one_line(copy.export(), f"make it anew from the records: MMR1_MLFLOW=anew snakemake {PROFILE} --forcerun ")


def _spoil(store: Store, found: str) -> None:
    """Leave something else where its database lies."""
    if found == "no database":
        store.database.write_bytes(b"no database")
    else:
        _execute(store, "update alembic_version set version_num = '0123456789ab'")


ASKED = """
import os, sys
from pathlib import Path
from audit import ask_mlflow
from mmr1.provenance.audit.walk import find_archive

for folder in map(Path, sys.argv[1:]):
    os.chdir(folder)
    archive = find_archive(folder / "results/digits", folder)
    one = [job for job in archive.jobs.values() if job.name.startswith("train_sft ")]
    print(*(f"{finding.verdict.value}: {finding.problem} → {finding.remedy}" for finding in ask_mlflow(archive, one)))
"""


def test_an_audit_of_one_result_says_that_mlflow_cannot_be_read(store: Store, tmp_path: Path) -> None:
    def spoilt(found: str) -> Store:
        copy = Store(tmp_path / found)
        shutil.copytree(store.folder, copy.folder)
        if found == "gone":
            copy.database.unlink()
        elif found == "a server that is down":
            shown = copy.results / "mlflow_runs.json"
            write_json(shown, read_json(shown) | {"tracking_uri": "http://127.0.0.1:1"})
        elif found == "elsewhere":
            shown = copy.results / "mlflow_runs.json"
            write_json(shown, read_json(shown) | {"tracking_uri": "sqlite:////nowhere/mlflow.db"})
        elif found == "a deleted experiment":
            _execute(copy, "update experiments set lifecycle_stage = 'deleted' where name = 'digits'")
        elif found != "as it was":
            _spoil(copy, found)
        return copy

    expected = {
        "as it was": "",
        "gone": "no such database",
        "elsewhere": "sqlite:////nowhere/mlflow.db: no such database",
        "no database": "file is not a database",
        "a newer MLflow's": "found version 0123456789ab, but expected ",
        "a deleted experiment": "experiment digits was deleted in MLflow; put it back: ",
        "a server that is down": "http://127.0.0.1:1: cannot read MLflow",
    }
    there = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    words = [DRIVER, "-c", ASKED, *(spoilt(found).folder for found in expected)]
    asked = subprocess.run(words, env=there, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    for (found, problem), said in zip(expected.items(), asked.stdout.split("\n")[:-1], strict=True):
        assert said.startswith("differs: " if problem else ""), said
        assert problem in said
        assert ("→ MMR1_MLFLOW=anew snakemake" in said) == (found not in ("as it was", "a server that is down"))
    assert not (tmp_path / "gone/results/digits/mlflow.db").exists()


def test_a_server_that_ends_with_an_error_is_followed_by_the_command_that_mends_its_database(tmp_path: Path) -> None:
    """As MLflow's ends where the database has another version's schema. A stop by Ctrl-C is no error of it."""
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlflow").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "mlflow").chmod(0o755)
    words = ["make", "--old-file=env", "--no-print-directory", "mlflow", f"RESULTS={tmp_path}", f"DRIVER={tmp_path}"]
    done = subprocess.run([*words, "PORT=1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    said = done.stderr.splitlines()[0]
    assert said.startswith(f"{tmp_path}/mlflow.db: MLflow ended with an error; ")
    assert said.endswith(f": snakemake {PROFILE} --forcerun export_mlflow -- all")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update experiments set lifecycle_stage = 'deleted' where name = 'digits'", "restore --experiment-id 1"),
        ("update experiments set name = 'mine' where name = 'digits'", "rename --experiment-id 1 --new-name digits"),
    ],
)
def test_an_experiment_that_was_deleted_or_renamed_is_one_line_with_the_remedy(
    copy: Store, statement: str, expected: str
) -> None:
    _execute(copy, statement)
    done = copy.export()
    _is_one_line(done, expected)
    remedy = done.stderr.splitlines()[-1].rpartition(": ")[2].replace(".envs/driver/bin", str(DRIVER.parent))
    subprocess.run(remedy, shell=True, check=True, capture_output=True)
    assert "0 new runs" in copy.exported()


@pytest.fixture(scope="module")
def changed(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Exported again after a round was done otherwise, an output edited, a run left half-written, two jobs lost."""
    folder = tmp_path_factory.mktemp("changed") / "copy"
    shutil.copytree(store.folder, folder)
    changed = Store(folder)
    _redo_a_round(changed)
    path = changed.results / "records/train_grpo/tiny/grpo/seed0/round1.json"
    write_json(path, sealed(read_json(path) | {"name": "d" * 64}))
    write_jsonl(changed.results / "tiny/grpo/seed0/round1/metrics.jsonl", [{"step": 6, "reward_mean": 2.0}])

    half = read_json(changed.results / "records/train_sft/tiny.json")["name"]
    _execute(changed, "update runs set status = 'RUNNING' where run_uuid = ?", changed.runs("record")[half]["id"])

    _attempt(changed, "score_vps/tiny/vas/seed0/round2", "failed", pid=1, error="ValueError: no")
    _attempt(changed, "train_grpo/tiny/vas/seed0/round2", "running", pid=_dead_pid())
    _attempt(changed, "train_grpo/tiny/grpo/seed0/round2", "running", pid=os.getpid())
    done = changed.export()
    assert done.returncode == 0, done.stderr
    return changed


def _redo_a_round(store: Store) -> None:
    redone = store.results / "tiny/vas/seed0/round1/metrics.jsonl"
    write_jsonl(redone, [{"step": 6, "reward_mean": 0.25}])
    path = store.results / "records/train_grpo/tiny/vas/seed0/round1.json"
    record = read_json(path)
    record["outputs"]["metrics"] = [hashed(redone, store.results)]
    write_json(path, sealed(record | {"name": "f" * 64}))


def test_what_was_done_again_replaces_what_it_supersedes(store: Store, changed: Store) -> None:
    old, new = store.runs("record"), changed.runs("record")
    assert set(new) - set(old) == {"d" * 64, "f" * 64}
    assert len(set(old) - set(new)) == 2
    parent = changed.runs("parent")["tiny/vas/seed0"]
    assert parent["id"] != store.runs("parent")["tiny/vas/seed0"]["id"]
    assert changed.metric(parent["id"], "reward_mean")[-1] == (6, 0.25)
    assert [step for step, _ in changed.metric(parent["id"], "reward_mean")] == [0, 1, 2, 3, 4, 5, 6]
    assert new["f" * 64]["tags"]["mlflow.parentRunId"] == parent["id"]
    kept = changed.run_of("train_grpo", "tiny/vas/seed0/round0")
    assert kept["tags"]["mlflow.parentRunId"] == parent["id"]
    assert kept["id"] == store.run_of("train_grpo", "tiny/vas/seed0/round0")["id"]


KILLED_AT_ITS_FIRST_TAG = """
import os, sys
from pathlib import Path
from mmr1.provenance.tracking.experiment import Experiment
from mmr1.provenance.tracking.export import export

set_tag = Experiment.set_tag
Experiment.set_tag = lambda *words: (set_tag(*words), os._exit(9))
export(Path("results/digits"), sys.argv[1])
"""


def test_an_export_that_is_killed_while_it_supersedes_is_finished_by_the_next(copy: Store) -> None:
    before = copy.runs("parent")["tiny/vas/seed0"]["id"]
    _redo_a_round(copy)
    command = [DRIVER, "-c", KILLED_AT_ITS_FIRST_TAG, f"sqlite:///{copy.database}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    assert subprocess.run(command, cwd=copy.folder, env=environment, timeout=800).returncode == 9
    assert copy.export().returncode == 0
    after = copy.runs("parent")["tiny/vas/seed0"]["id"]
    assert after != before
    assert copy.metric(after, "reward_mean")[-1] == (6, 0.25)


def test_a_half_written_run_is_made_again(store: Store, changed: Store) -> None:
    before, after = store.run_of("train_sft", "tiny"), changed.run_of("train_sft", "tiny")
    assert after["id"] != before["id"]
    assert changed.metric(after["id"], "loss") == store.metric(before["id"], "loss")


def test_failed_and_killed_jobs_are_runs_and_running_ones_are_left_alone(changed: Store) -> None:
    states = {run["tags"]["mmr1.rule"]: run["status"] for run in changed.runs("attempt").values()}
    assert states == {"score_vps": "FAILED", "train_grpo": "KILLED"}
    (failed,) = [run for run in changed.runs("attempt").values() if run["status"] == "FAILED"]
    assert failed["tags"]["mlflow.note.content"] == "ValueError: no"
    assert changed.runs("parent")["tiny/vas/seed0"]["status"] == "KILLED"
    assert changed.runs("parent")["tiny/grpo/seed0"]["status"] == "FINISHED"


@pytest.mark.parametrize(("minutes", "states"), [(5, []), (90, ["KILLED"])])
def test_a_job_of_another_host_runs_while_it_writes_its_log(tmp_path: Path, minutes: int, states: list[str]) -> None:
    start = datetime.now(UTC) - timedelta(hours=3)
    job = {
        "rule": "train_grpo",
        "wildcards": "tiny/vas/seed0/round2",
        "state": "running",
        "host": "elsewhere",
        "pid": 1,
    }
    log = tmp_path / "train_grpo/tiny/vas/seed0/round2.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 7/9")
    last = time.time() - 60 * minutes
    os.utime(log, (last, last))
    parents = parent_runs([], [Attempt(start=start, **job)], tmp_path)
    assert [lost.status for parent in parents for lost in parent.unfinished] == states


def test_an_output_that_was_edited_since_is_not_shown(changed: Store) -> None:
    run = changed.runs("record")["d" * 64]["id"]
    assert changed.metric(run, "reward_mean") == []
    assert changed.metric(run, "validation/accuracy") != []


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///relative.db", "expected an absolute path"),
        ("sqlite:////dev/null/mlflow.db", "cannot write to MLflow"),
        ("http://someone:secret@localhost:1", "found a user name, password or key"),
        ("http://127.0.0.1:1", "cannot write to MLflow"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_one_line(store: Store, uri: str, expected: str) -> None:
    _is_one_line(store.export(uri), expected)


def test_a_broken_record_is_one_line_that_names_file_and_field(copy: Store) -> None:
    path = copy.results / "records/train_sft/tiny.json"
    record = read_json(path)
    del record["execution"]["start"]
    write_json(path, sealed(record))
    done = copy.export()
    _is_one_line(done, "tiny.json: execution.start: expected a value, found none")
    path.write_text(path.read_text()[:50])
    _is_one_line(copy.export(), "tiny.json: expected JSON")
    again = f"--forcerun {path} -- {path}"
    _is_one_line(copy.export(), f"make it again: snakemake --profile workflow/profiles/local {again}")


@pytest.mark.slow
def test_the_keys_of_endpoints_do_not_reach_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digit_problems: list[Problem]
) -> None:
    """Jobs and export have them in their environment, and the endpoint repeats them in errors and in an answer."""
    keys = {name: secrets.token_hex(16) for name in (JUDGE_KEY, ENDPOINT_KEY)}
    for name, key in keys.items():
        monkeypatch.setenv(name, key)
    store = Store(tmp_path)
    with serving() as url:
        Endpoint.failures = 100
        assert _ask(store, "asked", ENDPOINT_KEY, url, digit_problems) == 2
        assert _ask(store, "judge", JUDGE_KEY, url, digit_problems) == 2
        Endpoint.failures, Endpoint.reply = 0, "x" * 60 + keys[JUDGE_KEY]
        assert _ask(store, "done", JUDGE_KEY, url, digit_problems) == 0
    assert {request["key"] for request in Endpoint.requests} == {f"Bearer {key}" for key in keys.values()}
    exported = store.export()
    assert exported.returncode == 0, exported.stderr

    lost = {run["tags"]["mmr1.wildcards"]: run["tags"]["mlflow.note.content"] for run in store.runs("attempt").values()}
    assert "no, Bearer …;" in lost["asked"]
    assert "no, Bearer …;" in lost["judge"]
    said = pq.read_table(store.results / "done.parquet")["text"].to_pylist()
    assert set(said) == {"x" * 60 + "…"}
    kept = {path.relative_to(store.results).parts[0] for path in _files_that_hold(url, tmp_path)}
    assert kept == {"mlflow.db", "mlflow-artifacts", "records", "logs"}, (
        "what is said of an endpoint is found, so a key would be"
    )
    assert artifacts(store, "ask_endpoint", "done")
    for key in keys.values():
        for half in (key[:16], key[16:]):
            assert _files_that_hold(half, tmp_path) == []
            assert half not in exported.stdout + exported.stderr


def _ask(store: Store, place: str, key: str, url: str, problems: list[Problem]) -> int:
    write_problems(store.folder / "problems.parquet", problems)
    sampling = ["--n", "1", "--temperature", "0", "--max-tokens", "8", "--seed", "0", "--retries", "0"]
    files = {"problems": "../../problems.parquet", "cache": f"{place}.jsonl", "out": f"{place}.parquet"}
    return _job(store, "ask_endpoint", place, files, "--url", url, "--model", "m", "--key-variable", key, *sampling)


def _job(store: Store, program: str, place: str, files: dict[str, str], *words: str) -> int:
    """Run a program as its rule does, with a record, a start marker and a log; its exit status."""
    log = store.results / f"logs/{program}/{place}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    files |= {"record": f"records/{program}/{place}.json", "attempt": f"logs/{program}/{place}.attempt.json"}
    paths = [word for name, path in files.items() for word in (f"--{name}", f"results/digits/{path}")]
    command = [sys.executable, ROOT / f"scripts/{program}.py", *words, *paths]
    with log.open("w") as text:
        return subprocess.run(command, cwd=store.folder, stdout=text, stderr=text, timeout=800).returncode


def _files_that_hold(text: str, folder: Path) -> list[Path]:
    """The files that hold a text; of a database all values too, for its pages may cut a long one in two."""
    rows = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".db":
                with sqlite3.connect(path) as connection:
                    content += "\n".join(connection.iterdump()).encode()
                connection.close()
            if text.encode() in content:
                rows.append(path)
    return rows


def _is_one_line(done: subprocess.CompletedProcess[str], expected: str) -> None:
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def _attempt(store: Store, name: str, state: str, pid: int, error: str | None = None) -> None:
    marker = {"state": state, "start": "2026-01-02T00:00:00+00:00", "host": socket.gethostname(), "pid": pid}
    command_line = Path(f"/proc/{pid}/cmdline")
    argv = command_line.read_bytes().decode().split("\0")[:2] if command_line.exists() else ["scripts/x.py"]
    write_json(store.results / "logs" / f"{name}.attempt.json", marker | {"argv": argv, "error": error, "slurm": {}})


def _dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def _execute(store: Store, statement: str, *values: Any) -> None:
    with sqlite3.connect(store.database) as connection:
        connection.execute(statement, values)
    connection.close()
