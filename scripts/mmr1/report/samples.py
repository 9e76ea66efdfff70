"""Problems to look at: what SFT answered before, and what each run answers after."""

import base64
import io
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.images import open_image, shown_everywhere
from mmr1.data.problems import IMAGE_MARK, Problem, check_row, read_problems
from mmr1.report.accuracy import verdicts
from mmr1.report.index import Evaluation, Index

# How many of each kind are shown: corrected by every run, by some, broken by some, wrong throughout.
KINDS = {"wrong before, right after": 2, "right in some runs only": 2, "right before, wrong after": 1, "never right": 1}
MOST_ANSWERS = 5
WIDEST_IMAGE = 720
SMALL_IMAGE = 64  # smaller ones are shown larger, pixel by pixel
LONGEST_RESPONSE = 4000

RESPONSES = pa.schema([contracts.ROLLOUTS.field(name) for name in ("problem_id", "rollout", "text")])


@dataclass(frozen=True)
class Answer:
    """What one subject said, and how many of its responses were right.

    It is `right` if more than half of them were; `text` is the first of those that were judged as this says.
    """

    subject: str
    text: str
    correct: int
    of: int

    @property
    def right(self) -> bool:
        return _mostly(self.correct, self.of)


@dataclass(frozen=True)
class Picture:
    """An image as a data URI; `small` ones are meant to be enlarged."""

    uri: str
    small: bool


@dataclass(frozen=True)
class Sample:
    """One problem with its answers, the first of which is SFT's."""

    kind: str
    question: str
    choices: tuple[str, ...]
    gold: str
    pictures: tuple[Picture, ...]
    answers: tuple[Answer, ...]


def samples(index: Index, model: str, benchmark: str) -> list[Sample]:
    """A few problems of a benchmark, chosen by the verdicts: the first of each kind, in the order of the problems.

    A subject is right where more than half of its responses are.
    Shown are SFT and the first seed of each run (four runs at most) that have verdicts and predictions; nothing if
    SFT has none.
    """
    chosen = _subjects(index, model, benchmark)
    if len(chosen) < 2 or chosen[0].subject != "sft":
        return []
    judged = [_by_problem(one.items, index.accuracy) for one in chosen if one.items is not None]
    path = index.benchmarks[benchmark]
    problems = read_problems(path, images=False, allow_empty_answer=True)
    left = dict(KINDS)
    picked: list[tuple[str, Problem]] = []
    for number, problem in enumerate(problems):
        if all(problem.id in one for one in judged):
            kind = _kind([_mostly(sum(one[problem.id]), len(one[problem.id])) for one in judged])
            if kind is not None and left[kind] > 0:
                left[kind] -= 1
                check_row(path, number, problem)
                picked.append((kind, problem))
    picked.sort(key=lambda pair: list(KINDS).index(pair[0]))
    answers = [
        _answers(index.label(one.subject), one.predictions, {problem.id: found[problem.id] for _, problem in picked})
        for one, found in zip(chosen, judged, strict=True)
        if one.predictions is not None
    ]
    return [
        Sample(
            kind=kind,
            question=problem.question.replace(IMAGE_MARK, "").strip(),
            choices=problem.choices or (),
            gold=problem.answer,
            pictures=tuple(picture(image) for image in problem.images),
            answers=tuple(of_subject[problem.id] for of_subject in answers),
        )
        for kind, problem in picked
    ]


def picture(data: bytes) -> Picture:
    """An image as a data URI, as a model is shown it: its bytes, a PNG where browsers would show another, or, if it is
    wide, a smaller JPEG."""
    smaller = open_image(data)
    size = smaller.size
    data, media = shown_everywhere(data)
    if max(size) > WIDEST_IMAGE:
        smaller.thumbnail((WIDEST_IMAGE, WIDEST_IMAGE))
        buffer = io.BytesIO()
        smaller.save(buffer, format="JPEG", quality=85)
        data, media = buffer.getvalue(), "image/jpeg"
    return Picture(data_uri(data, media), max(size) <= SMALL_IMAGE)


def data_uri(data: bytes, media: str = "image/png") -> str:
    """Bytes as a URI that a page can hold."""
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def _subjects(index: Index, model: str, benchmark: str) -> list[Evaluation]:
    first: dict[str, Evaluation] = {}
    for one in index.evaluations:
        complete = one.items is not None and one.predictions is not None
        if (one.model, one.benchmark) == (model, benchmark) and one.subject != "base" and complete:
            first.setdefault(one.subject, one)
    return sorted(first.values(), key=lambda one: one.subject != "sft")[:MOST_ANSWERS]


def _kind(right: list[bool]) -> str | None:
    before, after = right[0], right[1:]
    if before:
        return None if all(after) else "right before, wrong after"
    if all(after):
        return "wrong before, right after"
    return "right in some runs only" if any(after) else "never right"


def _mostly(correct: int, of: int) -> bool:
    return 2 * correct > of


def _by_problem(items: Path, kind: str) -> dict[str, list[bool]]:
    """The verdicts on each problem's responses, in their order."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for name, right in verdicts(items, kind):
        found[name].append(right)
    return found


def _answers(subject: str, predictions: Path, judged: dict[str, list[bool]]) -> dict[str, Answer]:
    """What a subject said to these problems."""
    answers = {name: Answer(subject, "", sum(found), len(found)) for name, found in judged.items()}
    shown = {name: judged[name].index(one.right) for name, one in answers.items()}
    for group in contracts.iter_row_groups(predictions, RESPONSES):
        for row in group.to_pylist():
            name = row["problem_id"]
            if shown.get(name) == row["rollout"]:
                answers[name] = replace(answers[name], text=row["text"][:LONGEST_RESPONSE])
    return answers
