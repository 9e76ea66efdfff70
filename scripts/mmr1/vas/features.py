"""What a problem's row says of its difficulty, as columns for a regression: source, type, length, words, images."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.vas.arrays import Floats

ROWS = pa.schema(
    [contracts.PROBLEMS.field(name) for name in ("source", "question", "choices", "answer", "answer_type")]
)
RAREST = 0.02  # what fewer problems share, or all but so few, makes no column
WORDS = 20


def read_rows(path: str | Path) -> pa.Table:
    """The rows of a `problems.parquet`, without its images."""
    return contracts.read(path, ROWS)


def features(rows: pa.Table) -> Floats:
    """Columns (M, F) of a table with the columns of `ROWS`: a constant, kinds of problems, pairs of kinds, answers.

    Kinds are 0 or 1: the source, the type and length of the gold answer, the number of images and of choices, the
    question's length in quarters of the set, and the words that split the set most evenly. Frequent gold answers have
    columns too, since a policy that says "7" or "B" more often than it should is right more often there. No column
    stands twice.
    """
    questions = rows["question"].to_pylist()
    words = [set(question.replace("<image>", " ").lower().split()) for question in questions]
    lengths = np.array([len(question) for question in questions])
    kinds = [
        *_values(rows["source"].to_pylist()),
        *_values(rows["answer_type"].to_pylist()),
        *_values([min(len(answer), 6) for answer in rows["answer"].to_pylist()]),
        *_values([min(question.count("<image>"), 9) for question in questions]),
        *_values([len(choices or ()) for choices in rows["choices"].to_pylist()]),
        *_values(np.searchsorted(np.quantile(lengths, [0.25, 0.5, 0.75]), lengths).tolist()),
        *_words(words),
    ]
    single = _different(kinds)
    pairs = [one * other for number, one in enumerate(single) for other in single[:number]]
    columns = _different([*single, *pairs, *_values(rows["answer"].to_pylist())])
    return np.stack([np.ones(len(rows)), *columns], axis=1)


def _values(values: Sequence[object]) -> list[Floats]:
    """A column for each value that is not too rare."""
    counts = Counter(values)
    frequent = sorted((value for value in counts if counts[value] >= RAREST * len(values)), key=str)
    return [np.array([float(one == value) for one in values]) for value in frequent]


def _words(words: Sequence[set[str]]) -> list[Floats]:
    """A column for each of the words that are nearest to standing in half of the questions."""
    counts = Counter(word for one in words for word in one)
    best = sorted(counts, key=lambda word: (abs(counts[word] / len(words) - 0.5), word))[:WORDS]
    return [np.array([float(word in one) for one in words]) for word in best]


def _different(columns: Sequence[Floats]) -> list[Floats]:
    """The columns that are neither rare nor equal to one before or to its opposite."""
    kept: dict[bytes, Floats] = {}
    for column in columns:
        if RAREST <= column.mean() <= 1 - RAREST and (1 - column).tobytes() not in kept:
            kept.setdefault(column.tobytes(), column)
    return list(kept.values())
