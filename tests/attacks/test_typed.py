"""What a person may type: it reaches no shell, it ends in one line, and it costs no finished work."""

import json
import socket
import subprocess
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml

from mmr1.plumbing.errors import UserError
from mmr1.provenance.kept_recipe import KeptRecipe, differences, training_values
from mmr1.recipe import check_files, load_recipe, read_recipe
from project import ROOT, TINY, command, copy_project, environment, forking_server, stand_in_python
from rules import rules

DRIVER = ROOT / ".envs/driver/bin/python"
DIGITS = yaml.safe_load((ROOT / "config/digits.yaml").read_text())
HOSTILE = 'it\'s {model} <r> $(touch pwned) `touch pwned` "b" ü;&|.txt'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 * 60)]

# --- Twenty mistakes, one line each -----------------------------------------------------------------------------------


def changed(path: str, value: object) -> str:
    """The digits recipe with one value set, `path` in dots, as a file's text."""
    recipe = json.loads(json.dumps(DIGITS))
    *parents, last = path.split(".")
    section = recipe
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return yaml.safe_dump(recipe)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "mine.yaml: expected a recipe's sections, found null"),
        ("- digits\n", 'mine.yaml: expected a recipe\'s sections, found ["digits"]'),
        ("vas: {mix: 0.5\n", "mine.yaml: expected YAML: while parsing a flow mapping"),
        ("vas:\n  mix: 0.5\n  samples: 8\n  mix: 0.8\n", "mine.yaml: line 4: mix: stands twice"),
        (changed("name", None), "name: Input should be a valid string, found None"),
        (yaml.safe_dump({k: v for k, v in DIGITS.items() if k != "name"}), "name: expected a value, found none"),
        (changed("schedule.steps", True), "schedule.steps: expected a number, found true"),
        (changed("seeds", [0, True]), "seeds: expected a number, found true"),
        (changed("models.tiny.base", {"hub": "/a/folder", "revision": "abc1234"}), "models.tiny.base.hub: expected a"),
        (changed("models.tiny.base", {"hub": "a/b; rm", "revision": "abc1234"}), "models.tiny.base.hub: expected a"),
        (
            changed("models.tiny.base", {"hub": "a/b", "revision": "$(touch pwned)"}),
            "models.tiny.base.revision: expected a commit hash or the first of its digits (0-9, a-f), found '$(touch",
        ),
        (changed("runs.a", {"checkpoint": {"url": "http://h/v1", "model": "m$(touch pwned)"}}), "runs.a.checkpoint.mo"),
        (changed("runs.a", {"checkpoint": {"url": "http://h/v1;ls", "model": "m"}}), "runs.a.checkpoint.url: expected"),
        (changed("runs", {"a; ls": {}}), "runs.a; ls.[key]: 'a; ls' is not a name"),
        (changed("mlflow", "http://host:5000/$(touch pwned)"), "mlflow: expected a tracking URI, as in http://host"),
        (changed("environment", "gpu; ls"), "environment: Input should be 'cpu' or 'gpu', found 'gpu; ls'"),
        (
            changed("models.tiny.base", {"path": "empty"}),
            "models.tiny.base.path: empty: expected a checkpoint's folder",
        ),
        (
            changed("models.tiny.sft", {"checkpoint": "empty"}),
            "models.tiny.sft.checkpoint: empty: expected a checkpoin",
        ),
        (changed("runs.a", {"checkpoint": "empty"}), "runs.a.checkpoint: empty: expected a checkpoint's folder, found"),
        (changed("prompts.training", "nowhere.txt"), "prompts.training: nowhere.txt: no such file or folder"),
    ],
)
def test_a_mistake_in_a_recipe_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text)
    Path("empty").mkdir()
    Path("config").symlink_to(ROOT / "config")
    with pytest.raises(UserError) as caught:
        check_files(load_recipe(read_recipe("mine.yaml")))
    assert str(caught.value).replace(".[key]", "").startswith(line.replace(".[key]", ""))
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_in_front_of_a_recipe_is_no_part_of_it(tmp_path: Path) -> None:
    """Snakemake reads such a file as well."""
    (tmp_path / "mine.yaml").write_text((ROOT / TINY).read_text(), encoding="utf-8-sig")
    assert read_recipe(tmp_path / "mine.yaml") == read_recipe(ROOT / TINY)


# Words for Snakemake, and how the line begins that they end in. FILE stands for a recipe.
WORDS = [
    (["--configfile", "nowhere.yaml"], "nowhere.yaml: no such file"),
    (["--configfile", "latin.yaml"], "latin.yaml: expected a file of UTF-8 text: 'utf-8' codec can't decode byte 0xe9"),
    (["--configfile", "."], ".: expected a file of UTF-8 text: "),
    (
        ["--config", "vas.mix=0.8"],
        "--config vas.mix=0.8: expected a section and its keys, as in --config 'vas={mix",
    ),
    (["--config", "a.b.c=1"], "--config a.b.c=1: expected a section and its keys, as in --config 'a={b: {c: 1}}'"),
    (["--config", "redo=true", "all"], "--config all: expected NAME=VALUE; give targets after --"),
    (["--configfile", "FILE", "all"], "--configfile: found the target all among its files; give targets after --"),
    (["--configfile", "FILE", "results/x.html"], "--configfile: found the target results/x.html among its files"),
    (["--forcerun", "train_sft", "tables"], "--forcerun: found the target tables among its rules; give targets after"),
]

CALL = """
import json, sys
import call
from mmr1.plumbing.errors import UserError
from snakemake import cli

cli.main = lambda words: print("Snakemake was called with", words)
for words in json.loads(sys.argv[1]):
    sys.argv = ["call.py", *words]
    try:
        call.main()
    except UserError as error:
        print("line:", error)
    except SystemExit as error:
        print("line:", error)
"""


def test_a_mistake_in_the_words_is_one_line_before_snakemake_is_called(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    good = str(ROOT / TINY)
    words = [[good if word == "FILE" else word for word in words] for words, _ in WORDS]
    right = ["--configfile", good, "--config", "vas={mix: 0.8}", "redo=true", "--forcerun", "train_sft", "--", "all"]
    done = in_driver(CALL, json.dumps([*words, right]), cwd=tmp_path)
    lines = [line for line in done.splitlines() if not line.startswith("Using profile")]
    assert lines[-1] == f"Snakemake was called with {right}"
    assert len(lines) == len(WORDS) + 1
    for said, (_, line) in zip(lines, WORDS, strict=False):
        assert said.removeprefix("line: ").startswith(line)


def in_driver(program: str, *words: str, cwd: Path = ROOT) -> str:
    """What a program prints that runs in the driver's environment, with the project's scripts at hand."""
    done = subprocess.run(
        [DRIVER, "-c", program, *words],
        cwd=cwd,
        env=environment(PYTHONPATH=str(ROOT / "scripts")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def call(project: Path, *words: str, recipe: str = TINY, **variables: str) -> tuple[int, list[str]]:
    """Snakemake's exit code, and the lines that the recipe's check says."""
    done = subprocess.run(
        [forking_server().python, *command(*words, recipe=recipe)],
        cwd=project,
        env=environment(**variables),
        capture_output=True,
        text=True,
    )
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith(("recipe: ", "Traceback"))]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the tiny recipe was run, by a stand-in for the programs."""
    project = copy_project(tmp_path_factory.mktemp("typed") / "checkout")
    path = stand_in_python(project)
    assert call(project, "all", PATH=path) == (0, [])
    return project


# Words that are right for Snakemake, and how the one line begins that the workflow ends them with.
BEYOND_WORDS = [
    (["--", "results/tiny/tiny/vas/seed0/round9/checkpoint"], "recipe: vas has 2 rounds, from round0; found 9"),
    (["--", "results/tiny/tiny/grpo/seed0/round2/schedule.parquet"], "recipe: grpo has 2 rounds, from round0; found 2"),
    (["--forcerun", "train_sft", "tables"], "recipe: --forcerun took tables for a rule; give targets after --"),
    (["--config", "redo=maybe", "--", "all"], "recipe: redo: expected true or false, found maybe"),
    (["--configfile", TINY, "config/digits.yaml", "--", "all"], "recipe: expected one file, found "),
    (
        ["--configfile", "redo.yaml", "--", "all"],
        "recipe: redo.yaml: redo: no such setting; it is for one call: --conf",
    ),
    (["--configfile", "twice.yaml", "--", "all"], "recipe: twice.yaml: line 2: name: stands twice"),
    (["--configfile", "nameless.yaml", "--", "all"], "recipe: name: expected a value, found none"),
]

SNAKEMAKE = """
import json, sys
from snakemake import cli

for words in json.loads(sys.argv[1]):
    print(">", file=sys.stderr)
    try:
        cli.main(words)
    except SystemExit as error:
        print("exit", error.code, file=sys.stderr)
"""


def test_what_only_the_workflow_can_see_is_one_line_too(project: Path) -> None:
    tiny = (project / TINY).read_text()
    (project / "redo.yaml").write_text(f"{tiny}\nredo: true\n")
    (project / "twice.yaml").write_text(f"name: a\n{tiny.partition(chr(10))[2]}")
    (project / "nameless.yaml").write_text(tiny.replace("name: tiny\n", ""))
    calls = [["-n", "--quiet", "all", *command(*words)[1:]] for words, _ in BEYOND_WORDS]
    done = subprocess.run(
        [DRIVER, "-c", SNAKEMAKE, json.dumps(calls)], cwd=project, env=environment(), capture_output=True, text=True
    )
    parts = done.stderr.split(">\n")[1:]
    assert len(parts) == len(calls), done.stderr[-3000:]
    for part, (_, line) in zip(parts, BEYOND_WORDS, strict=True):
        *_, said, code = part.splitlines()
        assert (said.startswith(line), code) == (True, "exit 2"), part
        assert "Traceback" not in part


def test_a_port_in_use_is_told_and_no_address_is_shown(tmp_path: Path) -> None:
    (tmp_path / "my results").mkdir()
    (tmp_path / "my results/mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = [
            "make",
            "--old-file=env",
            "--no-print-directory",
            "mlflow",
            f"RESULTS={tmp_path}/my results",
            f"PORT={port}",
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "http" not in done.stdout
    assert done.stderr.splitlines()[0] == f"PORT={port}: in use on this machine; make mlflow PORT=..."


# --- Nothing that is typed reaches a shell ----------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["config/digits.yaml", "config/mmr1.yaml"])
def test_every_value_of_every_command_is_quoted(recipe: str) -> None:
    """But for the launcher and the starter, whose words are ours and whose numbers are the recipe's."""
    for rule in rules(recipe).values():
        fields = [(field, spec) for _, field, spec, _ in Formatter().parse(rule.command) if field]
        assert {field for field, spec in fields if spec != "q"} <= {"resources.launcher", "resources.starter"}, (
            rule.name
        )
        assert rule.command == "" or len(fields) > 2


# Builds a recipe's DAG, and runs the command of each named rule's first job as Snakemake would.
RUN = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings
from snakemake.settings.types import ExecutionSettings, RemoteExecutionSettings
from snakemake.shell import shell

recipe, names, targets = json.loads(sys.argv[1])
with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    config = ConfigSettings(configfiles=[Path(recipe)])
    workflow_api = api.workflow(ResourceSettings(cores=2), config_settings=config)
    workflow_api.dag(DAGSettings(targets=set(targets)))
    workflow = workflow_api._workflow
    workflow.execution_settings, workflow.remote_execution_settings = ExecutionSettings(), RemoteExecutionSettings()
    workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=False)
    workflow._build_dag()
    for name in names:
        job = min((job for job in workflow.dag.jobs if job.rule.name == name), key=lambda job: str(job.output[0]))
        for file in job.log:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        shell(job.shellcmd.replace("{", "{{").replace("}", "}}"))
"""

# Stands for `python`: writes down what it was told, and what it read.
HEARD = """
import json, sys
read = sys.stdin.read() if "-" in sys.argv else ""
with open("heard.jsonl", "a") as file:
    file.write(json.dumps({"words": sys.argv[1:], "longest": max(map(len, sys.argv)), "read": read}) + chr(10))
"""


def heard(project: Path, recipe: dict[str, Any], names: list[str], targets: list[str]) -> dict[str, dict[str, Any]]:
    """What the programs of a recipe's jobs are told, by program."""
    (project / "mine.yaml").write_text(yaml.safe_dump(recipe))
    (project / "bin").mkdir(exist_ok=True)
    (project / "bin/python").write_text(f"#!{DRIVER}\n{HEARD}")
    (project / "bin/python").chmod(0o755)
    done = subprocess.run(
        [DRIVER, "-c", RUN, json.dumps(["mine.yaml", names, targets])],
        cwd=project,
        env=environment(PATH=f"{project / 'bin'}:/usr/bin:/bin"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in (project / "heard.jsonl").read_text().splitlines()]
    return {Path(one["words"][0]).stem: one for one in told}


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_paths_with_everything_that_a_shell_or_snakemake_reads_come_to_programs_as_they_are(tmp_path: Path) -> None:
    """In a checkout whose own path has spaces, an umlaut and braces."""
    project = copy_project(tmp_path / "a b ü {x}" / HOSTILE)
    for name in ("prompts", "start", "own"):
        (project / name / HOSTILE).mkdir(parents=True)
    (project / "prompts" / HOSTILE / HOSTILE).write_text("Look.")
    (project / "start" / HOSTILE / "config.json").write_text("{}")
    (project / "start" / HOSTILE / "model.safetensors").touch()
    prompt, start = f"prompts/{HOSTILE}/{HOSTILE}", f"start/{HOSTILE}"
    for name in ("problems", "validation", "test"):
        (project / f"own/{HOSTILE}/{name}.jsonl").touch()
    recipe = yaml.safe_load((ROOT / "tests/recipes/tiny.yaml").read_text()) | {
        "data": {"files": {name: f"own/{HOSTILE}/{name}.jsonl" for name in ("problems", "validation", "test")}},
        "models": {"tiny": {"sft": {"checkpoint": start}}},
        "prompts": {"training": prompt, "evaluation": prompt},
        "evaluation": {"benchmarks": ["own"], "max_tokens": 16},
    }
    told = heard(project, recipe, ["prepare_data", "generate_initial", "train_grpo_kept"], ["train"])
    assert json.loads(after(told["prepare_data"]["words"], "--settings"))["source"]["problems"].startswith("own/it's {")
    for program in ("generate", "train_grpo"):
        assert after(told[program]["words"], "--system-prompt") == prompt
    loaded = project / after(told["generate"]["words"], "--model")
    assert loaded.resolve() == (project / start).resolve()
    assert not list(tmp_path.rglob("pwned"))


# --- No word of a command line grows with the recipe ------------------------------------------------------------------

LONGEST = 131_072  # what Linux takes as one argument


def test_a_thousand_shards_are_scored(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "checkout")
    recipe = yaml.safe_load((ROOT / TINY).read_text())
    recipe["rollout"]["shards"] = 1000
    told = heard(project, recipe, ["score_vps"], ["results/tiny/tiny/vas/seed0/round0/scores.parquet"])["score_vps"]
    assert sum(word.endswith(".parquet") and "/rollouts/" in word for word in told["words"]) == 1000
    assert told["longest"] < 10_000


INDEX = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings
from snakemake.shell import shell
from snakemake.utils import format
from types import SimpleNamespace

with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    config = ConfigSettings(configfiles=[Path(sys.argv[1])])
    workflow = api.workflow(ResourceSettings(cores=2), config_settings=config)._workflow
    for name in ("make_tables", "make_report"):
        (rule,) = [rule for rule in workflow.rules if rule.name == name]
        index = rule.params.settings(SimpleNamespace(table="accuracy"))  # that of all evaluations
        paths = {kind: SimpleNamespace(**{key: "out" for key in list(getattr(rule, kind).keys())})
                 for kind in ("input", "output")}
        command = format(rule.shellcmd, **paths, wildcards=SimpleNamespace(table="accuracy"),
                         params=SimpleNamespace(settings=index), log=SimpleNamespace(text="text", attempt="attempt"))
        shell(command.replace("{", "{{").replace("}", "}}"))
"""


def test_the_papers_recipe_with_ten_seeds_is_reported(tmp_path: Path) -> None:
    """With three, the index was an argument of 180,889 characters."""
    project = copy_project(tmp_path / "checkout")
    recipe = yaml.safe_load((ROOT / "config/mmr1.yaml").read_text()) | {"seeds": list(range(10))}
    (project / "mine.yaml").write_text(yaml.safe_dump(recipe))
    (project / "bin").mkdir()
    (project / "bin/python").write_text(f"#!{DRIVER}\n{HEARD}")
    (project / "bin/python").chmod(0o755)
    words = [DRIVER, "-c", INDEX, "mine.yaml"]
    done = subprocess.run(
        words,
        cwd=project,
        env=environment(PATH=f"{project / 'bin'}:/usr/bin:/bin"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for line in (project / "heard.jsonl").read_text().splitlines():
        told = json.loads(line)
        assert told["longest"] < 1000
        assert len(told["read"]) > LONGEST
        assert len(json.loads(told["read"])["evaluations"]) == 1080


# --- Finished training is not redone by accident ----------------------------------------------------------------------


def test_a_recipe_that_would_redo_training_is_told_in_a_dry_run_and_stops_a_call(project: Path) -> None:
    recipe = project / TINY
    good = recipe.read_text()
    made = {path: path.stat().st_mtime_ns for path in (project / "results/tiny").rglob("*") if path.is_file()}
    recipe.write_text(good.replace("learning_rate: 3.0e-4", "learning_rate: 1.0e-4"))
    what = "recipe: grpo.learning_rate was 0.0003, is 0.0001: this would redo 4 finished trainings in results/tiny ("
    try:
        code, (said,) = call(project, "-n", "all")
        assert (code, said.startswith(what)) == (0, True), said
        path = f"{project.parent / 'tools'}:/usr/bin:/bin"
        code, (said,) = call(project, "all", PATH=path)
        assert (code, said.startswith(what)) == (2, True), said
        assert "--config redo=true" in said
        assert made == {path: path.stat().st_mtime_ns for path in made}
        assert call(project, "--config", "redo=true", "--", "all", PATH=path) == (0, [])
        assert call(project, "all", PATH=path) == (0, [])  # what was asked once is not asked again
    finally:
        recipe.write_text(good)


def test_a_copied_recipe_needs_a_name_of_its_own(project: Path) -> None:
    copied = project / "tests/recipes/copied.yaml"
    copied.write_text((project / TINY).read_text())
    code, (said,) = call(project, "-n", "all", recipe="tests/recipes/copied.yaml")
    assert (code, said) == (
        2,
        f"recipe: tests/recipes/copied.yaml: name: tiny is the name of {TINY} too, whose results are in results/tiny; "
        "give this recipe another name",
    )


def test_what_only_fits_a_machine_or_only_evaluates_redoes_no_training(tmp_path: Path) -> None:
    tiny = yaml.safe_load((ROOT / TINY).read_text())
    then = training_values(load_recipe(tiny), "tiny", "vas")
    for section, value in (("evaluation", {"max_tokens": 9}), ("grpo", {"machine": {"save_every": 3}})):
        changed = tiny | {section: tiny[section] | value}
        assert training_values(load_recipe(changed), "tiny", "vas") == then
    more = tiny | {"runs": tiny["runs"] | {"new": {"vas": {"mix": 1}}}, "seeds": [0, 1]}
    assert training_values(load_recipe(more), "tiny", "vas") == then
    now = training_values(load_recipe(tiny | {"vas": tiny["vas"] | {"mix": 0.25}}), "tiny", "vas")
    assert differences(then, now) == ["vas.mix was 0.5, is 0.25"]

    kept = KeptRecipe(tmp_path)
    kept.keep("a.yaml", {"one": then, "two": then}, "snakemake")
    kept.keep("a.yaml", {"two": now}, "snakemake")
    again = KeptRecipe(tmp_path)
    assert again.redone({"one": now, "two": now, "three": now}) == (["one"], ["vas.mix was 0.5, is 0.25"])
    assert len(again.recipes) == 2
