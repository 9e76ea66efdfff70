"""What a user waits for: dry runs of both recipes, and the whole demo with its peak memory.

    python performance/bench_pipeline.py            # dry runs and the demo, in a copy of the project's files
    python performance/bench_pipeline.py --no-demo  # dry runs only

Ratios are against the start of Snakemake itself (`snakemake --version`), measured in the same run.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from mmr1.plumbing.files import read_json  # noqa: E402
from project import copy_project  # noqa: E402

SNAKEMAKE = str(ROOT / ".envs/driver/bin/snakemake")
LOCAL = (SNAKEMAKE, "--profile", "workflow/profiles/local")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        start = median_seconds(project, (SNAKEMAKE, "--version"), args.repeat)
        print(f"snakemake --version      {start:6.2f} s")
        for name, command in (
            ("dry run of digits", (*LOCAL, "-n", "all")),
            ("dry run of mmr1", (SNAKEMAKE, "--profile", "slurm", "all", "-n")),
        ):
            seconds = median_seconds(project, command, args.repeat)
            print(f"{name:24} {seconds:6.2f} s   {seconds / start:5.1f} times the start of Snakemake")
        if args.demo:
            demo(project)


def median_seconds(project: Path, command: tuple[str, ...], repeat: int) -> float:
    """The median wall-clock seconds of a command."""
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        subprocess.run(command, cwd=project, env=environment(), check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def demo(project: Path) -> None:
    """Run the whole DAG; print its time, its peak memory and what it came to."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [*LOCAL, "all"], cwd=project, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, resident_gib(process.pid))
        time.sleep(0.5)
    minutes = (time.perf_counter() - began) / 60
    print(f"demo, exit code {process.returncode}: {minutes:.1f} minutes, at most {peak:.1f} GiB resident at a time")
    for scores in sorted((project / "results/digits").glob("*/eval/*/*/scores.json")):
        score = read_json(scores)["scores"]["reader"]
        low, high = score["ci95"]
        print(f"  {scores.parts[-3]:12} accuracy {score['accuracy']:.3f} [{low:.3f}, {high:.3f}]")


def resident_gib(pid: int) -> float:
    """Proportional resident memory of a process and all below it: pages that several share count once."""
    total = 0
    try:
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    except psutil.NoSuchProcess:
        pass
    return total / 2**30


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{ROOT}/.envs/cpu/bin:{os.environ['PATH']}"}


if __name__ == "__main__":
    main()
