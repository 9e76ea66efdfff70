"""What the paper's recipe asks SLURM for, line by line. No SLURM is needed: `sbatch` here only notes how it is called.

After a change that is meant: UPDATE_GOLDEN=1 pytest tests/slurm/test_slurm_sbatch.py, and read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from rules import rules
from slurm.checkout import REPOSITORY, Checkout

GOLDEN = REPOSITORY / "tests/golden/sbatch_mmr1.txt"
LAUNCHERS = REPOSITORY / "tests/golden/sbatch_mmr1_launchers.txt"

SBATCH = """#!/bin/sh
echo "$@" | sed 's, /dev/stdin$,,' >> "$CALLS"
wc -l < "$CALLS"
"""
# Every job has ended as soon as it is asked for, without having made anything: Snakemake gives up on it.
SQUEUE = """#!/bin/sh
seq 1 $(wc -l < "$CALLS") | sed 's/$/|FAILED/'
"""
SCONTROL = "#!/bin/sh\necho 'MinJobAge = 300 sec'\n"

MODELS = ("3b", "7b", "32b")


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """The calls of sbatch for one job of each kind and model, and the words before the trainers' programs."""
    tmp_path = tmp_path_factory.mktemp("sbatch")
    checkout, calls = Checkout(tmp_path / "checkout"), tmp_path / "calls"
    path = f"{stand_ins(tmp_path / 'tools')}:{os.environ['PATH']}"
    calls.touch()
    said, quick = "", ["--retries", "0", "--slurm-init-seconds-before-status-checks", "1"]
    for ready in (sft_jobs, training_jobs, other_jobs):
        said += checkout.call(
            *("--profile", "slurm", *quick, "--", *ready(checkout)),
            ok=False,
            CALLS=str(calls),
            PATH=path,
            MMR1_ENVIRONMENT="warn",
        )
    blocks = re.findall(r"^rule (\w+):.*?wildcards: model=(\w+).*?launcher=(.*?), deadline=", said, re.M | re.S)
    launchers = sorted(f"{rule} {model}: {words}" for rule, model, words in blocks)
    return sorted(shortened(line, checkout.folder) for line in calls.read_text().splitlines()), launchers


def stand_ins(tools: Path) -> Path:
    """A folder with SLURM's programs, which submit nothing."""
    tools.mkdir()
    for name, text in {
        "sbatch": SBATCH,
        "squeue": SQUEUE,
        "scontrol": SCONTROL,
        "sacct": "#!/bin/sh\n",
        "sinfo": "#!/bin/sh\necho 'main*'\n",
    }.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return tools


def test_nothing_is_submitted_that_would_run_in_a_python_no_lock_made(tmp_path: Path) -> None:
    checkout, tools = Checkout(tmp_path / "checkout"), stand_ins(tmp_path / "tools")
    (tools / "python").write_text("#!/bin/sh\necho /home/me/venv\n")
    (tools / "python").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    said = checkout.call(
        *("--profile", "slurm", "--configfile", "config/digits.yaml", "--", "results/digits/data/problems.parquet"),
        ok=False, CALLS=str(tmp_path / "calls"), PATH=path,
    )  # fmt: skip
    (line,) = [line for line in said.splitlines() if line.startswith("recipe: ")]
    assert "jobs in cpu would run in python on PATH, /home/me/venv, made by no lock of envs/: make env" in line
    assert line.endswith("MMR1_ENVIRONMENT=warn takes it as it is")
    assert not (tmp_path / "calls").exists()


def test_what_is_submitted_for_each_model_is_what_a_reviewer_has_read(called: tuple[list[str], list[str]]) -> None:
    for lines, golden in zip(called, (GOLDEN, LAUNCHERS), strict=True):
        text = "".join(f"{line}\n" for line in lines)
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(text)
        assert text == golden.read_text()


def test_gpu_jobs_of_one_node_are_given_no_tasks_and_others_no_gpus(called: tuple[list[str], list[str]]) -> None:
    for line in called[0]:
        assert "--ntasks-per-gpu" not in line
        if "--gpus=" in line:
            assert "--ntasks" not in line
            assert "--nodes=1 " in line
        elif "--gres=" in line:
            assert int(re.search(r"--nodes=(\d+)", line)[1]) == int(re.search(r"--ntasks=(\d+)", line)[1]) > 1
        else:
            assert line.startswith("score"), "only scores are made without a GPU"


def test_the_profile_names_every_submitted_rule_that_needs_no_gpu() -> None:
    """So that a site with a partition for them has the whole list, but for what makes tiny models."""
    profile = (REPOSITORY / "workflow/profiles/slurm/config.yaml").read_text()
    named = set(re.findall(r"^#   (\w+): \{slurm_partition: cpu\}$", profile, re.M))
    both = rules("config/digits.yaml") | rules("config/mmr1.yaml")
    submitted = {rule.name for rule in both.values() if not rule.local and rule.environment == "cpu"}
    assert named == submitted - {"build_tiny_model"}


def sft_jobs(checkout: Checkout) -> list[str]:
    """Leave empty files where SFT of each model finds its inputs, and name what it makes."""
    files = ["data/sft.parquet", "data/sft_validation.parquet"]
    leave(checkout, files, [f"{model}/base" for model in MODELS])
    return [f"results/mmr1/{model}/sft/metrics.jsonl" for model in MODELS]


def training_jobs(checkout: Checkout) -> list[str]:
    """The same for the second round of training of each model."""
    files, folders = ["data/problems.parquet", "data/validation.parquet"], []
    for model in MODELS:
        run = f"{model}/vas/seed0"
        files += [f"{model}/sft/metrics.jsonl"]
        files += [f"{run}/round1/scores.parquet", f"{run}/round1/schedule.parquet"]
        folders += [f"{model}/sft/checkpoint", f"{run}/round0/checkpoint", f"{run}/round0/trainer_state"]
    leave(checkout, files, folders)
    return [f"results/mmr1/{model}/vas/seed0/round1/metrics.jsonl" for model in MODELS]


def other_jobs(checkout: Checkout) -> list[str]:
    """The same for a shard of rollouts, and for evaluation."""
    files = ["data/benchmarks/mathvista.parquet", "data/benchmarks/chartqa.parquet"]
    targets = []
    for model in MODELS:
        files += [f"{model}/eval/base/chartqa/predictions.parquet"]
        targets += [f"{model}/vas/seed0/round1/rollouts/3.parquet"]
        targets += [f"{model}/eval/base/mathvista/predictions.parquet", f"{model}/eval/base/chartqa/scores.json"]
    leave(checkout, files, [])
    return [f"results/mmr1/{target}" for target in targets]


def leave(checkout: Checkout, files: list[str], folders: list[str]) -> None:
    """Make empty files and folders among the results of the paper's recipe, none newer than another."""
    results = checkout.folder / "results/mmr1"
    for name in folders:
        (results / name).mkdir(parents=True)
        (results / f"{name}.sha256").touch()
    for name in files:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).touch()
    for path in results.rglob("*"):
        os.utime(path, (0, 0))


def shortened(line: str, folder: Path) -> str:
    """A call without the name of this run, the log file and the folder; of the wildcards only the model."""
    rule, model = re.search(r"--comment rule_(\w+)_wildcards_([^_ ]+)", line).groups()
    line = re.sub(r"--parsable --job-name \S+ --output \S+ --export=ALL --comment \S+ ", "", line)
    return f"{rule} {model}: {' '.join(line.replace(f' -D {folder}', '').split())}"
