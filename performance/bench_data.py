"""How fast the cold start's conversations are made: 200,000 synthetic items, on two cores.

    python performance/bench_data.py [--items 200000] [--workers 2]

Targets: 5,000 items a second, the indexing of the tars included, and 3 GB. An item has a response of 3,000 characters;
three in four have an image of 28 × 28 pixels, half of them PNG and half JPEG, in one of six tars under another prefix
than in the item; one in a thousand is missing. Larger images cost their decoding on top, which `--pixels 1000` shows.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).parent.parent
IMAGES = 64  # different ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=28, help="of a side of an image")
    parser.add_argument("--folder", type=Path, help="where to make the set (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        write_set(folder / "sft", args.items, args.pixels)
        measure(folder, args.items, args.workers)


def write_set(folder: Path, items: int, pixels: int) -> None:
    """A JSON list and six tars."""
    folder.mkdir()
    random = np.random.default_rng(0)
    images = [
        encoded(random.integers(256, size=(pixels, pixels, 3), dtype=np.uint8), number) for number in range(IMAGES)
    ]
    words = ["".join(chr(97 + letter) for letter in random.integers(26, size=6)) for _ in range(5000)]
    with ExitStack() as stack:
        tars = [stack.enter_context(tarfile.open(folder / f"part_{number:04d}.tar", "w")) for number in range(6)]
        file = stack.enter_context((folder / "sft.json").open("w"))
        for number in range(items):
            text = " ".join(words[index] for index in random.integers(5000, size=430))
            turns = [
                {"from": "human", "value": f"What is shown in figure {number}?"},
                {"from": "gpt", "value": f"<think>{text}</think><answer>\\boxed{{{number}}}</answer>"},
            ]
            item = {"id": f"item-{number}", "conversations": turns, "source": f"source{number % 7}"}
            if number % 4:
                ending, data = images[number % IMAGES]
                name = f"source{number % 7}/images/{number}.{ending}"
                item["image"] = f"/data/{name}"
                if number % 1000 != 1:
                    header = tarfile.TarInfo(name)
                    header.size = len(data)
                    tars[number % 6].addfile(header, io.BytesIO(data))
            file.write(("," if number else "[") + json.dumps(item))
        file.write("]")


def encoded(pixels: np.ndarray, number: int) -> tuple[str, bytes]:
    """An image as a file: its ending, and its bytes."""
    buffer = io.BytesIO()
    ending, kind = ("png", "PNG") if number % 2 else ("jpg", "JPEG")
    Image.fromarray(pixels).save(buffer, kind)
    return ending, buffer.getvalue()


def measure(folder: Path, items: int, workers: int) -> None:
    """Run the program, and print its speed and the memory of all its processes."""
    words = ["--sft", folder / "sft", "--rows", items, "--max-dropped", items // 500, "--workers", workers]
    outputs = ["--out", folder / "sft.parquet", "--validation", folder / "v.parquet", "--rejects", folder / "r.parquet"]
    start = time.perf_counter()
    program = [sys.executable, str(ROOT / "scripts/prepare_mmr1_sft.py"), *map(str, words + outputs)]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        peak = [0]
        threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
        errors = process.communicate()[1]
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    if process.returncode:
        sys.exit(errors)
    print(
        f"{items} items, {workers} workers: {items / seconds:.0f} a second ({seconds:.0f} s); "
        f"{cpu / items * 1e6:.0f} us of CPU an item, which two cores alone make {2 * items / cpu:.0f} a second; "
        f"{peak[0] / 1e9:.2f} GB; load average {os.getloadavg()[0]:.1f}"
    )


def watch(pid: int, peak: list[int]) -> None:
    """Keep the largest memory of a process and its children, what they share counted once (proportional set size)."""
    process = psutil.Process(pid)
    while True:
        try:
            family = [process, *process.children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_full_info().pss for one in family))
        except psutil.Error:
            return
        time.sleep(0.5)


if __name__ == "__main__":
    main()
