"""The embedded data set: handwritten digits side by side, of which the largest, the sum or the number that they write
is asked (docs/design.md §6).

The digits are scikit-learn's copy of the UCI optdigits test set (1,797 images of 8×8 in 17 grey levels). Training and
test problems use different images. Difficulty grows with the number of digits, so pass rates spread from 0 to 1.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mmr1.plumbing.fields import all_different
from mmr1.plumbing.settings import Section, as_before
from mmr1.seeds import generator

if TYPE_CHECKING:
    import numpy as np

    from mmr1.data.problems import Problem

TITLE = "Digits"
BENCHMARK = "digits"
LICENCE = "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits)."
EXAMPLE = """
data:
  digits:
    {tasks: [max, sum, read], digits: 8, problems: 960, sft: 12800, sft_validation: 192, validation: 192, test: 480}
"""

# One digit is one visual token of the tiny model: patch 14 × merge 2. Processors of larger patches scale it up to one.
PIXELS = 28
Task = Literal["max", "sum", "read"]
QUESTIONS: dict[Task, str] = {"max": "The largest?", "sum": "The sum?", "read": "The number?"}

# Every third image is kept for held-out problems: 1,198 for training, 599 held out.
HELD_OUT_EVERY = 3
TRAINING = ("problems", "sft")


class Settings(Section):
    """How many of each table to make; one that is left out is not made."""

    tasks: Annotated[list[Task], Field(min_length=1), AfterValidator(all_different)] = as_before(
        ["max", "sum"], description="what is asked for: the largest digit, their sum, the number that they write"
    )
    digits: int = as_before(4, ge=1, le=8, description="most digits of a problem; as many problems have each number")
    problems: int | None = Field(None, ge=1, description="the RL pool")
    sft: int | None = Field(None, ge=1, description="conversations")
    sft_validation: int | None = Field(None, ge=1)
    validation: int | None = Field(None, ge=1, description="for the validation curve of RL")
    test: int | None = Field(None, ge=1, description="for evaluation")


def rows(settings: Settings) -> dict[str, tuple[str, int | None]]:
    """The tables, with their sizes."""
    sizes = settings.model_dump(exclude={"tasks", "digits"}, exclude_none=True)
    return {name: (name, size) for name, size in sizes.items()}


def write(
    settings: Settings, tables: Mapping[str, Path], seed: int, limits: Mapping[str, int | None]
) -> dict[str, Any]:
    """Make the tables. Held-out ones use digit images that training never shows."""
    from mmr1.data.conversations import write_conversations
    from mmr1.data.problems import write_problems

    pools = {held_out: load(held_out) for held_out in (False, True)}
    made = {}
    for name, path in tables.items():
        sizes = (rows(settings)[name][1], limits.get(name))
        made[name] = min(size for size in sizes if size is not None)
        problems = make_problems(name, made[name], seed, pools[name not in TRAINING], settings.tasks, settings.digits)
        if name.startswith("sft"):
            write_conversations(path, [(one, worked_response(one)) for one in problems])
        else:
            write_problems(path, problems)
    return made


@dataclass(frozen=True)
class Digit:
    """One handwritten digit: its label in 0..9 and its image as PNG bytes."""

    label: int
    png: bytes


def load(held_out: bool) -> list[Digit]:
    """The training digits, or the held-out ones; the two share no image."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return [
        Digit(int(label), _png(image))
        for index, (label, image) in enumerate(zip(data.target, data.images, strict=True))
        if (index % HELD_OUT_EVERY == 0) == held_out
    ]


def make_problems(
    name: str, size: int, seed: int, digits: list[Digit], tasks: Sequence[Task] = ("max", "sum"), most: int = 4
) -> list[Problem]:
    """`size` problems that go round tasks and counts of 1 to `most` evenly.

    Problem i depends on (seed, name, i), `tasks` and `most` only.
    """
    kinds = [(task, count) for count in range(1, most + 1) for task in tasks]
    return [_problem(name, index, seed, digits, *kinds[index % len(kinds)]) for index in range(size)]


def worked_response(problem: Problem) -> str:
    """The response that supervised fine-tuning teaches: the digits read off one by one, then the boxed answer."""
    labels = [str(label) for label in problem.metadata["labels"]]
    reasoning = ("+" if problem.metadata["task"] == "sum" else ",").join(labels)
    if problem.metadata["task"] == "sum" and len(labels) > 1:
        reasoning += f"={problem.answer}"
    return f"<think>{reasoning}</think><answer>\\boxed{{{problem.answer}}}</answer>"


def _problem(name: str, index: int, seed: int, digits: list[Digit], task: Task, count: int) -> Problem:
    from mmr1.data.problems import IMAGE_MARK, Problem

    chosen = [digits[i] for i in generator(seed, "digits", name, index).integers(len(digits), size=count)]
    labels = [digit.label for digit in chosen]
    return Problem(
        id=f"{name}-{index:05d}",
        source="digits",
        question=IMAGE_MARK * count + QUESTIONS[task],
        images=tuple(digit.png for digit in chosen),
        answer=_answer(task, labels),
        answer_type="integer",
        metadata={"task": task, "count": count, "labels": labels},
    )


def _answer(task: Task, labels: Sequence[int]) -> str:
    """The sum or the largest as a number; a number that is read keeps its leading zeros."""
    if task == "read":
        return "".join(map(str, labels))
    return str(sum(labels) if task == "sum" else max(labels))


def _png(image: np.ndarray) -> bytes:
    import numpy as np
    from PIL import Image

    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    buffer = io.BytesIO()
    grey.resize((PIXELS, PIXELS), Image.Resampling.BILINEAR).save(buffer, format="PNG")
    return buffer.getvalue()
