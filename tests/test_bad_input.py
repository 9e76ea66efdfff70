"""What a person may give a program by mistake: one line with file, row and field, exit code 2, and nothing written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from forking import ForkingServer
from mmr1.data.conversations import write_conversations
from mmr1.data.problems import Problem, write_problems
from mmr1.data.sources import digits
from mmr1.plumbing.files import write_json
from synthetic_rollouts import write_scores

SCRIPTS = Path(__file__).parents[1] / "scripts"

# Command lines that succeed in the folder that `good` makes.
DRAW = (
    "--problems problems.parquet --scores scores.parquet --out out --mix 0.5 --batch-size 4 --first-step 0 --steps 2"
    " --seed 0"
)
GENERATE = "--model model --problems problems.parquet --out out --n 1 --temperature 0 --max-tokens 2 --seed 0"
SFT = (
    "--settings sft.json --model model --conversations sft.parquet --validation sft.parquet --out out"
    " --metrics metrics.jsonl --work work"
)
DIGITS = '--source {"name":"digits","problems":1,"test":1} --problems problems.out --test test.out'
NO_WEIGHTS = "model: expected a checkpoint with weights, found no model.safetensors and no model.safetensors.index.json"
NO_IMAGE = "row 2: images[0]: expected an image, found 3 bytes that do not decode ("


@dataclass(frozen=True)
class Mistake:
    """A program's command line, what is done to the good files before, and the line that it must end with."""

    program: str
    arguments: str
    line: str
    spoil: Callable[[Path, list[Problem]], None] = lambda folder, problems: None

    def __str__(self) -> str:
        return f"{self.program}: {self.line}"


def truncated(name: str) -> Callable[[Path, list[Problem]], None]:
    """The file without its end, as an interrupted copy leaves it."""

    def spoil(folder: Path, problems: list[Problem]) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-50])

    return spoil


def with_problem(**change: object) -> Callable[[Path, list[Problem]], None]:
    """The problems, the third of which is another, as RL and as SFT read them."""

    def spoil(folder: Path, problems: list[Problem]) -> None:
        spoiled = [*problems[:2], replace(problems[2], **change), *problems[3:]]  # type: ignore[arg-type]
        write_problems(folder / "problems.parquet", spoiled)
        write_conversations(folder / "sft.parquet", [(problem, "7") for problem in spoiled])

    return spoil


def without(name: str) -> Callable[[Path, list[Problem]], None]:
    """No such file."""
    return lambda folder, problems: (folder / name).unlink()


def with_settings(**settings: object) -> Callable[[Path, list[Problem]], None]:
    """Other settings of SFT."""
    return lambda folder, problems: write_json(folder / "sft.json", settings)


MISTAKES = [
    # A missing file.
    Mistake(
        "draw_schedule", DRAW, "problems.parquet: no such file or folder (--problems)", without("problems.parquet")
    ),
    Mistake("generate", GENERATE, "problems.parquet: no such file or folder (--problems)", without("problems.parquet")),
    Mistake("train_sft", SFT, "sft.json: no such file", without("sft.json")),
    # A truncated Parquet file.
    Mistake("draw_schedule", DRAW, "problems.parquet: not a complete Parquet file: ", truncated("problems.parquet")),
    Mistake("draw_schedule", DRAW, "scores.parquet: not a complete Parquet file: ", truncated("scores.parquet")),
    Mistake("train_sft", SFT, "sft.parquet: not a complete Parquet file: ", truncated("sft.parquet")),
    # Marks that are not as many as the images.
    Mistake(
        "generate",
        GENERATE,
        "problems.parquet: row 2: question: expected one <image> mark per image, found 2 marks and 1 images",
        with_problem(question="<image><image>The sum?", images=(digits.load(held_out=True)[0].png,)),
    ),
    # An image that does not decode.
    Mistake("generate", GENERATE, f"problems.parquet: {NO_IMAGE}", with_problem(question="<image>?", images=(b"PNG",))),
    Mistake("train_sft", SFT, f"sft.parquet: {NO_IMAGE}", with_problem(question="<image>?", images=(b"PNG",))),
    # No gold.
    Mistake(
        "draw_schedule",
        DRAW,
        "problems.parquet: row 2: answer: expected a gold answer, found an empty string",
        with_problem(answer=" "),
    ),
    # An id that stands twice.
    Mistake(
        "draw_schedule",
        DRAW,
        "problems.parquet: row 2: id: 'train-00000' stands in an earlier row already",
        with_problem(id="train-00000"),
    ),
    # A checkpoint without weights.
    Mistake("generate", GENERATE, NO_WEIGHTS, without("model/model.safetensors")),
    Mistake("train_sft", SFT, NO_WEIGHTS, without("model/model.safetensors")),
    # λ outside [0, 1].
    Mistake("draw_schedule", DRAW.replace("0.5", "1.4"), "mix: 1.4 is not in [0, 1]"),
    # A batch that is larger than the set, or that its parts do not add up to.
    Mistake(
        "draw_schedule",
        DRAW.replace("--batch-size 4", "--batch-size 9"),
        "batch_size: expected at most the 8 problems of the set, found 9",
    ),
    Mistake(
        "train_sft",
        SFT,
        "batch_size: expected at most 8, as in sft.parquet, found 16",
        with_settings(batch_size=16),
    ),
    Mistake(
        "train_sft",
        SFT,
        "batch_size: expected a multiple of 3 (micro_batch_size 3 on 1 ranks), found 4",
        with_settings(batch_size=4, micro_batch_size=3),
    ),
    # Settings.
    Mistake("train_sft", SFT, "sft.json: epoch: no such setting", with_settings(epoch=1)),
    Mistake(
        "train_sft",
        SFT,
        "sft.json: save_every: expected the same as evaluate_every (500), for the best of the states that were saved "
        "is kept, found 2",
        with_settings(save_every=2),
    ),
    # An empty set.
    Mistake(
        "prepare_data",
        DIGITS.replace('"problems":1', '"problems":0'),
        "source.problems: expected at least 1, found 0",
    ),
    Mistake(
        "prepare_data",
        f"{DIGITS} --sft sft.out",
        "--sft: expected one of the tables that the source digits makes (problems, test)",
    ),
]


@pytest.fixture(scope="module")
def good(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Problem]]:
    """What the programs read, all of it in order, and the problems in it. Read only."""
    folder = tmp_path_factory.mktemp("good")
    problems = digits.make_problems("train", 8, 0, digits.load(held_out=False))
    write_problems(folder / "problems.parquet", problems)
    write_conversations(folder / "sft.parquet", [(problem, digits.worked_response(problem)) for problem in problems])
    write_scores(folder / "scores.parquet", {problem.id: 0.25 for problem in problems})
    write_json(folder / "sft.json", {"batch_size": 4, "precision": "fp32"})
    shutil.copytree(tiny_model_dir, folder / "model")
    return folder, problems


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_one_line_and_leaves_nothing(
    server: ForkingServer, good: tuple[Path, list[Problem]], tmp_path: Path, mistake: Mistake
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(good[0], folder)
    mistake.spoil(folder, good[1])
    before = sorted(folder.rglob("*"))
    command = [server.python, str(SCRIPTS / f"{mistake.program}.py"), *mistake.arguments.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith(f"{mistake.program}.py: error: {mistake.line}")
    assert mistake.line.endswith((": ", "(")) or lines[-1].endswith(mistake.line)
    assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_the_command_lines_above_are_right_but_for_the_mistake(
    good: tuple[Path, list[Problem]], tmp_path: Path
) -> None:
    shutil.copytree(good[0], tmp_path, dirs_exist_ok=True)
    for program, arguments, out in (("draw_schedule", DRAW, "out"), ("prepare_data", DIGITS, "test.out")):
        subprocess.run([sys.executable, str(SCRIPTS / f"{program}.py"), *arguments.split()], cwd=tmp_path, check=True)
        assert (tmp_path / out).exists()
        (tmp_path / out).unlink()
