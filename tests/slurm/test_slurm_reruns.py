"""What a change makes due again and what it does not, under the SLURM profile: every line of a table in docs/slurm.md.

The DAG is the shrunken digits recipe's. A stand-in for `python` makes every output in an instant, and only dry runs
follow, so that no SLURM is needed. UPDATE_DOCS=1 writes the table anew.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.checkout import RECIPE, REPOSITORY, Checkout

DOCS = REPOSITORY / "docs/slurm.md"
TARGETS = ["results/tiny/report.html", "results/tiny/tables/accuracy.md"]
BIG = "results/tiny/data/problems.parquet"

# A word that names no file yet, among the results, is an output.
PYTHON = """#!{python}
import sys
from pathlib import Path

for word in sys.argv[1:]:
    path = Path(word)
    if word.startswith("results/") and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_bytes(word.encode() * (1 if word != "{big}" else 50_000))
        else:
            path.mkdir()
            (path / "file").write_text(word)
"""

# What is made again after every change of a result.
ENDING = {"make_report", "make_tables"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout where everything has been made."""
    folder = tmp_path_factory.mktemp("reruns")
    checkout = Checkout(folder / "checkout")
    (folder / "tools").mkdir()
    (folder / "tools/python").write_text(PYTHON.format(python=sys.executable, big=BIG))
    (folder / "tools/python").chmod(0o755)
    words = checkout.here(*TARGETS)
    checkout.call(*words, PATH=f"{folder / 'tools'}:{os.environ['PATH']}")
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


def touch(checkout: Checkout) -> Callable[[], None]:
    (checkout.folder / BIG).touch()
    return lambda: None


def rewrite(checkout: Checkout) -> Callable[[], None]:
    path = checkout.folder / BIG
    before = path.read_bytes(), path.stat()
    path.write_bytes(before[0] + b"!")

    def undo() -> None:
        path.write_bytes(before[0])
        os.utime(path, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))

    return undo


def move(checkout: Checkout) -> Callable[[], None]:
    old, new = checkout.folder, checkout.folder.with_name("elsewhere")
    old.rename(new)
    checkout.folder = new

    def undo() -> None:
        new.rename(old)
        checkout.folder = old

    return undo


TRAINER = '"""The loss'
CASES: list[tuple[str, Callable[[Checkout], Callable[[], None]], set[str]]] = [
    ("nothing", lambda checkout: lambda: None, set()),
    ("the pool of problems is touched (a large file with a new time)", touch, set()),
    ("the checkout is moved", move, set()),
    ("a comment in a program", script("train_grpo.py", "import argparse", "# why\nimport argparse"), set()),
    ("a comment in the recipe", recipe("name: tiny", "name: tiny  # why"), set()),
    (
        "a rule is reformatted",
        lambda checkout: edit(
            checkout.folder / "workflow/rules/grpo.smk", "scripts/train_grpo.py", " scripts/train_grpo.py"
        ),
        set(),
    ),
    (
        "memory, time, partition, number of GPUs",
        recipe(
            "validation: {every: 2}", "validation: {every: 2}\nresources: {train: {mem_mb: 9000, gpus: 1, runtime: 9}}"
        ),
        set(),
    ),
    (
        "a round more of every run",
        recipe("steps: 4", "steps: 6"),
        ENDING | {"generate", "score_vps", "draw_schedule", "train_grpo_last", "calibrate", "generate_predictions"},
    ),
    (
        "another ablation",
        recipe("  vas: {}", "  vas: {}\n  mix-0.8: {vas: {mix: 0.8}}"),
        ENDING | {"score_vps", "generate", "draw_schedule", "train_grpo", "train_grpo_last"},
    ),
    ("another seed", recipe("seeds: [0]", "seeds: [0, 1]"), ENDING | {"generate_initial", "train_grpo"}),
    ("λ of one run", recipe("  vas: {}", "  vas: {vas: {mix: 0.75}}"), ENDING | {"draw_schedule", "train_grpo"}),
    (
        "how checkpoints are evaluated",
        recipe("evaluation: {", "evaluation: {top_p: 0.9, "),
        ENDING | {"generate_predictions"},
    ),
    ("a learning rate of RL", recipe("learning_rate: 3.0e-4", "learning_rate: 2.0e-4"), ENDING | {"train_grpo"}),
    (
        "a line of the trainer's code",
        script("mmr1/grpo/advantages.py", "import ", "import this, "),
        ENDING | {"train_grpo", "train_grpo_last"},
    ),
    ("the pool of problems has other content", rewrite, ENDING | {"generate_initial", "train_grpo", "score_vps"}),
]

TABLE: dict[str, str] = {}


@pytest.mark.parametrize(("what", "change", "expected"), CASES, ids=[what for what, *_ in CASES])
def test_what_a_change_makes_due(
    done: Checkout, what: str, change: Callable[[Checkout], Callable[[], None]], expected: set[str]
) -> None:
    undo = change(done)
    try:
        due = done.due(*TARGETS)
    finally:
        undo()
    TABLE[what] = in_words(due)
    assert expected <= set(due)
    if not expected:
        assert not due


def test_more_rounds_and_more_runs_repeat_nothing_that_was_trained(done: Checkout) -> None:
    """Two runs of two rounds: a round more is two trainings, a run more its own two, a seed more four."""
    counted = {what: re.findall(r"(\d+) train_grpo(?:_last)?\b", row) for what, row in TABLE.items()}
    trainings = {what: sum(map(int, numbers)) for what, numbers in counted.items()}
    assert trainings["a round more of every run"] == 2
    assert trainings["another ablation"] == 2
    assert trainings["another seed"] == 4
    assert trainings["λ of one run"] == 2


def test_the_table_in_the_docs_is_this_one() -> None:
    rows = [f"| {what} | {due} |" for what, due in TABLE.items()]
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
