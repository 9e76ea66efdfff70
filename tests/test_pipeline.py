"""The real DAG, run by the real Snakemake on a shrunken digits recipe: killed half way, finished, changed, asked again.

The tests of this file share one finished run, in a copy of the project's files.
"""

import base64
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForImageTextToText, AutoProcessor

from flipped_bytes import passed_over, readers
from forking import ForkingServer
from mmr1.data.problems import read_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.files import files_under, read_json, read_jsonl, sha256
from project import TINY as RECIPE
from project import command, copy_project, environment, forking_path, in_driver, snakemake

ROOT = Path(__file__).parents[1]
R = "results/tiny"
CHECKPOINT = "tiny/vas/seed0/round1/checkpoint"
MINUTES = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(40 * MINUTES)]


def planned(project: Path, *words: str, recipe: str = RECIPE) -> dict[str, int]:
    """How many jobs of each rule a dry run would start."""
    printed = snakemake(project, "-n", *words, recipe=recipe)
    table = printed.rpartition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)\s*$", table, re.MULTILINE)}


@contextmanager
def changed_recipe(project: Path, old: str, new: str) -> Iterator[None]:
    """Another text in the recipe, for a while."""
    path = project / RECIPE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def unfinished(project: Path) -> set[str]:
    """The outputs of jobs that Snakemake had not seen end: it keeps a marker for each, named by its path in base 64."""
    markers = (project / ".snakemake/incomplete").iterdir()
    return {base64.urlsafe_b64decode(marker.name).decode() for marker in markers if marker.is_file()}


def records(project: Path) -> dict[str, float]:
    """Every finished job's record, with the time it was written; not what a killed job left half-written."""
    folder = project / R / "records"
    paths = {path.relative_to(folder): path.stat().st_mtime for path in folder.rglob("*.json")}
    return {path.as_posix(): time for path, time in paths.items() if not any(part[0] == "." for part in path.parts)}


def commit_all(project: Path) -> None:
    """Have git know the project's files, as in a checkout."""
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "as it is"]):
        subprocess.run(["git", *words], cwd=project, check=True)


@pytest.fixture(scope="module")
def finished(server: ForkingServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], str]:
    """A run that was killed half way and finished by a second call; what was done before the kill; what it printed.

    The first call is real to the last process, for the kill; from then on programs start by a fork (see forking.py).
    """
    project = copy_project(tmp_path_factory.mktemp("a b ü {x}") / "check out")
    commit_all(project)
    log = project / "killed.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command("all"), cwd=project, env=environment(), stdout=output, stderr=output, start_new_session=True
        )
        deadline = time.monotonic() + 15 * MINUTES
        while not list((project / R / "records").glob("train_grpo/*/*/*/*.json")):
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lost = unfinished(project)
    before = {name: time for name, time in records(project).items() if f"{R}/records/{name}" not in lost}
    snakemake(project, "--unlock")
    printed = snakemake(project, "all", PATH=server.path)
    return project, before, printed


@pytest.fixture(scope="module")
def project(finished: tuple[Path, dict[str, float], str]) -> Path:
    return finished[0]


def test_a_killed_run_is_finished_and_nothing_is_done_twice(finished: tuple[Path, dict[str, float], str]) -> None:
    project, before, _ = finished
    after = records(project)
    assert {"prepare_data/data.json", "train_sft/tiny.json"} <= before.keys() < after.keys()
    assert {name: after[name] for name in before} == before


def test_a_second_call_has_nothing_to_do(project: Path) -> None:
    assert "Nothing to be done" in snakemake(project, "all")


def test_every_job_left_a_record_and_the_chain_of_parents_holds(project: Path) -> None:
    root = project / R / "records"
    rules = {path.relative_to(root).parts[0] for path in root.rglob("*.json")}
    assert rules >= {"prepare_data", "train_sft", "generate_initial", "generate", "score_vps", "draw_schedule"}
    assert rules >= {"train_grpo", "calibrate", "generate_predictions", "score_benchmark", "make_report"}
    record = read_json(root / "train_grpo/tiny/vas/seed0/round1.json")
    named = {Path(parent["record"]).relative_to(f"{R}/records").as_posix() for parent in record["parents"]}
    assert named >= {
        "train_grpo/tiny/vas/seed0/round0.json",
        "train_sft/tiny.json",
        "draw_schedule/tiny/vas/seed0/round1.json",
    }
    assert all(parent["name"] for parent in record["parents"])
    assert [source["path"] for source in record["sources"]] == ["config/prompts/digits.txt"]


def test_snakemakes_own_report_holds_tables_and_figures_with_captions(project: Path, tmp_path: Path) -> None:
    snakemake(project, "--report", str(tmp_path / "own.zip"), "--", "all")
    with zipfile.ZipFile(tmp_path / "own.zip") as packed:
        text = "".join(
            packed.read(name).decode(errors="ignore") for name in packed.namelist() if name.endswith(".html")
        )
    figures = [path.name for path in (project / R / "figures").glob("*.svg")]
    assert figures
    for name in ("Tables", "Figures", "accuracy.html", "report.html", *figures):
        assert name in text
    assert "Table accuracy: accuracies in per cent" in text


def test_a_released_checkpoint_has_its_files_their_hashes_and_a_model_card(project: Path, tmp_path: Path) -> None:
    checkpoint, released = f"{R}/tiny/vas/seed0/round1/checkpoint", tmp_path / "released"
    program = [sys.executable, "scripts/release_model.py", checkpoint, "--to", str(released)]
    subprocess.run(program, cwd=project, env=environment(), check=True, capture_output=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=released, check=True)
    names = {path.name for path in files_under(project / checkpoint)}  # without Snakemake's own mark
    assert {path.name for path in released.iterdir()} == names | {"SHA256SUMS", "README.md"}
    card = ModelCard.load(released / "README.md")
    scores = read_json(project / R / "tiny/eval/vas-seed0/digits/scores.json")["scores"]
    found = {one.metric_name: one.metric_value for one in card.data.eval_results}
    assert found == {f"accuracy ({rule})": round(100 * one["accuracy"], 2) for rule, one in scores.items()}
    record = read_json(project / R / "records/train_grpo/tiny/vas/seed0/round1.json")
    for said in (record["name"], "CC BY 4.0", "prepare_data data", "95% interval"):
        assert said in card.content


@contextmanager
def another_byte(path: Path) -> Iterator[None]:
    """The file with its first byte changed, meanwhile."""
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (f"{CHECKPOINT}/model.safetensors", ["release_model.py", f"{R}/{CHECKPOINT}", "--to"]),
        ("tiny/eval/vas-seed0/digits/scores.json", ["release_model.py", f"{R}/{CHECKPOINT}", "--to"]),
        ("tiny/eval/vas-seed0/digits/scores.json", ["export_crate.py", R, "--out"]),
    ],
)
def test_what_is_not_as_recorded_is_not_handed_on(
    project: Path, tmp_path: Path, changed: str, words: list[str]
) -> None:
    python = sys.executable if words[0].startswith("release") else ROOT / ".envs/driver/bin/python"
    program = [str(python), f"scripts/{words[0]}", *words[1:], str(tmp_path / "made")]
    with another_byte(project / R / changed):
        refused = subprocess.run(program, cwd=project, env=environment(), capture_output=True, text=True)
    assert refused.returncode == 2, refused.stderr
    last = refused.stderr.splitlines()[-1]
    assert changed in last
    assert "make it again: " in last
    assert not (tmp_path / "made").exists()


def test_others_unpack_the_exported_crate_beside_the_checkpoints_and_audit_it(
    project: Path, matrix: dict[str, Any], tmp_path: Path
) -> None:
    in_driver(project, "scripts/export_crate.py", R, "--out", tmp_path / "crate.zip").check_returncode()
    results, own = project / R, project / "own"
    results.rename(own)
    with zipfile.ZipFile(tmp_path / "crate.zip") as crate:
        crate.extractall(results)
    try:
        check_crate(results)
        elsewhere = [line.split("  ", 1) for line in (results / "elsewhere.sha256").read_text().splitlines()]
        assert {Path(place).suffix for _, place in elsewhere} >= {".safetensors", ".pt"}
        missing = audited(project)
        assert all(any(place in one["thing"] for _, place in elsewhere) for one in missing)
        assert len(missing) > 1
        for expected, place in elsewhere:
            (results / place).parent.mkdir(parents=True, exist_ok=True)
            (results / place).hardlink_to(own / place)
            assert sha256(results / place) == expected
        assert audited(project) == []
        scores = results / "tiny/eval/sft/digits/scores.json"
        scores.write_bytes(scores.read_bytes().replace(b"1", b"2", 1))
        assert any("scores.json" in one["thing"] for one in audited(project))
    finally:
        shutil.rmtree(results)
        own.rename(results)


def audited(project: Path) -> list[dict[str, Any]]:
    """What a full audit of the results finds to differ."""
    done = in_driver(project, "scripts/audit.py", R, "--full", "--json")
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return [one for one in json.loads(done.stdout)["findings"] if one["verdict"] == "differs"]


def check_crate(folder: Path) -> None:
    """What Provenance Run Crate 0.5 asks for, and that each record is in it with its files."""
    graph = {one["@id"]: one for one in read_json(folder / "ro-crate-metadata.json")["@graph"]}
    workflow = graph[graph["./"]["mainEntity"]["@id"]]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"} <= set(workflow["@type"])
    steps = {one["@id"] for one in workflow["step"]}
    assert {one["instrument"]["@id"] for one in graph.values() if one["@type"] == "ControlAction"} == steps
    assert all(graph[step]["workExample"] in workflow["hasPart"] for step in steps)
    actions = {one["subjectOf"]["@id"]: one for one in graph.values() if "subjectOf" in one}
    found = [path.relative_to(folder) for path in (folder / "records").rglob("*.json")]
    assert actions.keys() == {path.as_posix() for path in found if not any(part[0] == "." for part in path.parts)}
    for record, action in actions.items():
        assert action["@type"] == "CreateAction"
        made = [file for files in read_json(folder / record)["outputs"].values() for file in files]
        listed = action["result"] if isinstance(action["result"], list) else [action["result"]]
        assert sorted(graph[one["@id"]]["sha256"] for one in listed) == sorted({file["sha256"] for file in made})
    assert all((folder / name).is_file() for name, one in graph.items() if "File" in one["@type"])


def test_300_flipped_bytes_are_each_refused_by_the_next_job_that_reads_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over every file that a job of the whole DAG reads; what comes from outside is a source, which no record knows."""
    monkeypatch.chdir(project)
    results = Path(R)
    assert passed_over(results, 300) == []
    outside = {path for path in readers(results) if not Path(path).is_relative_to(results)}
    assert outside == {"config/prompts/digits.txt", "config/paper_tables.csv", "scripts/mmr1/report/page.html"}


def test_uniform_runs_make_no_scores_and_sft_is_shared(project: Path) -> None:
    folders = {path.relative_to(project / R).parts[:4] for path in (project / R).rglob("scores.parquet")}
    assert folders == {("tiny", "vas", "seed0", "round0"), ("tiny", "vas", "seed0", "round1")}
    assert len(list((project / R / "records/train_sft").rglob("*.json"))) == 1


def test_steps_go_on_over_rounds(project: Path) -> None:
    for run in ("grpo", "vas"):
        rounds = [read_jsonl(project / f"{R}/tiny/{run}/seed0/round{r}/metrics.jsonl") for r in range(2)]
        assert [row["step"] for rows in rounds for row in rows] == [0, 1, 2, 3]


def test_the_last_round_and_more_rounds_find_the_optimizer_states_they_start_from(project: Path) -> None:
    kept = sorted(path.parent.name for path in (project / f"{R}/tiny/vas/seed0").glob("*/trainer_state"))
    assert kept == ["round0", "round1"]
    last = f"{R}/tiny/vas/seed0/round1/checkpoint"
    assert planned(project, "--forcerun", last, "--", last) == {"train_grpo_kept": 1}


def test_checkpoints_load_like_any_other(project: Path) -> None:
    folder = project / f"{R}/tiny/vas/seed0/round1/checkpoint"
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "Qwen2_5_VLProcessor"


def test_mlflow_shows_every_record(project: Path) -> None:
    shown = read_json(project / R / "mlflow_runs.json")
    exported = set(records(project)) - {"export_mlflow/all.json"}
    assert len(shown["records"]) == len(exported)
    with sqlite3.connect(project / R / "mlflow.db") as database:
        states = dict(database.execute("select status, count(*) from runs group by status"))
    assert states.get("FINISHED", 0) >= len(exported)
    assert "RUNNING" not in states
    kept = {path.name for path in (project / R / "mlflow-artifacts").rglob("*") if path.is_file()}
    assert kept >= {"report.html", "accuracy.csv", "tiny-metrics-gradient_norm.png", "metrics.jsonl", "round1.json"}


def test_the_report_stands_alone(project: Path) -> None:
    page = (project / R / "report.html").read_text()
    assert "<img" in page
    assert not re.findall(r"""(?:src|href)=["']https?://""", page)


def test_one_stage_by_its_target(server: ForkingServer, project: Path) -> None:
    target = f"{R}/tiny/vas/seed0/round0/schedule.parquet"
    before = (project / target).read_bytes()
    printed = snakemake(project, "--forcerun", "draw_schedule", "--", target, PATH=server.path)
    assert "1 of 1 steps" in printed
    assert (project / target).read_bytes() == before
    snakemake(project, "--touch", "all")


def test_what_reruns_and_what_does_not(project: Path) -> None:
    """A comment reruns nothing; a changed line, what uses it; a changed value, what reads it; a new run, itself."""
    program = project / "scripts/calibrate.py"
    text = program.read_text()
    program.write_text(text + "\n# a comment\n")
    assert not planned(project, "all")
    program.write_text(text.replace("def main() -> None:\n", "def main() -> None:\n    assert True\n", 1))
    assert planned(project, "all") == {"calibrate": 4, "make_report": 1, "export_mlflow": 1, "all": 1}
    program.write_text(text)

    def plan_with(old: str, new: str) -> dict[str, int]:
        with changed_recipe(project, old, new):
            return planned(project, "all")

    more_rounds = plan_with("steps: 4,", "steps: 6,")
    assert more_rounds["train_grpo_kept"] == 2
    assert "train_grpo" not in more_rounds
    assert "train_sft" not in more_rounds
    new_run = plan_with("  vas: {}\n", "  vas: {}\n  mix-0.2: {vas: {mix: 0.2}}\n")
    assert new_run["train_grpo_kept"] == 2
    assert "generate_initial" not in new_run
    other_mix = plan_with("vas: {mix: 0.5,", "vas: {mix: 0.75,")
    assert other_mix["draw_schedule"] == 2
    assert other_mix["train_grpo_kept"] == 2
    assert "generate_initial" not in other_mix
    only_evaluation = plan_with(
        "evaluation: {benchmarks: [digits], max_tokens: 16}", "evaluation: {benchmarks: [digits], max_tokens: 12}"
    )
    assert set(only_evaluation) == {
        "generate_predictions",
        "score_benchmark",
        "make_tables",
        "make_report",
        "export_mlflow",
        "all",
    }


def adopt(project: Path) -> list[str]:
    """Lose Snakemake's notes and the results' times, adopt what there is, and return what is said of the jobs."""
    shutil.rmtree(project / ".snakemake")
    for path in (project / R).rglob("*"):
        path.touch()
    done = in_driver(project, "scripts/adopt.py", *command("all")[1:])
    done.check_returncode()
    return [line for line in done.stdout.splitlines() if line.startswith(("adopted", "left due"))]


def test_results_without_snakemakes_notes_are_adopted(project: Path) -> None:
    snakemake(project, "--forcerun", "export_mlflow", "--", "all")  # it reads the records, one of which was made again
    jobs = len(records(project))
    for listed in (project / R).rglob("*.sha256"):
        listed.unlink()  # what it says stands in the record
    assert adopt(project) == [f"adopted {jobs} of {jobs} jobs"]
    assert not planned(project, "all")


def test_what_does_not_agree_with_its_record_is_named_and_stays_due(project: Path) -> None:
    jobs = len(records(project))
    with changed_recipe(project, "  learning_rate: 3.0e-4", "  learning_rate: 1.0e-4"):
        said, due = adopt(project), planned(project, "all")
    assert said == [
        *(
            f"left due: train_grpo/tiny/{run}/seed0/round{r}: settings: learning_rate was 0.0003, is 0.0001"
            for run in ("grpo", "vas")
            for r in range(2)
        ),
        f"adopted {jobs - 4} of {jobs} jobs",
    ]
    assert due["train_grpo_kept"] == 4
    assert not due.keys() & {"train_sft", "generate_initial", "prepare_data", "prepare_digits"}

    schedule = project / f"{R}/tiny/vas/seed0/round1/schedule.parquet"
    good = schedule.read_bytes()
    schedule.write_bytes(good + b"!")
    left = {line.split(": ")[1] for line in adopt(project) if line.startswith("left due")}
    assert left == {f"{rule}/tiny/vas/seed0/round1" for rule in ("draw_schedule", "train_grpo", "calibrate")}
    assert planned(project, "all")["train_grpo_kept"] == 1
    schedule.write_bytes(good)
    assert adopt(project) == [f"adopted {jobs} of {jobs} jobs"]


def test_a_record_of_another_version_or_changed_by_hand_is_not_adopted(project: Path) -> None:
    path = project / R / "records/calibrate/tiny/vas/seed0/round1.json"
    good = path.read_text()
    path.write_text(good.replace('"schema_version": 2', '"schema_version": 1'))
    assert adopt(project)[0].startswith("left due: calibrate/tiny/vas/seed0/round1: a record of schema 1")
    path.write_text(good.replace("tiny/vas/seed0", "tiny/was/seed0", 1))
    assert "integrity" in adopt(project)[0]
    path.write_text(good)
    assert len(adopt(project)) == 1


def test_the_plan_of_a_finished_run_is_what_was_done(project: Path) -> None:
    """Told the lengths that it had: jobs, tokens and bytes are as records, tables and files say."""
    encoder = PromptEncoder(load_processor(project / f"{R}/tiny/sft/checkpoint"), None, "system", None, None)
    problems = read_problems(project / f"{R}/data/problems.parquet")
    prompts = sum(map(encoder.length, problems)) / len(problems)
    trained = [len(one) for file in (project / R).rglob("train_rollouts.parquet") for one in token_ids(file)]
    words = ["--json", "--measured", "--prompt-tokens", str(round(prompts)), "--visual-tokens", "2"]
    words += ["--response-tokens", str(round(sum(trained) / len(trained)))]
    planned = json.loads(in_driver(project, "scripts/plan.py", *words, *command("all")[1:]).stdout)
    assert planned["sums"]["jobs"] == len(records(project))
    assert planned["sums"]["due"] == 0
    rows = {(row["run"], row["stage"]): row for row in planned["rows"]}
    both = rows["grpo", "GRPO"]["trained_tokens"] + rows["vas", "GRPO"]["trained_tokens"]
    assert both == pytest.approx(len(trained) * prompts + sum(trained), rel=0.05)
    sampled = [len(one) for file in (project / R).rglob("rollouts/*.parquet") for one in token_ids(file)]
    passes = sum(row["sampled_tokens"] for (_, stage), row in rows.items() if stage == "VPS passes")
    assert passes == pytest.approx(sum(sampled), rel=0.1)
    files = [
        file for folder in ("checkpoint", "trainer_state") for file in (project / R).rglob(f"round*/{folder}/**/*")
    ]
    kept = sum(file.stat().st_size for file in files if file.suffix in (".safetensors", ".pt"))
    assert rows["grpo", "GRPO"]["kept_bytes"] + rows["vas", "GRPO"]["kept_bytes"] == pytest.approx(kept, rel=0.1)


def token_ids(file: Path) -> list[list[int]]:
    """The responses of a rollouts table."""
    return pq.read_table(file, columns=["token_ids"]).column(0).to_pylist()


def test_a_failed_job_shows_the_end_of_its_log(server: ForkingServer, project: Path) -> None:
    items = project / f"{R}/tiny/eval/sft/digits/items.parquet"
    good = items.read_bytes()
    items.write_bytes(good[:100])
    printed = snakemake(project, "all", rc=1, PATH=server.path)
    assert "items.parquet: expected sha256" in printed
    assert read_json(project / R / "logs/make_tables/accuracy.attempt.json")["state"] == "failed"
    items.write_bytes(good)
    snakemake(project, "all", PATH=server.path)


def tamper(project: Path, *words: str) -> dict[str, Any]:
    """What `tests/tamper_matrix.py` found out about the finished run."""
    done = in_driver(project, ROOT / "tests/tamper_matrix.py", project, R, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def matrix(project: Path) -> dict[str, Any]:
    snakemake(project, "--forcerun", f"{R}/mlflow_runs.json", "--", "all")  # records that were made again are shown
    return tamper(project)


def test_a_full_audit_of_a_finished_run_is_clean(matrix: dict[str, Any]) -> None:
    assert matrix["clean"] == []


def test_whatever_is_changed_the_full_audit_names_it(matrix: dict[str, Any]) -> None:
    assert {case["title"]: case["full"] for case in matrix["cases"]} == {
        case["title"]: case["expected"] for case in matrix["cases"]
    }
    assert all(case["remedy"] for case in matrix["cases"] if case["full"] == "differs")


def test_an_optimizer_state_that_went_is_not_missed(project: Path, matrix: dict[str, Any]) -> None:
    state = project / f"{R}/tiny/vas/seed0/round0/trainer_state"
    away = state.rename(project / "away")
    assert tamper(project, "--leave", "nothing")["findings"] == []
    away.rename(state)


def test_the_page_shows_the_tamper_matrix(matrix: dict[str, Any]) -> None:
    page = (ROOT / "docs/audit.md").read_text()
    assert table(matrix) in page


def table(matrix: dict[str, Any]) -> str:
    """The matrix as the page shows it."""
    rows = [
        f"| {case['title']} | {case['quick'] or 'not seen'} | {case['full']} |".replace(
            "differs harmlessly", "harmless"
        )
        for case in matrix["cases"]
    ]
    return "\n".join(["| changed | quick audit | full audit |", "| --- | --- | --- |", *rows])


def test_300_flipped_bytes_are_each_found_and_named_by_a_full_audit(project: Path) -> None:
    assert tamper(project, "--flips", "300") == {"flips": 300, "missed": []}


@pytest.mark.parametrize(
    "title",
    ["a number in the final table", "a record deleted", "a program", "a file added to a folder", "MLflow: a tag"],
)
def test_after_the_remedy_the_audit_is_clean(
    server: ForkingServer, project: Path, matrix: dict[str, Any], title: str
) -> None:
    """The thing is changed and stays so; the remedy that the audit gave is typed as it stands."""
    (remedy,) = [case["remedy"] for case in matrix["cases"] if case["title"] == title]
    assert tamper(project, "--leave", title)["verdict"] == "differs"
    there = environment(PATH=forking_path(server))
    subprocess.run(remedy, shell=True, cwd=project, env=there, check=True, capture_output=True)
    assert tamper(project, "--leave", "nothing")["verdict"] == "agrees"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("vas={mix: 1.4}", "recipe: vas.mix: 1.4 is not in [0, 1]"),
        ("vas={mixx: 1}", "recipe: vas.mixx: no such setting"),
        (
            "schedule={batch_size: 17}",
            "recipe: schedule.batch_size: expected at most data.digits.problems (16), found 17",
        ),
        ("vas={samples: many}", "recipe: vas.samples: Input should be a valid integer, unable to parse string as"),
        ("data={digits: {test: 0}}", "recipe: data.digits.test: expected at least 1, found '0'"),
        ("prompts={training: nowhere.txt}", "recipe: prompts.training: nowhere.txt: no such file or folder"),
    ],
)
def test_a_wrong_recipe_is_one_line_before_any_job(project: Path, value: str, message: str) -> None:
    done = in_driver(project, *command("-n"), "--config", value, "--", "all")
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if not line.startswith("Using profile")]
    assert said.startswith(message)


def test_values_on_the_command_line_reach_the_jobs(project: Path) -> None:
    printed = snakemake(project, "-n", "-p", "--config", "vas={mix: 0.25}", "--", "all")
    assert '"mix": 0.25' in printed


def test_the_slurm_profile_builds_the_papers_dag(project: Path) -> None:
    done = subprocess.run(
        [str(ROOT / ".envs/driver/bin/snakemake"), "--profile", "slurm", "all", "-n"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert re.search(r"^train_grpo\s+\d+", done.stdout + done.stderr, re.MULTILINE)
