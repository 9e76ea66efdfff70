r"""The processes behind `mmr1.rewards.verifier.verify`: a server that forks workers, feeds them and outlives them.

    client ──socket──► server ──fork──► worker, worker, …     worker: verify(parse(gold), parse(answer)), by the pair

The server is a fresh interpreter that runs this module, so nothing of the client's (torch, CUDA, threads) is in it. It
loads math-verify once and has one thread, hence a worker is a fork of some milliseconds, also when it takes the place
of a dead one. This file is both the module that `verify` imports for its names and the server's program: standard
library only at the top, math-verify in the server.

How a worker is stopped. Math-verify's own limit is a Python signal handler, which never runs while C code multiplies
two huge integers. Ours is a kernel timer (ITIMER_PROF) whose signal has no handler: the kernel ends the process. It
counts the worker's processor time, so a busy machine does not turn right answers into time-outs. A wall-clock limit far
beyond it (`PATIENCE`), kept by the server with SIGKILL, catches a worker that does not run at all.

Nothing is left behind: the server ends with the client's end of the socket, or at the latest a second after the
client's death (a fork of the client may hold the socket open), and the kernel kills the workers when the server dies.
"""

import contextlib
import ctypes
import mmap
import os
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import lru_cache
from multiprocessing.connection import Connection, Pipe, wait

Pair = tuple[str, str]


class Outcome(StrEnum):
    """What came of comparing an answer with a gold."""

    EQUAL = "equal"
    DIFFERENT = "different"
    TIMEOUT = "timeout"
    ERROR = "error"


# On the sockets an outcome is one byte: its place here.
OUTCOMES = tuple(Outcome)
CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}

PATIENCE = 60.0, 10.0  # wall-clock limit: so many seconds, and so many times the limit of processor time
TICK = 1.0  # seconds between two looks at clocks and at the client
MEMORY = 2 << 30  # bytes of address space of a worker: math-verify takes 90 MB, comparisons of real answers little
CHUNK = 32  # pairs a worker is sent at most at once
PAIRS_PER_WORKER = 5_000  # then a fresh fork takes over, so that sympy's caches cannot grow into the memory limit
PARSED = 4_096  # parsed strings a worker remembers: a group shares its gold

# What a worker is doing, noted in memory that it shares with the server.
GOLD, ANSWER, COMPARISON = 0, 1, 2
Phase = mmap.mmap | bytearray

_PR_SET_PDEATHSIG = 1

# Compared once by the server, so that each fork starts with the grammar's automata built and sympy's modules loaded: a
# first interval takes 100 ms, the next one 30.
_WARM_UP: tuple[Pair, ...] = (
    *((text, text) for text in ("12", r"-\frac{3}{4}", r"2\sqrt{3}", r"\text{Yes}", r"12\%", "1.5", "3:4", "1, 2")),
    *((text, text) for text in ("[-2,1)", r"90^\circ", "2x^2-3x+1", "f(x)", r"\infty", r"\pi r^2", "12 cm", "none")),
    *((r"\sin(x)^2+\cos(x)^2", "1"), ("x=5", "2x=8"), ("x>2", "(2,3)"), (r"\{1,2\}", r"\{1,3\}"), ("5", "log(a+b)")),
)


def boxed(text: str) -> str:
    r"""A gold or an answer as math-verify is given it.

    Bare LaTeX is not math to its extractor: of `2\sqrt{3}` it would take the 2, and find it equal to `2\sqrt{5}`.
    """
    return f"\\boxed{{{text}}}"


def comparator() -> Callable[[str, str, Phase], Outcome]:
    """Load math-verify and return what a worker runs: (gold, answer, where to note the phase) -> EQUAL or DIFFERENT."""
    import logging

    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that its own limits are off, as is meant
    parsed = lru_cache(PARSED)(lambda text: parse(boxed(text), parsing_timeout=None))

    def compare(gold: str, answer: str, phase: Phase) -> Outcome:
        phase[0] = GOLD
        parsed_gold = parsed(gold)
        phase[0] = ANSWER
        parsed_answer = parsed(answer)
        phase[0] = COMPARISON
        return Outcome.EQUAL if verify(parsed_gold, parsed_answer, timeout_seconds=None) else Outcome.DIFFERENT

    return compare


def work(
    connection: Connection, compare: Callable[[str, str, Phase], Outcome], phase: Phase, seconds: float, server: int
) -> None:
    """A worker's life: take a chunk of pairs, send a byte as each is done, until the server is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:  # it died before the line above
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # whoever started the client may have had it ignored or blocked
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    while True:
        for gold, answer in connection.recv():
            signal.setitimer(signal.ITIMER_PROF, seconds)
            try:
                outcome = compare(gold, answer, phase)
            except Exception:  # math-verify catches nearly all of its own: memory or recursion, at a bad moment
                outcome = Outcome.ERROR
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(connection.fileno(), bytes([CODE[outcome]]))


class Worker:
    """The server's view of one worker: its process, its socket, and the pairs it was sent and has not answered."""

    def __init__(self, compare: Callable[[str, str, Phase], Outcome], seconds: float):
        self.todo: deque[int] = deque()
        self.answered = 0
        self.waited = 0.0  # seconds since it was last heard of, as counted by the server
        self.phase = mmap.mmap(-1, 1)
        self.connection, theirs = Pipe()
        server = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.closerange(3, theirs.fileno())
                os.closerange(theirs.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
                with contextlib.suppress(EOFError):
                    work(theirs, compare, self.phase, seconds, server)
            finally:
                os._exit(0)
        theirs.close()

    def send(self, pairs: Sequence[Pair], indices: Sequence[int]) -> None:
        self.todo.extend(indices)
        self.waited = 0.0
        with contextlib.suppress(OSError):  # it has died, as the end of its stream will say
            self.connection.send([pairs[index] for index in indices])

    def receive(self) -> bytes:
        """The outcomes that have come since the last call, a byte each; empty if the worker is dead."""
        try:
            codes = os.read(self.connection.fileno(), 1 << 16)
        except ConnectionError:
            codes = b""
        self.answered += len(codes)
        self.waited = 0.0
        return codes

    def end(self) -> int:
        """Kill the process if it still lives; the number of the signal that ended it, or 0."""
        os.kill(self.pid, signal.SIGKILL)  # a child that was not waited for keeps its number, dead or alive
        _, status = os.waitpid(self.pid, 0)
        self.connection.close()
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


class Server:
    """Answers one batch of pairs after the other with workers that it keeps alive from batch to batch."""

    def __init__(self, client: Connection, workers: int, seconds: float):
        self.client = client
        self.client_pid = os.getppid()
        self.size = workers
        self.seconds = seconds
        self.patience = PATIENCE[0] + PATIENCE[1] * seconds
        self.compare = comparator()
        for gold, answer in _WARM_UP:
            self.compare(gold, answer, bytearray(1))
        self.workers: list[Worker] = []
        self.hanging: set[str] = set()  # strings whose mere parsing takes longer than the limit

    def run(self) -> None:
        """Serve until the client is gone."""
        try:
            while True:
                while not self.client.poll(TICK):
                    self._check_client()
                batch = Batch(self.client.recv())
                while batch.left:
                    self._step(batch)
                self.client.send_bytes(batch.codes)
        except (EOFError, ConnectionError):
            pass
        finally:
            for worker in self.workers:
                worker.end()

    def _check_client(self) -> None:
        if os.getppid() != self.client_pid:
            raise EOFError

    def _step(self, batch: "Batch") -> None:
        """Send work to idle workers, read results, replace workers that died, and stop those over their time limit."""
        self._feed(batch)
        busy = {worker.connection: worker for worker in self.workers if worker.todo}
        before = time.monotonic()
        ready = wait([*busy, self.client], TICK) if busy else []
        # A stopped machine or server is not the workers' fault: no more than a tick is ever counted.
        elapsed = min(time.monotonic() - before, TICK)
        if self.client in ready:  # it has nothing to say while it waits for us, so this is its end
            raise EOFError
        self._check_client()
        for connection, worker in busy.items():
            if connection in ready:
                if codes := worker.receive():
                    for code in codes:
                        batch.settle(worker.todo.popleft(), OUTCOMES[code])
                else:
                    self._replace(worker, batch)
            else:
                worker.waited += elapsed
                if worker.waited > self.patience:
                    self._replace(worker, batch, overran=True)

    def _feed(self, batch: "Batch") -> None:
        for worker in [worker for worker in self.workers if not worker.todo and worker.answered >= PAIRS_PER_WORKER]:
            self.workers.remove(worker)
            worker.end()
        for slot in range(self.size):
            if not batch.queue:
                break
            if slot == len(self.workers):
                self.workers.append(Worker(self.compare, self.seconds))
            if not self.workers[slot].todo and (indices := batch.take(self.size, self.hanging)):
                self.workers[slot].send(batch.pairs, indices)

    def _replace(self, worker: Worker, batch: "Batch", overran: bool = False) -> None:
        phase = worker.phase[0]
        self.workers.remove(worker)
        overran = worker.end() == signal.SIGPROF or overran
        if not worker.todo:
            return
        guilty = worker.todo.popleft()
        batch.queue.extendleft(reversed(worker.todo))
        if overran:
            if phase != COMPARISON:
                self.hanging.add(batch.pairs[guilty][phase])
            batch.settle(guilty, Outcome.TIMEOUT)
        else:
            batch.suspect(guilty)


class Batch:
    """One request of the client: its pairs, what is still to be handed out, and the outcomes."""

    def __init__(self, pairs: list[Pair]):
        self.pairs = pairs
        self.codes = bytearray(len(pairs))
        self.left = len(pairs)
        self.queue = deque(range(len(pairs)))
        self.suspects: set[int] = set()  # pairs a worker died of, other than of the time limit

    def take(self, workers: int, hanging: set[str]) -> list[int]:
        """The next pairs for one worker: fewer towards the end, so that all end together; a suspect goes alone."""
        size = max(1, min(CHUNK, len(self.queue) // (4 * workers)))
        taken: list[int] = []
        while self.queue and len(taken) < size:
            if self.queue[0] in self.suspects and taken:
                break
            index = self.queue.popleft()
            if hanging.isdisjoint(self.pairs[index]):
                taken.append(index)
            else:
                self.settle(index, Outcome.TIMEOUT)
            if index in self.suspects:
                break
        return taken

    def settle(self, index: int, outcome: Outcome) -> None:
        self.codes[index] = CODE[outcome]
        self.left -= 1

    def suspect(self, index: int) -> None:
        """A worker died of this pair, or of something else while at it: try it once more, then call it an error."""
        if index in self.suspects:
            self.settle(index, Outcome.ERROR)
        else:
            self.suspects.add(index)
            self.queue.appendleft(index)


if __name__ == "__main__":
    # Ctrl-C goes to everyone in the foreground; it is the client's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Server(Connection(int(sys.argv[1])), workers=int(sys.argv[2]), seconds=float(sys.argv[3])).run()
