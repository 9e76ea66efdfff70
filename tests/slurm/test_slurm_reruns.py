"""What a change makes due again and what it does not, under the SLURM profile: every line of a table in docs/slurm.md.

The DAG is the shrunken digits recipe's. A stand-in for `python` makes every output in an instant, and only dry runs
follow, so that no SLURM is needed. UPDATE_DOCS=1 writes the table anew.
"""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from project import stand_in_python
from slurm.checkout import RECIPE, REPOSITORY, Checkout

DOCS = REPOSITORY / "docs/slurm.md"
RESULTS = "results/tiny"
BIG = f"{RESULTS}/data/problems.parquet"
SFT = f"{RESULTS}/tiny/sft/checkpoint"

# What is made again after every change of a result.
ENDING = {"make_report", "make_tables", "export_mlflow"}
EVALUATION = ENDING | {"generate_predictions", "score_benchmark"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout where everything has been made."""
    folder = tmp_path_factory.mktemp("reruns")
    checkout = Checkout(folder / "checkout")
    checkout.call(*checkout.here("all"), PATH=stand_in_python(checkout.folder, large={BIG: 50_000}))
    assert (checkout.folder / BIG).stat().st_size > 1_000_000, "a file that Snakemake does not read by default"
    return checkout


def edit(path: Path, old: str, new: str) -> Callable[[], None]:
    """Replace a text in a file, and return what undoes it; times are as after an edit."""
    before = path.read_text()
    assert before.count(old) >= 1, f"{path}: {old}"
    path.write_text(before.replace(old, new, 1))
    return lambda: path.write_text(before) and None


def recipe(old: str, new: str) -> Callable[[Checkout], Callable[[], None]]:
    return lambda checkout: edit(checkout.folder / RECIPE, old, new)


def script(name: str, old: str, new: str) -> Callable[[Checkout], Callable[[], None]]:
    return lambda checkout: edit(checkout.folder / "scripts" / name, old, new)


def setting(old: str, new: str) -> Callable[[Checkout], Callable[[], None]]:
    return script("mmr1/grpo/settings.py", old, new)


def add(name: str) -> Callable[[Checkout], Callable[[], None]]:
    """A new member of a folder: a copy of the one that comes first."""

    def change(checkout: Checkout) -> Callable[[], None]:
        path = checkout.folder / "scripts/mmr1" / name
        shutil.copy(next(file for file in sorted(path.parent.glob("*.py")) if not file.name.startswith("_")), path)
        return path.unlink

    return change


def config(name: str, old: str, new: str) -> Callable[[Checkout], Callable[[], None]]:
    return lambda checkout: edit(checkout.folder / "config" / name, old, new)


def rule(name: str, old: str, new: str) -> Callable[[Checkout], Callable[[], None]]:
    return lambda checkout: edit(checkout.folder / "workflow/rules" / name, old, new)


def touch(checkout: Checkout) -> Callable[[], None]:
    subprocess.run(["find", "results", "-exec", "touch", "{}", "+"], cwd=checkout.folder, check=True)
    return lambda: None


def copy(checkout: Checkout) -> Callable[[], None]:
    subprocess.run(
        "cp -r results copied && rm -r results && mv copied results", shell=True, cwd=checkout.folder, check=True
    )
    return lambda: None


def rewrite(name: str) -> Callable[[Checkout], Callable[[], None]]:
    """Change what a file of the results holds."""

    def change(checkout: Checkout) -> Callable[[], None]:
        path = checkout.folder / name
        before = path.read_bytes(), path.stat()
        path.write_bytes(before[0] + b"!")

        def undo() -> None:
            path.write_bytes(before[0])
            os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))

        return undo

    return change


def move(checkout: Checkout) -> Callable[[], None]:
    old, new = checkout.folder, checkout.folder.with_name("elsewhere")
    old.rename(new)
    checkout.folder = new

    def undo() -> None:
        new.rename(old)
        checkout.folder = old

    return undo


NEW_KEY = "    newer: int = as_before(3)\n"
VAS = {"score_vps", "generate", "draw_schedule", "calibrate"}
TRAINING = EVALUATION | VAS | {"train_grpo_kept"}
ALL_TRAINING = TRAINING | {"train_sft", "generate_initial"}
CASES: list[tuple[str, Callable[[Checkout], Callable[[], None]], set[str]]] = [
    ("nothing", lambda checkout: lambda: None, set()),
    ("every result is touched (`find results -exec touch {} +`)", touch, set()),
    ("results are copied without their times (`cp -r`)", copy, set()),
    ("the checkout is moved", move, set()),
    ("a comment in a program", script("train_grpo.py", "import argparse", "# why\nimport argparse"), set()),
    ("a comment in the recipe", recipe("name: tiny", "name: tiny  # why"), set()),
    ("a rule is reformatted", rule("grpo.smk", "--model {input.model}", " --model  {input.model}"), set()),
    ("how often use is looked at (plumbing)", script("mmr1/plumbing/usage.py", "= 10.0", "= 11.0"), set()),
    ("the wording of errors (plumbing)", script("mmr1/plumbing/errors.py", "error: {", "mistake: {"), set()),
    (
        "an engine that the recipe does not use",
        script("mmr1/rollout/engines/vllm.py", "TITLE = ", "NEW = 1\nTITLE = "),
        set(),
    ),
    ("a loss that the recipe does not use", script("mmr1/grpo/losses/gspo.py", "TITLE", "NEW = 1\nTITLE"), set()),
    ("one more diversity, which the recipe does not use", add("vas/diversities/new.py"), set()),
    ("the rules of another benchmark", script("mmr1/benchmarks/suite/mathvista.py", "TITLE", "NEW = 1\nTITLE"), set()),
    (
        "one more key, whose default means as before",
        setting("    weight_decay", f"{NEW_KEY}    weight_decay"),
        set(),
    ),
    (
        "workers, memory shares, how often a state is saved (`machine`)",
        recipe("machine: {save_every: 1}", "machine: {save_every: 2, verify_workers: 3}"),
        set(),
    ),
    (
        "memory, time, partition, number of GPUs",
        recipe(
            "validation: {every: 2}", "validation: {every: 2}\nresources: {train: {mem_mb: 9000, gpus: 1, runtime: 9}}"
        ),
        set(),
    ),
    ("a DeepSpeed file that the recipe does not name", config("deepspeed/zero3.json", "true", "false"), set()),
    ("the DeepSpeed file of RL", config("deepspeed/zero2.json", "true", "false"), TRAINING),
    ("a prompt's text", config("prompts/digits.txt", "", "Look. "), ALL_TRAINING | {"describe_data"}),
    ("a word of the trainer's command", rule("grpo.smk", "--model {", "--new --model {"), TRAINING),
    (
        "a changed default of RL",
        setting("weight_decay: float = Field(0.01", "weight_decay: float = Field(0.02"),
        TRAINING,
    ),
    ("a learning rate of RL", recipe("learning_rate: 3.0e-4", "learning_rate: 2.0e-4"), TRAINING),
    ("a line of the trainer's code", script("mmr1/grpo/loop.py", "\nfrom ", "\nimport this\nfrom "), TRAINING),
    (
        "a round more of every run",
        recipe("steps: 4", "steps: 6"),
        TRAINING,
    ),
    (
        "another ablation",
        recipe("  vas: {}", "  vas: {}\n  mix-0.8: {vas: {mix: 0.8}}"),
        TRAINING,
    ),
    ("another seed", recipe("seeds: [0]", "seeds: [0, 1]"), TRAINING | {"generate_initial"}),
    ("λ of one run", recipe("  vas: {}", "  vas: {vas: {mix: 0.75}}"), TRAINING),
    ("how checkpoints are evaluated", recipe("evaluation: {", "evaluation: {top_p: 0.9, "), EVALUATION),
    (
        "the pool of problems has other content",
        rewrite(BIG),
        TRAINING | {"generate_initial", "find_duplicates", "describe_data"},
    ),
    ("the SFT checkpoint was made again, and differs", rewrite(f"{SFT}.sha256"), TRAINING | {"generate_initial"}),
]

CHANGES = {what: change for what, change, _ in CASES}
FOUND: dict[str, Counter[str]] = {}


def made_due(done: Checkout, what: str) -> Counter[str]:
    """What a change makes due; each is tried once."""
    if what not in FOUND:
        undo = CHANGES[what](done)
        try:
            FOUND[what] = done.due("all")
        finally:
            undo()
    return FOUND[what]


@pytest.mark.parametrize(("what", "expected"), [(what, due) for what, _, due in CASES], ids=list(CHANGES))
def test_what_a_change_makes_due(done: Checkout, what: str, expected: set[str]) -> None:
    assert set(made_due(done, what)) == expected


def test_params_are_compared_by_name_so_that_two_that_change_places_are_seen(done: Checkout) -> None:
    notes = [
        json.loads(file.read_text()) for file in (done.folder / ".snakemake/metadata").rglob("*") if file.is_file()
    ]
    params = [note["params"] for note in notes if note["rule"] == "train_grpo_kept"]
    assert params
    assert all({"threads=1", "validate_every=2"} <= set(one) for one in params)


def test_more_rounds_and_more_runs_repeat_nothing_that_was_trained(done: Checkout) -> None:
    """Two runs of two rounds: a round more is two trainings, a run more its own two, a seed more four."""
    expected = {"a round more of every run": 2, "another ablation": 2, "another seed": 4, "λ of one run": 2}
    due = {what: made_due(done, what) for what in expected}
    assert {what: rules["train_grpo"] + rules["train_grpo_kept"] for what, rules in due.items()} == expected


def test_a_runs_last_round_is_repeated_alone_where_the_state_that_it_starts_from_is_kept(done: Checkout) -> None:
    last = f"{RESULTS}/tiny/vas/seed0/round1/checkpoint"
    assert done.due(last, options=["--forcerun", last]) == {"train_grpo_kept": 1}
    state = done.folder / f"{RESULTS}/tiny/vas/seed0/round0/trainer_state"
    aside = state.rename(state.with_name("aside"))
    try:
        assert done.due("all") == {}
        assert done.due(last, options=["--forcerun", last])["train_grpo_kept"] == 2
    finally:
        aside.rename(state)


@pytest.mark.parametrize(("keep_states", "removed"), [("last_two", {"0"}), ("last", {"0", "1"}), ("all", set())])
def test_which_optimizer_states_go_once_they_were_used(tmp_path: Path, keep_states: str, removed: set[str]) -> None:
    """Of a run of three rounds."""
    checkout = Checkout(tmp_path / "checkout")
    edit(checkout.folder / RECIPE, "steps: 4", "steps: 6")
    edit(checkout.folder / RECIPE, "name: tiny", f"name: tiny\nkeep_states: {keep_states}")
    said = checkout.call("--profile", "slurm", "--dry-run", "--configfile", RECIPE, "--", "all")
    states = set(re.findall(r"Would remove temporary output (\S+)", said))
    assert states == {f"{RESULTS}/tiny/{run}/seed0/round{r}/trainer_state" for run in ("vas", "grpo") for r in removed}


def test_the_table_in_the_docs_is_this_one(done: Checkout) -> None:
    rows = [f"| {what} | {in_words(made_due(done, what))} |" for what in CHANGES]
    table = "\n".join(["| what changes | what is done again |", "| --- | --- |", *rows])
    pattern = re.compile(r"(?<=<!-- reruns -->\n).*?(?=\n<!-- /reruns -->)", re.S)
    text = DOCS.read_text()
    if os.environ.get("UPDATE_DOCS"):
        DOCS.write_text(pattern.sub(lambda _: table, text))
    found = pattern.search(DOCS.read_text())
    assert found
    assert found[0] == table


def in_words(due: Counter[str]) -> str:
    return ", ".join(f"{number} {rule}" for rule, number in sorted(due.items())) or "nothing"
