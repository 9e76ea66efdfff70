"""Three charts with answers to them, and what tests of benchmarks share."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from mmr1.benchmarks.base import Benchmark, benchmark
from mmr1.plugins import names

Call = Callable[..., None]

BENCHMARKS: dict[str, Benchmark] = {name: benchmark(name) for name in names("benchmarks/suite")}

CHARTS = [
    {"id": "a", "query": "Which share?", "label": ["20.14"], "human_or_machine": 0, "image": "a.png"},
    {"id": "b", "query": "Which colour?", "label": ["Gray"], "human_or_machine": 1, "image": "b.png"},
    {"id": "c", "query": "Who leads?", "label": ["Joe Biden"], "human_or_machine": 1, "image": "c.png"},
]
ANSWERS = {"a": "\\boxed{19.90}", "b": "I see \\boxed{Grey}", "c": "\\boxed{President Biden}"}


def json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def png(side: int = 4) -> bytes:
    """A black square."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, format="PNG")
    return buffer.getvalue()
