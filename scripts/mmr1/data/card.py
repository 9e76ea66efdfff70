"""What is in a data set: its data card, a JSON object for each table that is trained on or validates.

Rows, sources and golds are counted over the whole table. Lengths and sizes are of at most `SAMPLE` rows, which are
drawn by the seed: lengths in tokens of the recipe's first model, as the trainer counts them; areas in pixels, as images
lie in the table.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmr1.data import contracts
from mmr1.data.conversations import CONVERSATIONS
from mmr1.data.golds import unreadable_golds
from mmr1.data.images import shown_size
from mmr1.data.long_prompts import prompt_tokens
from mmr1.data.near_duplicates import DUPLICATES
from mmr1.data.problems import IMAGE_MARK, Problem, row_problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.rejects import REJECTS
from mmr1.seeds import generator

SAMPLE = 2000
SHOWN = 30  # sources that are named, and ids of near-duplicates
ROWS_AT_A_TIME = 64

Card = dict[str, Any]


def card(path: Path, encoder: PromptEncoder, seed: int) -> Card:
    """What is in a table of problems or conversations."""
    file = contracts.open_any(path)
    with_responses = "response" in file.schema_arrow.names
    total = file.metadata.num_rows
    drawn = np.sort(generator(seed, "card", path.stem).choice(total, min(SAMPLE, total), replace=False))
    sources: Counter[str] = Counter()
    unreadable = 0
    sample: list[dict[str, int]] = []
    counts: Counter[int] = Counter()
    for first, table in _blocks(path, with_responses):
        rows = table.select([name for name in table.column_names if name != "images"]).to_pylist()
        counts.update(len(images) for images in table.column("images").combine_chunks())
        problems = [
            row_problem(path, first, row | {"images": [b""] * row["question"].count(IMAGE_MARK)}) for row in rows
        ]
        sources.update(str(one.metadata.get("source", one.source)) for one in problems)
        unreadable += 0 if with_responses else len(unreadable_golds(problems))
        chosen = drawn[(drawn >= first) & (drawn < first + len(rows))] - first
        for row in table.take(chosen).to_pylist():
            sample.append(_measured(row_problem(path, first, row), row.get("response"), encoder))
    return {
        "rows": total,
        "by_source": dict(sources.most_common(SHOWN)),
        "sources": len(sources),
        "by_images": {str(number): count for number, count in sorted(counts.items())},
        "sample": len(sample),
        **{name: _spread([one[name] for one in sample if name in one]) for name in MEASURES},
        "pixels": _spread([area for one in sample for area in one["areas"]]),  # type: ignore[attr-defined]
        "unreadable_golds": None if with_responses else unreadable,
    }


MEASURES = ("prompt_tokens", "response_tokens")


def left_out(path: Path) -> dict[str, int]:
    """How many rows were left out, by reason."""
    rows = contracts.read(path, REJECTS).column("reason").to_pylist()
    return dict(Counter(rows).most_common())


def duplicates(path: Path) -> dict[str, list[Card]]:
    """The near-duplicates of each table, by benchmark and kind, with the first ids."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in contracts.read(path, DUPLICATES).to_pylist():
        found.setdefault((row["table"], row["benchmark"], row["kind"]), []).append(row["id"])
    by_table: dict[str, list[Card]] = {}
    for (table, benchmark, kind), ids in sorted(found.items()):
        entry = {"benchmark": benchmark, "kind": kind, "rows": len(ids), "ids": ids[:SHOWN]}
        by_table.setdefault(table, []).append(entry)
    return by_table


def _blocks(path: Path, with_responses: bool) -> Iterator[tuple[int, Any]]:
    first = 0
    schema = CONVERSATIONS if with_responses else contracts.PROBLEMS
    for table in contracts.iter_batches(path, schema, ROWS_AT_A_TIME):
        yield first, table
        first += len(table)


def _measured(problem: Problem, response: str | None, encoder: PromptEncoder) -> dict[str, Any]:
    areas = [height * width for height, width in map(shown_size, problem.images)]
    measured: dict[str, Any] = {"prompt_tokens": prompt_tokens(problem, encoder), "areas": areas}
    if response is not None:
        ids = encoder.processor.tokenizer(response, add_special_tokens=False)["input_ids"]
        measured["response_tokens"] = len(ids)
    return measured


def _spread(values: list[int]) -> dict[str, int] | None:
    """The median, the 95th percentile and the largest of some numbers; None of none."""
    if not values:
        return None
    middle, high = np.percentile(values, [50, 95], method="nearest")
    return {"median": int(middle), "p95": int(high), "largest": max(values)}
