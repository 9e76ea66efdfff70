"""Every command that the README and the pages show runs, as it stands there, on a finished run of a shrunken recipe.

A block is one script in one shell. What would compute for long or ask for a cluster is asked for as a dry run (`-n`);
what runs nowhere in the tests stands in `NOT_RUN`, with the reason.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from benchmark_fixtures import png
from documented import Shown, commands, shown
from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.files import read_json
from project import ROOT, TINY, copy_project, environment, forking_server, snakemake
from slurm.cluster import unavailable
from synthetic_rollouts import rollouts_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(15 * 60)]

# Each pattern has to fit a whole command of a page.
NOT_RUN = {
    r"make test( .*)?|make lint|make format": "the tests and the checks of style themselves, as CI calls them",
    r"make test-slurm|make compare .*|make bench": "minutes of their own; CI and reviewers call them",
    r"make lock( .*)?|make env ENVIRONMENTS=.*|git clone .*": "they ask the network, for gigabytes",
    r"make study( .*)?": "trains for hours: tests/test_study.py",
    r"python performance/frontier\.py( --write)?": "it needs the demo's own size: tests/test_frontier.py",
    r"make mlflow": "serves pages until Ctrl-C",
    r"docker .*|apptainer .*|make conda-pins|apt(-get)? .*": "changes the machine, or needs what is not on it",
    r"python performance/gpu_check\.py": "a GPU's: tests/test_gpu_check.py",
    r"nvidia-smi .*|cc --version; .*|df .*": "a GPU machine's",
    r"python scripts/prepare_benchmark\.py --benchmark mathvista --out .*": "a download: tests/test_benchmarks_hub.py",
    r"grep -ho 'SLURM run ID.*|scancel .*|scontrol .*|squeue .*": "SLURM's: tests/slurm call them on a real one",
}
# A disk that is not here, and what stands for it.
BIG_DISK = "/big/disk"
# As dry runs: what other recipes and profiles would compute, or fetch, or submit.
DRY = re.compile(
    r"snakemake (?=.*(--profile (slurm|workflow/profiles/gpu)|--configfile|--config|-- curate)( |$))"
    r"(?!.*(-n|--unlock)).*"
)
MINE = "config/mine.yaml"  # the copy that the README tells to make

# Before a page's commands: what other pages' commands made again is shown in MLflow and frozen, for a full audit.
BEFORE = {"docs/audit.md": "snakemake --profile workflow/profiles/local --forcerun export_mlflow -- all; make freeze"}

SHOWN = shown()


def reason(command: str) -> str | None:
    """Why a command is not run here; None if it is."""
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, command)), None)


def script(one: Shown) -> list[str]:
    """The commands of a block that are run, as they are run."""
    kept = [command for command in one.commands if reason(command) is None]
    return [re.sub(r"^(snakemake --profile \S+)", r"\1 -n", one) if DRY.fullmatch(one) else one for one in kept]


def scripts() -> list[tuple[Shown, list[str]]]:
    """Every block with its commands; one that stands in several places runs once."""
    seen: set[str] = set()
    found = []
    for one in SHOWN:
        again = {command for command in script(one) if command in seen and "=" not in command.split()[0]}
        kept = [command for command in dict.fromkeys(script(one)) if command not in again]
        seen.update(kept)
        if any("PATH=" not in command for command in kept):
            found.append((one, kept))
    return found


def test_every_reason_is_needed_and_a_command_of_a_new_page_is_seen() -> None:
    every = [command for one in SHOWN for command in one.commands]
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, command) for command in every)] == []
    assert commands("make plan  # the demo\npython a.py \\\n    --b 1\n\n# so\n") == ("make plan", "python a.py --b 1")
    pages = {one.page for one in SHOWN}
    assert pages >= {"README.md", "CONTRIBUTING.md", "docs/slurm.md", "docs/evaluation.md", "docs/first-hour.md"}


@pytest.fixture(scope="module")
def checkout(server: ForkingServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with environments and results of config/digits.yaml, which is as small as tests/recipes/tiny.yaml."""
    folder = copy_project(tmp_path_factory.mktemp("commands"))
    for part in ("Makefile", "performance", "README.md", "docs"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, folder / part)
    environments(folder, server)
    small = yaml.safe_load((ROOT / TINY).read_text())
    small |= {"name": "digits", "schedule": {"steps": 2, "update_every": 1, "batch_size": 4}, "runs": {"vas": {}}}
    small["rollout"]["shards"] = 1
    (folder / "config/digits.yaml").write_text(yaml.safe_dump(small))
    (folder / MINE).write_text(yaml.safe_dump(small | {"name": "mine"}))
    write_paper(folder)
    snakemake(folder, "all", recipe="config/digits.yaml", PATH=f"{folder}/.envs/cpu/bin:{environment()['PATH']}")
    write_evaluation(folder)
    return folder


def write_paper(folder: Path) -> None:
    """One model and two runs of the paper's recipe: a dry run of all of it, which takes long, is test_pipeline's."""
    path = folder / "config/mmr1.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe |= {
        "models": {"3b": recipe["models"]["3b"]},
        "runs": {name: recipe["runs"][name] for name in ("grpo", "vas")},
    }
    path.write_text(yaml.safe_dump(recipe))


def environments(folder: Path, server: ForkingServer) -> None:
    """What `make env` makes, but programs start in half the time (see forking.py)."""
    for name, python in (("cpu", server.python), ("driver", forking_server().python)):
        tools = folder / f".envs/{name}/bin"
        tools.mkdir(parents=True)
        (tools / "python").symlink_to(python)
        shutil.copy2(ROOT / f".envs/{name}/mmr1-lock.json", tools.parent)
    (folder / ".envs/driver/bin/snakemake").symlink_to(Path(forking_server().python).with_name("snakemake"))


def write_evaluation(folder: Path) -> None:
    """The files that docs/evaluation.md starts from: MathVista's problems, answers to them, LogicVista's own file."""
    about = {"answer_type": "text", "precision": None, "question_type": "free_form"}
    one = Problem("7", "mathvista", "<image>\nWhich?", (png(28),), "north", "text", metadata=about)
    write_problems(folder / "problems.parquet", [one])
    contracts.write(folder / "predictions.parquet", rollouts_of("7", "x"), contracts.ROLLOUTS)
    (folder / "JUDGE").symlink_to("results/digits/tiny/base")
    (folder / "images").mkdir()
    (folder / "images/a.png").write_bytes(png(28))
    row = {
        "imagename": "a.png",
        "question": "Which? A: one B: two",
        "answer": "A",
        "skill": ["x"],
        "broad_capability": [],
    }
    (folder / "dataset.json").write_text(json.dumps({"1": row}))
    index = read_json(folder / "results/digits/records/make_tables/accuracy.json")["key"]["settings"]
    (folder / "tables.json").write_text(json.dumps(index))


@pytest.mark.parametrize(("one", "lines"), scripts(), ids=lambda value: str(value) if isinstance(value, Shown) else "")
def test_a_command_of_a_page_runs_as_it_stands_there(one: Shown, lines: list[str], checkout: Path) -> None:
    (checkout.parent / "disk").mkdir(exist_ok=True)
    text = "\n".join([BEFORE.get(one.page, ":"), *lines]).replace(BIG_DISK, str(checkout.parent / "disk"))
    done = called(checkout, "bash", "-euo", "pipefail", "-c", text)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def called(checkout: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in the checkout, with its environments, at no terminal."""
    path = f"{checkout}/.envs/cpu/bin:{checkout}/.envs/driver/bin:{environment()['PATH']}"
    return subprocess.run(
        words, cwd=checkout, env=environment(PATH=path, MAKEFLAGS="", MAKELEVEL="", **variables),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def due(checkout: Path) -> str:
    """What Snakemake says there is to do."""
    done = called(checkout, "snakemake", "--profile", "workflow/profiles/local", "-n", "all")
    return done.stdout + done.stderr


def test_nothing_is_due_because_of_what_may_go(checkout: Path) -> None:
    called(checkout, "make", "demo")
    states = list(checkout.glob("results/digits/tiny/vas/seed0/round*/trainer_state"))
    unasked = called(checkout, "make", "clean", "WHAT=states")
    assert "--yes (make clean YES=1) answers the question" in unasked.stderr
    assert len(states) == 2
    assert all(state.is_dir() for state in states)
    listed = called(checkout, "make", "clean").stdout
    assert re.search(r"^states +\d+\.\d MiB .*: 2 jobs took \d+\.\d hours$", listed, re.MULTILINE)
    freed = called(checkout, "make", "clean", "WHAT=caches logs work downloads states", "YES=1")
    assert re.search(r"^freed [1-9]\.\d MiB$", freed.stdout, re.MULTILINE), freed.stderr
    assert not any(state.exists() for state in states)
    assert "Nothing to be done" in due(checkout)


def test_results_on_another_disk_go_on_as_they_were(checkout: Path, tmp_path: Path) -> None:
    was = (checkout / "results/digits").resolve()  # a page may have moved it before
    moved = called(checkout, "make", "move", f"TO={tmp_path}")
    assert moved.stdout == f"results/digits: now a link to {tmp_path}/digits\n", moved.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert was.is_symlink() or not was.exists()
    assert "Nothing to be done" in due(checkout)
    one = "results/digits/tables/accuracy.md"
    again = called(checkout, "snakemake", "--profile", "workflow/profiles/local", "--forcerun", one, "--", one)
    assert "1 of 1 steps" in again.stdout + again.stderr
    refused = called(checkout, "make", "move", f"TO={tmp_path}")
    assert "expected a name that is not taken" in refused.stderr


def test_seeds_of_the_makefile_are_those_of_the_recipe(checkout: Path) -> None:
    """Two seeds of the checkout's one run of two rounds: what seed 0 has made stays, and so does what seeds share."""
    planned = called(checkout, "make", "demo", "ARGS=-n", SEEDS="2")
    table = (planned.stdout + planned.stderr).rpartition("Job stats:")[2]  # a dry run prints it twice
    trained = re.findall(r"^train_grpo(?:_kept)? +(\d+)$", table, re.MULTILINE)
    assert sum(map(int, trained)) == 2, planned.stderr
    assert "train_sft" not in table
    refused = called(checkout, "make", "demo", "SEEDS=2", "ARGS=-n --config redo=true")
    assert "SEEDS=: expected no --config in ARGS beside it" in refused.stderr


def test_where_slurm_is_not_installed_its_tests_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    assert unavailable() == "SLURM is not installed (no munged): apt-get install slurm-wlm munge"
