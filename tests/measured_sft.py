"""Prints the memory in bytes that training takes at most, on few conversations and then on a large file of them."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.problems import Problem
from mmr1.data.sources import digits
from mmr1.plumbing.interruption import Interruption
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import train_sft

SETTINGS = SFTSettings(
    epochs=1, batch_size=8, learning_rate=3e-3, cutoff=128, precision="fp32", gradient_checkpointing=False
)
CONVERSATIONS, IMAGE_BYTES = 256, 2_000_000


def large_images(problems: list[Problem]) -> Iterator[tuple[Problem, str]]:
    """Conversations whose images have two million bytes each, nearly all of them behind the end of a digit's PNG."""
    random = np.random.default_rng(0)
    for problem in problems:
        images = tuple(image + random.bytes(IMAGE_BYTES) for image in problem.images[:1])
        yield replace(problem, question="<image>Which digit?", images=images), digits.worked_response(problem)


def train(model: Path, folder: Path, name: str) -> int:
    """The most memory that this process has had in use, in bytes, after one pass over the file of that name."""
    few, rows = ConversationFile(folder / "few.parquet"), ConversationFile(folder / f"{name}.parquet")
    files = folder / name / "work", folder / name / "out", folder / name / "metrics.jsonl"
    train_sft(model, rows, few, SETTINGS, None, 0, *files, Interruption(), {})
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kibibytes) * 1024


def main() -> None:
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    problems = digits.make_problems("train", CONVERSATIONS, seed=0, digits=digits.load(held_out=False))
    write_conversations(folder / "few.parquet", [(one, digits.worked_response(one)) for one in problems[:16]])
    few = train(model, folder, "few")
    large = folder / "large.parquet"
    write_conversations(large, large_images(problems))
    size = large.stat().st_size
    try:
        print(json.dumps({"few": few, "large": train(model, folder, "large"), "file": size}))
    finally:
        large.unlink()


if __name__ == "__main__":
    main()
