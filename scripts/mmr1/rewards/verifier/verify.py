"""Whether answers equal their golds, by math-verify in processes that can be stopped."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Self

from mmr1.rewards.verifier.workers import OUTCOMES, Outcome, Pair

__all__ = ["Outcome", "Pair", "Verifier"]

SCRIPTS = Path(__file__).resolve().parents[3]
REMEMBERED = 1_000_000  # verdicts kept, some 200 bytes each

# Integers as people and models write them. Of two such strings math-verify says "equal" exactly if they are the same
# (`tests/test_rewards_verify.py` compares), so no worker is asked.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")


class Verifier:
    """Compares answers with golds and remembers what it found; a context manager, with processes of its own.

    A verdict is `verify(parse(gold), parse(answer))` of math-verify at its default settings, both strings in a box,
    gold first (the comparison is not symmetric). The same pair is compared once, in one call or over many. A comparison
    that takes more than `seconds` of processor time is a "timeout", one that makes a worker die (of memory, say) twice
    an "error"; both concern their own pair only.

    Processes start with the first pair that needs one. Not for use by several threads at once. Linux only.
    """

    def __init__(self, workers: int, seconds: float):
        """`workers`: number of processes, at least 1. `seconds`: processor time for one comparison, more than 0."""
        if workers < 1 or seconds <= 0:
            raise ValueError(f"expected workers >= 1 and seconds > 0, found {workers} and {seconds}")
        self.workers = workers
        self.seconds = seconds
        self.timeouts = (
            0  # pairs answered with "timeout" so far, repeated ones each time: at 0 no clock changed a result
        )
        self._known: dict[Pair, Outcome] = {}
        self._server: tuple[subprocess.Popen[bytes], Connection] | None = None

    def verify(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """The outcome of each pair (gold, answer), in order."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        fresh = {pair: outcome for pair in new if (outcome := _by_string(*pair)) is not None}
        asked = [pair for pair in new if pair not in fresh]
        if asked:
            fresh.update(zip(asked, self._ask(asked), strict=True))
        outcomes = [fresh[pair] if pair in fresh else self._known[pair] for pair in pairs]
        self._remember(fresh)
        self.timeouts += outcomes.count(Outcome.TIMEOUT)
        return outcomes

    def close(self) -> None:
        """End the processes at once. A later call of `verify` starts new ones."""
        if self._server:
            process, connection = self._server
            self._server = None
            connection.close()
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _remember(self, fresh: dict[Pair, Outcome]) -> None:
        # An error may be the machine's, not the pair's: it is asked again when it comes back.
        self._known.update((pair, outcome) for pair, outcome in fresh.items() if outcome is not Outcome.ERROR)
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _ask(self, pairs: list[Pair]) -> list[Outcome]:
        """Outcomes from the server. If it dies, a second one gets the question."""
        for _ in range(2):
            process, connection = self._server or self._start()
            try:
                connection.send(pairs)
                return [OUTCOMES[code] for code in connection.recv_bytes()]
            except (EOFError, ConnectionError):
                self.close()
            except BaseException:  # interrupted: an answer would come later, for a question nobody remembers
                self.close()
                raise
        raise RuntimeError(f"the server of math-verify died twice, last with exit code {process.returncode}")

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        command = [
            sys.executable,
            "-P",
            "-m",
            "mmr1.rewards.verifier.workers",
            theirs.fileno(),
            self.workers,
            self.seconds,
        ]
        path = os.pathsep.join([str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            # Sympy walks over sets: with hashes that differ from start to start, so might what it finds.
            env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": path},
        )
        theirs.close()
        self._server = process, ours
        return self._server


def _by_string(gold: str, answer: str) -> Outcome | None:
    """The outcome where the strings alone settle it, or None."""
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
        return Outcome.EQUAL if gold == answer else Outcome.DIFFERENT
    return None
