"""The tamper matrix: one thing of a finished run changed at a time, size and time restored, and what the audit says.

    .envs/driver/bin/python tests/tamper_matrix.py PROJECT RESULTS          # a table in Markdown, of docs/audit.md
    .envs/driver/bin/python tests/tamper_matrix.py PROJECT RESULTS --flips 300

Runs in the driver's environment, on a finished run in a project that is a git repository. Each case is tried by a quick
audit and by a full one, in a process of its own, and undone.
"""

import argparse
import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else Path.cwd()
sys.path.insert(0, str(PROJECT / "scripts"))

import audit as program  # noqa: E402
from mmr1.plumbing.code import _parsed  # noqa: E402
from mmr1.plumbing.files import read_json, write_json  # noqa: E402
from mmr1.plumbing.makers import CALL  # noqa: E402
from mmr1.plumbing.seal import sealed  # noqa: E402
from mmr1.provenance.audit import code as code_of_jobs  # noqa: E402
from mmr1.provenance.audit.audit import audit  # noqa: E402
from mmr1.provenance.audit.hashes import hash_of  # noqa: E402
from mmr1.provenance.audit.kept import freeze  # noqa: E402
from mmr1.provenance.audit.report import as_json  # noqa: E402

WORKFLOW, MLFLOW = program.ask_workflow, program.ask_mlflow


@dataclass(frozen=True)
class Case:
    """Something that is changed: `thing` is what the finding must name, `verdict` what a full audit must say of it."""

    title: str
    change: Callable[[Path], None]
    thing: str
    verdict: str = "differs"
    question: Any = None  # of a full audit, that it is about
    undo: tuple[str, ...] = ()  # paths that are put back; `thing` if there are none


def flip(path: Path, at: int | None = None, by: int = 1) -> None:
    """Change one byte of a file, in the middle; its size and time stay."""
    status, data = path.stat(), bytearray(path.read_bytes())
    place = len(data) // 2 if at is None else at
    data[place] ^= by
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def edit(path: Path, old: str, new: str) -> None:
    """Change a text; the file's time stays."""
    status, text = path.stat(), path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new, 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flipped(title: str, name: str, **more: Any) -> Case:
    """A byte of a file is flipped."""
    return Case(title, lambda _: flip(PROJECT / name), name, **more)


def edited(title: str, name: str, old: str, new: str, **more: Any) -> Case:
    """A text is changed."""
    return Case(title, lambda _: edit(PROJECT / name, old, new), name, **more)


def swap(results: Path) -> None:
    """Two files of the same kind take each other's place."""
    first, second = (results / f"tiny/vas/seed0/round{r}/scores.parquet" for r in range(2))
    texts = first.read_bytes(), second.read_bytes()
    second.write_bytes(texts[0])
    first.write_bytes(texts[1])


def edit_sealed(results: Path) -> None:
    """Edit a metric in a record and make its digest fit."""
    path = results / "records/score_benchmark/tiny/vas-seed0/digits.json"
    record = read_json(path)
    name = next(iter(record["metrics"]))
    record["metrics"][name] = 0.999
    write_json(path, sealed(record))


def in_database(statement: str) -> Callable[[Path], None]:
    """Change something in MLflow's database."""

    def change(results: Path) -> None:
        with sqlite3.connect(results / "mlflow.db") as database:
            assert database.execute(statement).rowcount > 0, statement

    return change


def change_table(results: Path) -> None:
    """Edit a number in the final table."""
    table = results / "tables/accuracy.csv"
    text = table.read_text()
    at = next(index for index in range(len(text) - 1, 0, -1) if text[index].isdigit())
    edit(table, text[at:], f"{(int(text[at]) + 1) % 10}{text[at + 1 :]}")


def add_file(results: Path) -> None:
    """Add a file to a checkpoint."""
    (results / "tiny/sft/checkpoint/more.json").write_text("{}")


def replace(path: Path, other: Path) -> None:
    """Put another file's bytes in place of a file's."""
    path.write_bytes(other.read_bytes())


def add_package(_: Path) -> None:
    """Change a file of an installed package, in an environment of this project with that one package."""
    site = PROJECT / ".envs/small/lib/python3.11/site-packages"
    (site / "small.py").write_text("VALUE = 2\n")


def cases(R: str) -> list[Case]:
    """Every case; R is the results folder as seen from the project."""
    t = f"{R}/tiny"
    run = f"{t}/vas/seed0/round1"
    marker = f"{R}/logs/score_vps/tiny/vas/seed0/round1.attempt.json"
    metric = "UPDATE metrics SET value = value + 0.125 WHERE key = 'reward_mean'"
    shown = max((PROJECT / R / "mlflow-artifacts").rglob("accuracy.csv"), key=lambda path: path.stat().st_mtime)
    artifact = shown.relative_to(PROJECT).as_posix()
    small = ".envs/small/lib/python3.11/site-packages/small.py"
    record = f"{R}/records/score_benchmark/tiny/vas-seed0/digits.json"
    other = f"{R}/records/train_grpo/tiny/vas/seed0/round0.json"
    database = (f"{R}/mlflow.db",)
    return [
        flipped("data", f"{R}/data/problems.parquet"),
        flipped("a shard of a checkpoint", f"{t}/sft/checkpoint/model.safetensors"),
        flipped("a tokenizer", f"{t}/sft/checkpoint/tokenizer.json"),
        flipped("rollouts", f"{run}/rollouts/0.parquet"),
        flipped("scores", f"{run}/scores.parquet"),
        flipped("a schedule", f"{run}/schedule.parquet"),
        flipped("metrics", f"{run}/metrics.jsonl"),
        flipped("predictions", f"{t}/eval/vas-seed0/digits/predictions.parquet"),
        flipped("benchmark scores", f"{t}/eval/vas-seed0/digits/scores.json"),
        flipped("a figure", figure(R)),
        flipped("a table", f"{R}/tables/accuracy.md"),
        flipped("the report", f"{R}/report.html"),
        flipped("a record", f"{R}/records/score_vps/tiny/vas/seed0/round0.json"),
        flipped("a start marker among the logs", marker),
        flipped("the digests beside a folder", f"{run}/checkpoint.sha256"),
        flipped("the note of who made a file", f"{R}/records/.makers/tiny/vas/seed0/round1/scores.parquet.maker"),
        flipped("the recipe that was kept", f"{R}/recipe.json"),
        Case("MLflow: a metric's value", in_database(metric), "MLflow:", question=MLFLOW, undo=database),
        Case(
            "MLflow: a tag",
            in_database("UPDATE tags SET value = 'x' WHERE key = 'mmr1.code'"),
            "MLflow:",
            question=MLFLOW,
            undo=database,
        ),
        Case(
            "MLflow: a param",
            in_database("UPDATE params SET value = '0.9' WHERE key = 'mix'"),
            "MLflow:",
            question=MLFLOW,
            undo=database,
        ),
        Case("MLflow: an artifact", lambda _: flip(PROJECT / artifact), "MLflow:", question=MLFLOW, undo=(artifact,)),
        edited("the recipe: a value", RECIPE, "mix: 0.5", "mix: 0.6", question=WORKFLOW),
        edited(
            "the recipe: a comment",
            RECIPE,
            "until the whole",
            "until the Whole",
            verdict="differs harmlessly",
            question=WORKFLOW,
        ),
        edited("the recipe: no YAML any more", RECIPE, "name: tiny", "name: [tiny", question=WORKFLOW),
        flipped("a prompt", "config/prompts/digits.txt"),
        edited("a program", "scripts/calibrate.py", "def main() -> None:\n", "def main() -> None:\n    assert True\n"),
        edited(
            "a program: no Python any more", "scripts/calibrate.py", "def main() -> None:\n", "def main( -> None:\n"
        ),
        edited("a program: a comment", "scripts/calibrate.py", '"""', '"""So: ', verdict="differs harmlessly"),
        edited("an imported module", "scripts/mmr1/vas/scores.py", "\nfrom mmr1", "\nNEW = 1\nfrom mmr1"),
        edited("a plugin", "scripts/mmr1/vas/diversities/inverse_self_bleu_123.py", "TITLE = ", "NEW = 1\nTITLE = "),
        edited(
            "plumbing",
            "scripts/mmr1/plumbing/errors.py",
            "import os\n",
            "import os\n\nNEW = 1\n",
            verdict="differs harmlessly",
        ),
        edited("a rule", "workflow/rules/vas.smk", "--seed {wildcards.seed}", "--seed 7", question=WORKFLOW),
        edited(
            "a rule: a comment",
            "workflow/rules/vas.smk",
            "# Variance",
            "# variance",
            verdict="differs harmlessly",
            question=WORKFLOW,
        ),
        edited(
            "a rule: no rule any more", "workflow/rules/vas.smk", "rule generate:", "rule generate", question=WORKFLOW
        ),
        flipped("the report's template", "scripts/mmr1/report/page.html"),
        flipped("a lock", "envs/cpu.lock", verdict="differs harmlessly"),
        Case("a file of an installed package", add_package, small),
        Case("a file added to a folder", add_file, f"{t}/sft/checkpoint/more.json"),
        Case(
            "a file removed from a folder",
            lambda results: (results / "tiny/sft/checkpoint/tokenizer_config.json").unlink(),
            f"{t}/sft/checkpoint/tokenizer_config.json",
        ),
        Case(
            "two files swapped",
            swap,
            f"{t}/vas/seed0/round0/scores.parquet",
            undo=tuple(f"{t}/vas/seed0/round{r}/scores.parquet" for r in range(2)),
        ),
        Case(
            "a record deleted",
            lambda results: (PROJECT / record).unlink(),
            f"{t}/eval/vas-seed0/digits/scores.json",
            undo=(record,),
        ),
        Case(
            "a parent's record replaced by another run's",
            lambda _: replace(PROJECT / other, PROJECT / other.replace("/vas/", "/grpo/")),
            other,
        ),
        Case("a number in the final table", change_table, f"{R}/tables/accuracy.csv"),
        Case("a metric in a record, and its digest made to fit (after `make freeze`)", edit_sealed, record),
    ]


RECIPE = "tests/recipes/tiny.yaml"


def figure(results: str) -> str:
    """A figure of the report."""
    return min((PROJECT / results / "figures").glob("tiny-*")).relative_to(PROJECT).as_posix()


@contextmanager
def undone(case: Case) -> Iterator[None]:
    """Put back, with their times, the files that a case changes."""
    paths = [PROJECT / name for name in case.undo or (case.thing,)]
    before = {path: (path.read_bytes(), path.stat()) if path.exists() else None for path in paths}
    try:
        yield
    finally:
        for path, was in before.items():
            if was is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(was[0])
                os.utime(path, ns=(was[1].st_atime_ns, was[1].st_mtime_ns))


def in_child(work: Callable[[], Any]) -> Any:
    """What a function returns, called in a forked process: what audits remember of files goes with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writing, "w") as file:
                json.dump(work(), file)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(text)


def audited(results: Path, full: bool, question: Any = None, code: bool = False) -> list[dict[str, str]]:
    """The findings of an audit of everything; with `code`, of which a file was changed, code is read anew."""

    def work() -> Any:
        for remembered in (code_of_jobs._code_files, hash_of, *[_parsed] * code):
            remembered.cache_clear()
        return as_json(audit(results, PROJECT, full, questions=[question] if question else []))["findings"]

    findings: list[dict[str, str]] = in_child(work)
    return findings


def about(findings: list[dict[str, str]], thing: str) -> str | None:
    """The worst verdict of the findings that name a thing."""
    named = [one for one in findings if thing in one["thing"]] or [one for one in findings if thing in one["problem"]]
    return min((one["verdict"] for one in named), key=len, default=None)  # "differs" before "differs harmlessly"


def try_case(results: Path, case: Case) -> dict[str, Any]:
    """What a quick and a full audit say of a case."""
    print(case.title, file=sys.stderr, flush=True)
    with undone(case):
        case.change(results)
        code = case.thing.startswith("scripts/")
        quick, full = audited(results, False, code=code), audited(results, True, case.question, code)
    thing = "recipe or rule" if case.question is WORKFLOW and case.verdict == "differs" else case.thing
    thing = "the workflow" if "any more" in case.title and case.question is WORKFLOW else thing
    worst_first = sorted(full, key=lambda one: len(one["verdict"]))
    remedy = next((one["remedy"] for one in worst_first if thing in one["thing"]), "")
    return {
        "title": case.title,
        "quick": about(quick, case.thing),
        "full": about(full, thing),
        "expected": case.verdict,
        "remedy": remedy,
    }


def try_flips(results: Path, count: int, at_a_time: int = 25, seed: int = 0) -> dict[str, Any]:
    """Flip random bytes of random files, several at a time; returns those that a full audit did not name."""
    draw = random.Random(seed)
    kinds = [[path for path in every_file(results) if of_record(path) == kind] for kind in (False, True)]
    missed, done = [], 0
    while done < count:
        some = draw.sample(kinds[done // at_a_time % 2], min(at_a_time, count - done))
        before = {path: (path.read_bytes(), path.stat()) for path in some}
        for path, (data, _) in before.items():
            flip(path, draw.randrange(len(data)), draw.randrange(1, 256))
        findings = audited(results, True, code=True)
        for path, (data, status) in before.items():
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        names = [path.relative_to(PROJECT).as_posix() for path in some]
        missed += [name for name in names if about(findings, name) is None]
        done += len(some)
    return {"flips": done, "missed": missed}


def of_record(path: Path) -> bool:
    """Whether a file is a record: while one is damaged nothing is known of what its job made."""
    return "records" in path.parts and path.suffix == ".json"


def every_file(results: Path) -> list[Path]:
    """All that records tell of and that is there: results, notes and markers, sources, code, workflow, locks."""
    records = [read_json(path) for path in sorted((results / "records").rglob("*.json"))]
    named = {
        file["path"]
        for one in records
        for files in (*one["key"]["inputs"].values(), *one["outputs"].values())
        for file in files
    }
    texts = {text for one in records for text in one["execution"]["texts"]}
    own = [*(results / "records").rglob("*"), *(results / "logs").rglob("*.attempt*.json"), *results.rglob("*.sha256")]
    files = {*(PROJECT / name for name in {*named, *texts, "envs/cpu.lock", "envs/driver.lock"}), *own}
    return sorted(path for path in files if path.is_file() and path.stat().st_size and "mlflow_runs" not in path.name)


def install_small() -> None:
    """An environment of this project with one package."""
    site = PROJECT / ".envs/small/lib/python3.11/site-packages"
    info = site / "small-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "small.py").write_text("VALUE = 1\n")
    (info / "RECORD").write_text(
        "small.py,sha256=4T34xEr13qHkEkA5ELmcxaSPLMv2imazN01quc75_GU,10\nsmall-1.dist-info/RECORD,,\n"
    )
    (PROJECT / ".envs/small/mmr1-lock.json").write_text('{"name": "cpu", "lock": "", "installer": ""}')


def left(results: Path, title: str, all_cases: list[Case]) -> dict[str, Any]:
    """Change one thing for good, and audit everything."""
    frozen = results / "records.sha256"
    frozen.unlink(missing_ok=True)  # a remedy makes records again
    for case in all_cases:
        if case.title == title:
            case.change(results)
    done = as_json(audit(results, PROJECT, True, questions=[WORKFLOW, MLFLOW]))
    return {"verdict": done["verdict"], "findings": done["findings"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("results", help="such as results/tiny")
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--only", help="cases with this in their titles")
    parser.add_argument("--leave", help="make the change of this title, leave it so, and say what a full audit says")
    args = parser.parse_args()
    os.chdir(PROJECT)
    results = PROJECT / args.results
    os.environ[CALL] = program.kept_call(results) or ""
    install_small()
    if args.leave:
        print(json.dumps(left(results, args.leave, cases(args.results))))
        return
    freeze(results)
    audit(results, PROJECT)  # parses all code once, for the children
    if args.flips:
        print(json.dumps(try_flips(results, args.flips)))
        return
    tried = [try_case(results, case) for case in cases(args.results) if (args.only or "") in case.title]
    print(json.dumps({"clean": audited(results, True, WORKFLOW) + audited(results, True, MLFLOW), "cases": tried}))


if __name__ == "__main__":
    main()
