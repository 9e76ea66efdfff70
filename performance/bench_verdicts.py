r"""How long verdicts take: mmr1.rewards against a plain loop of `verify(parse(gold), parse(answer))`, on real outputs.

    python performance/bench_verdicts.py --predictions DIR [--problems 300] [--rollouts 32] [--workers 2]

DIR holds `<benchmark>/*.jsonl.gz`, one file per model, rows with `id`, `answer` and `official_extraction`. A problem's
group is `--rollouts` draws, with replacement and a fixed seed, from what the models answered to it: many repeats, as in
training, though answers of different models repeat less than those of one. Both sides get the same strings, and the
plain loop runs in one process. Ratios are of wall-clock and of processor time; the second says what a busy machine
hides. Prints; asserts nothing about time, but that the verdicts are the same.
"""

import argparse
import contextlib
import gzip
import json
import logging
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil
from math_verify import parse
from math_verify import verify as math_verify

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mmr1.rewards.accuracy import judge  # noqa: E402
from mmr1.rewards.verifier.verify import Outcome, Verifier  # noqa: E402
from mmr1.rewards.verifier.workers import Pair, boxed  # noqa: E402

FULL_PASS = 480_000  # 15,000 problems with 32 rollouts each (§6.1)
HANGS = "9^{9^{9^{9}}}"


@dataclass
class Clock:
    """Seconds of wall-clock and of processor time of the processes given, since it was made."""

    processes: list[psutil.Process]

    def __post_init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), self._processor()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, self._processor() - self.processor

    def _processor(self) -> float:
        total = 0.0
        for process in self.processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # a dead worker counts as its server's child
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=Path, default=ROOT.parent / "shared" / "predictions")
    parser.add_argument("--problems", type=int, default=300, help="problems of each benchmark")
    parser.add_argument("--rollouts", type=int, default=32, help="rollouts of each problem")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time for one verdict")
    args = parser.parse_args()
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    folders = sorted(path.parent for path in args.predictions.glob("math*/*.gz"))
    if not folders:
        print(f"no real outputs to compare on: no math*/*.jsonl.gz under {args.predictions} (see --help)")
    for folder in dict.fromkeys(folders):
        pairs = groups(folder, args.problems, args.rollouts)
        print(f"{folder.name}: {len(pairs)} rollouts in groups of {args.rollouts}, {len(set(pairs))} distinct pairs")
        compare(pairs, args.workers, args.seconds)
    hang(args.workers)


def groups(folder: Path, problems: int, rollouts: int) -> list[Pair]:
    """(gold, answer) of each rollout, group by group."""
    answered: defaultdict[str, list[Pair]] = defaultdict(list)
    for path in sorted(folder.glob("*.gz")):
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                answered[row["id"]].append((row["answer"], str(row["official_extraction"])))
    rng = random.Random(0)
    chosen = rng.sample(sorted(answered), min(problems, len(answered)))
    return [pair for problem in chosen for pair in rng.choices(answered[problem], k=rollouts)]


def plain_loop(pairs: list[Pair]) -> list[bool]:
    return [math_verify(parse(boxed(gold)), parse(boxed(answer))) for gold, answer in pairs]


def compare(pairs: list[Pair], workers: int, seconds: float) -> None:
    """Time both on the same rollouts, print the ratios, and stop if a verdict differs."""
    plain_loop(pairs[:200])
    clock = Clock([psutil.Process()])
    plain = plain_loop(pairs)
    plain_wall, plain_processor = clock.read()
    report("plain loop, one process", len(pairs), plain_wall, plain_processor)
    with Verifier(workers, seconds) as verifier:
        started = time.perf_counter()
        clock = start(verifier)
        print(f"  (start of the processes: {time.perf_counter() - started:.1f} s, once)")
        outcomes = verifier.verify(pairs)
        wall, processor = clock.read()
        report(f"Verifier, {workers} workers", len(pairs), wall, processor)
        again = Clock(clock.processes)
        judge([gold for gold, _ in pairs], [boxed(answer) for _, answer in pairs], verifier)
        report("judge, the verdicts known", len(pairs), *again.read())
        print(f"  time-outs {verifier.timeouts}")
    differing = [pair for pair, a, b in zip(pairs, plain, outcomes, strict=True) if a != (b is Outcome.EQUAL)]
    print(f"  ratio {plain_wall / wall:.1f} in wall-clock, {plain_processor / processor:.1f} per core; ", end="")
    print(f"{len(differing)} verdicts differ; {FULL_PASS} rollouts at this rate: ", end="")
    print(f"{wall / len(pairs) * FULL_PASS / 60:.1f} min, {processor / workers / len(pairs) * FULL_PASS / 60:.1f} idle")
    if differing:
        sys.exit(f"verdicts differ: {sorted(set(differing))}")


def start(verifier: Verifier) -> Clock:
    """Start the processes with pairs of no use to the benchmark; a clock over them, living and to come."""
    verifier.verify([(f"{n}/97", "0.123") for n in range(8 * verifier.workers)])
    assert verifier._server
    server = psutil.Process(verifier._server[0].pid)
    return Clock([psutil.Process(), server, *server.children()])


def report(what: str, rollouts: int, wall: float, processor: float) -> None:
    print(f"  {what:26} {wall:8.2f} s  {processor:8.2f} s of processor  {wall / rollouts * 1e3:7.3f} ms per rollout")


def hang(workers: int, seconds: float = 2.0) -> None:
    """What one hanging expression adds to a batch."""
    batch = [(f"{n}/7", rf"\frac{{{n}}}{{7}}+\sqrt{{{n % 5}}}") for n in range(2_000)]
    spent = []
    for extra in ([], [("7", HANGS)]):
        with Verifier(workers, seconds) as verifier:
            clock = start(verifier)
            outcomes = verifier.verify([*batch[:1_000], *extra, *batch[1_000:]])
            spent.append(clock.read()[0])
            assert outcomes.count(Outcome.TIMEOUT) == len(extra)
    print(f"one hanging expression among {len(batch)} pairs, limit {seconds} s: {spent[0]:.2f} s without, ", end="")
    print(f"{spent[1]:.2f} s with it")


if __name__ == "__main__":
    main()
