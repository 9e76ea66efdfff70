"""How long the scores of a round take: the kernel against nltk, a whole pass at the paper's size, a schedule.

    python performance/bench_vps.py [--problems 15000] [--responses 32] [--tokens 1000] [--workers 2] [--judge]

Prints; asserts nothing about time. Kernel and schedule are timed in CPU seconds, the pass in both kinds. It runs
`scripts/score_vps.py` on made-up rollouts (Zipf-distributed tokens, texts of 3.5 characters a token), with stored
verdicts, or judging them with `--judge`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mmr1.data import contracts  # noqa: E402
from mmr1.data.problems import Problem, write_problems  # noqa: E402
from mmr1.vas.bleu import self_bleu_123  # noqa: E402
from mmr1.vas.samplers import make_sampler  # noqa: E402
from mmr1.vas.schedule import draw_schedule  # noqa: E402
from mmr1.vas.settings import DrawSettings  # noqa: E402

VOCABULARY = 151_665  # Qwen2.5's
PROBLEMS_A_ROW_GROUP = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=15_000)
    parser.add_argument("--responses", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--judge", action="store_true", help="judge the responses instead of reading stored verdicts")
    args = parser.parse_args()
    bench_kernel(args.responses, args.tokens)
    bench_schedule()
    for problems in sorted({args.problems // 10, args.problems}):
        bench_pass(problems, args)


def bench_kernel(responses: int, tokens: int) -> None:
    """Self-BLEU of one group by nltk and by the kernel, on one core."""
    draw = np.random.default_rng(0)
    kinds: dict[str, Callable[[], np.ndarray]] = {
        "uniform tokens": lambda: draw.integers(0, VOCABULARY, (responses, tokens)),
        "Zipf tokens": lambda: zipf(draw, (responses, tokens)),
        "nine tenths alike": lambda: np.where(
            draw.random((responses, tokens)) < 0.1, zipf(draw, (responses, tokens)), zipf(draw, (1, tokens))
        ),
    }
    print(f"self_bleu_123 of {responses} responses of {tokens} tokens, one core")
    for name, make in kinds.items():
        group = make().astype(np.int32)
        expected, slow = timed(lambda group=group: nltk_self_bleu(group.tolist()), repeats=1)
        arrays = (group.ravel(), np.arange(responses + 1) * tokens, np.array([0, responses]))
        values, alone = timed(lambda arrays=arrays: self_bleu_123(*arrays), repeats=20)
        # As a pass does it: many groups a call.
        many = 32
        arrays = (
            np.tile(group.ravel(), many),
            np.arange(responses * many + 1) * tokens,
            np.arange(many + 1) * responses,
        )
        _, together = timed(lambda arrays=arrays: self_bleu_123(*arrays), repeats=5)
        print(
            f"  {name:18} nltk {slow:6.2f} s   kernel {alone * 1e3:5.2f} ms ({slow / alone:5.0f} times), "
            f"{together / many * 1e3:5.2f} ms in a batch ({slow / together * many:5.0f} times)   "
            f"largest difference {np.abs(values - expected).max():.0e}"
        )


def bench_schedule() -> None:
    """The paper's schedule: 70 steps of 2,048 problems from 15,000."""
    ids, vps = [f"problem-{i}" for i in range(15_000)], np.random.default_rng(0).random(15_000)
    for draws in ("iid", "permutation"):
        settings = DrawSettings(mix=0.5, batch_size=2048, draws=draws)
        sampler = make_sampler(settings, ids, 1, pa.table({"ovs": vps, "vps": vps}))
        _, seconds = timed(lambda chosen=sampler: draw_schedule(chosen, ids, range(70)), repeats=5)
        print(f"schedule of 70 x 2,048 from 15,000, {draws}: {seconds:.3f} s")


def bench_pass(problems: int, args: argparse.Namespace) -> None:
    """`score_vps.py` on made-up rollouts: seconds and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_pass(Path(folder), problems, args)
        verdicts = ["--rewards", "w.parquet"] if args.judge else ["--rewards-in", "rewards.parquet"]
        command = [sys.executable, str(ROOT / "scripts" / "score_vps.py"), "--workers", str(args.workers), *verdicts]
        command += ["--problems", "problems.parquet", "--rollouts", "rollouts.parquet", "--out", "scores.parquet"]
        start, cpu = time.perf_counter(), cpu_of_children()
        child = subprocess.Popen(command, cwd=folder)
        peak = 0
        while child.poll() is None:
            peak = max(peak, memory_of(child.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        if child.returncode:
            sys.exit(child.returncode)
        cpu = cpu_of_children() - cpu
        print(
            f"pass over {problems} problems x {args.responses} x {args.tokens} tokens, {args.workers} workers, "
            f"{'judged' if args.judge else 'stored verdicts'}: {seconds:.1f} s, {cpu:.1f} s of CPU, "
            f"peak {peak / 2**20:.0f} MiB"
        )


def write_pass(folder: Path, problems: int, args: argparse.Namespace) -> None:
    """A set, its rollouts and their verdicts, written a row group at a time."""
    draw = np.random.default_rng(problems)
    write_problems(
        folder / "problems.parquet",
        (Problem(id=f"p{i}", source="bench", question="?", images=(), answer=str(i % 97)) for i in range(problems)),
    )
    with (
        contracts.writer(folder / "rollouts.parquet", contracts.ROLLOUTS) as rollouts,
        contracts.writer(folder / "rewards.parquet", contracts.REWARDS) as rewards,
    ):
        for first in range(0, problems, PROBLEMS_A_ROW_GROUP):
            group = range(first, min(first + PROBLEMS_A_ROW_GROUP, problems))
            table, verdicts = row_group(draw, group, args.responses, args.tokens)
            rollouts.write_table(table)
            rewards.write_table(verdicts)


def row_group(draw: np.random.Generator, problems: range, responses: int, tokens: int) -> tuple[pa.Table, pa.Table]:
    """The rollouts of some problems and their verdicts: right with a probability of the problem's own."""
    rows = len(problems) * responses
    right = draw.random((len(problems), responses)) < draw.random((len(problems), 1))
    answers = np.where(right, np.array(problems)[:, None] % 97, draw.integers(97, 200, right.shape)).ravel()
    words = ("so the sum of the two angles is then equal to the third one, " * tokens)[: int(3.5 * tokens)]
    ids = np.repeat([f"p{i}" for i in problems], responses)
    numbers = np.tile(np.arange(responses, dtype=np.int32), len(problems))
    token_ids = pa.ListArray.from_arrays(
        pa.array(np.arange(rows + 1, dtype=np.int32) * tokens), pa.array(zipf(draw, rows * tokens).astype(np.int32))
    )
    texts = [f"<think>{words}</think><answer>\\boxed{{{answer}}}</answer>" for answer in answers.tolist()]
    stop, zeros = ["stop"] * rows, np.zeros(rows)
    table = pa.table(
        [ids, numbers, zeros.astype(np.int64), token_ids, texts, stop, zeros.astype(np.float32)],
        schema=contracts.ROLLOUTS,
    )
    columns = [ids, numbers, right.ravel().astype(float), zeros + 1, [str(answer) for answer in answers], stop]
    return table, pa.table(columns, schema=contracts.REWARDS)


def zipf(draw: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Token ids with the frequencies of words: the k-th most frequent one about k^-1.3 as often."""
    return np.minimum(draw.zipf(1.3, shape), VOCABULARY - 1)


def nltk_self_bleu(group: list[list[int]]) -> np.ndarray:
    smoothing = SmoothingFunction().method1
    return np.array(
        [
            sentence_bleu(group[:i] + group[i + 1 :], response, weights=(1 / 3,) * 3, smoothing_function=smoothing)
            for i, response in enumerate(group)
        ]
    )


def timed(work: Callable[[], object], repeats: int) -> tuple[object, float]:
    """The result of single-threaded work and its shortest CPU time in seconds, which other processes do not lengthen.

    With several repeats a first call compiles and is not counted.
    """
    result = work() if repeats > 1 else None
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return result, min(seconds)


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    for process in (pid, *children(pid)):
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        total += pages * resource.getpagesize()
    return total


def children(pid: int) -> Iterator[int]:
    try:
        pids = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in pids:
        yield child
        yield from children(child)


if __name__ == "__main__":
    main()
