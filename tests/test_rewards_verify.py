r"""Verdicts are math-verify's own, and nothing that happens in a worker reaches beyond its pair."""

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from math_verify import parse
from math_verify import verify as math_verify

from mmr1.answers.response import last_boxed
from mmr1.rewards.verifier.verify import _INTEGER, Outcome, Verifier, _by_string
from mmr1.rewards.verifier.workers import MEMORY, boxed

ROOT = Path(__file__).resolve().parents[1]
PREDICTIONS = ROOT.parent / "shared" / "predictions"
HANGS = "9^{9^{9^{9}}}"  # in the comparison
HANGS_IN_PARSING = "(" * 5_000 + "1" + ")" * 5_000

oracle_settings = settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))


def plain_verdict(gold: str, answer: str) -> Outcome:
    """Math-verify in this process, as its documentation uses it."""
    return Outcome.EQUAL if math_verify(parse(boxed(gold)), parse(boxed(answer))) else Outcome.DIFFERENT


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=2, seconds=20.0) as verifier:
        yield verifier


@pytest.fixture(scope="module")
def strict() -> Iterator[Verifier]:
    """One worker, little patience."""
    with Verifier(workers=1, seconds=0.5) as verifier:
        verifier.verify([("1/2", "0.5")])
        yield verifier


# --- Verdicts -----------------------------------------------------------------------------------------------------

integers = st.integers(-(10**6), 10**6) | st.integers(-12, 12)
numbers = (
    integers.map(str)
    | st.decimals(-1000, 1000, places=2).map(str)
    | st.tuples(st.integers(-12, 12), st.integers(1, 12)).map(lambda t: rf"\frac{{{t[0]}}}{{{t[1]}}}")
    | st.tuples(st.integers(-12, 12), st.integers(1, 12)).map(lambda t: f"{t[0]}/{t[1]}")
    | st.integers(-12, 12).map(lambda n: rf"{n}\%")
    | st.integers(-12, 12).map(lambda n: f"{n}.0")
    | st.integers(0, 99_999).map("{:,}".format)
)
atoms = numbers | st.sampled_from(["x", "y", "a", "b", "e", "i", r"\pi", r"\sqrt{2}", r"\sqrt{12}", "A", "C", "E", "I"])
formulas = st.recursive(
    atoms,
    lambda inner: st.tuples(inner, inner).flatmap(
        lambda t: st.sampled_from(
            [
                *(f"{t[0]}+{t[1]}", f"{t[0]}-({t[1]})", f"({t[0]})({t[1]})", f"({t[0]})^2", f"({t[0]})^{{-1}}"),
                *(rf"\frac{{{t[0]}}}{{{t[1]}}}", rf"\sqrt{{{t[0]}}}", rf"({t[0]})\cdot{{{t[1]}}}"),
            ]
        )
    ),
    max_leaves=4,
)
texts = st.sampled_from(["A", "C", "E", "I", "Yes", "No", "False", "on", "red", "none", r"\text{Yes}", r"\text{5}"])
shapes = st.tuples(numbers, numbers).flatmap(
    lambda t: st.sampled_from(
        [
            *(f"({t[0]}, {t[1]})", f"[{t[0]}, {t[1]})", rf"\{{{t[0]}, {t[1]}\}}", f"{t[0]}, {t[1]}", f"x={t[0]}"),
            *(f"{t[0]} cm", rf"{t[0]}^\circ", f"{t[0]}:{t[1]}", f"x>{t[0]}", f"${t[0]}$", f"{t[0]} and {t[1]}"),
        ]
    )
)
answers = numbers | formulas | texts | shapes


@oracle_settings
@given(integers, integers)
def test_integers_are_settled_by_their_strings_as_math_verify_settles_them(a: int, b: int) -> None:
    for gold, answer in ((str(a), str(b)), (str(a), str(a))):
        assert _by_string(gold, answer) == plain_verdict(gold, answer)


@pytest.mark.parametrize("text", ["007", "-0", "+5", "5.", "1,000", "1" * 16, "5\n", "٣"])
def test_other_writings_of_integers_are_left_to_math_verify(text: str) -> None:
    assert _by_string(text, text) is None
    assert not _INTEGER.fullmatch(text)


@oracle_settings
@given(st.tuples(answers, answers) | answers.map(lambda text: (text, text)))
def test_verdicts_are_math_verify_s(verifier: Verifier, pair: tuple[str, str]) -> None:
    assert verifier.verify([pair]) == [plain_verdict(*pair)]


def test_verdicts_on_real_outputs_are_math_verify_s(verifier: Verifier) -> None:
    if not PREDICTIONS.is_dir():
        pytest.skip(
            f"real outputs are not here: no folder {PREDICTIONS.relative_to(ROOT.parent)} beside the repository"
        )
    pairs = sorted(real_pairs())
    sample = random.Random(0).sample(pairs, 250)
    assert verifier.verify(sample) == [plain_verdict(*pair) for pair in sample]
    assert verifier.timeouts == 0


def real_pairs() -> set[tuple[str, str]]:
    pairs = set()
    for path in [*PREDICTIONS.glob("mathvista/*.gz"), *PREDICTIONS.glob("mathvision/*.gz")]:
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                pairs.add((row["answer"], str(row["official_extraction"])))
                if (answer := last_boxed(row["response"] or "")) is not None:
                    pairs.add((row["answer"], answer))
    return pairs


def test_gold_comes_first(verifier: Verifier) -> None:
    # Math-verify unwraps an equation in the answer, and one in the gold only if it assigns.
    pairs = [("5", "2+3=5"), ("2+3=5", "5")]
    assert verifier.verify(pairs) == [plain_verdict(*pair) for pair in pairs] == [Outcome.EQUAL, Outcome.DIFFERENT]


def test_any_string_gets_a_verdict(verifier: Verifier) -> None:
    pieces = [
        *"0123456789+-*/^_={}()[]|,.;:$%&<>!?' \\\n\0abcxyzAEé√²°",
        "\\frac",
        "\\sqrt",
        "\\text{",
        "\\boxed{",
        "\\pi",
    ]
    rng = random.Random(1)
    strings = ["".join(rng.choices(pieces, k=rng.randrange(12))) for _ in range(2_000)]
    outcomes = verifier.verify(list(zip(strings, reversed(strings), strict=True)))
    assert len(outcomes) == len(strings)
    assert set(outcomes) <= {Outcome.EQUAL, Outcome.DIFFERENT}


def test_lone_surrogates_and_long_texts_get_a_verdict(strict: Verifier) -> None:
    outcomes = strict.verify([("1", "\ud800"), ("1", "x" * 100_000), ("1", "1/1")])
    assert outcomes[0] is Outcome.DIFFERENT
    assert outcomes[1] in (Outcome.DIFFERENT, Outcome.TIMEOUT)
    assert outcomes[2] is Outcome.EQUAL


# --- Time and memory ----------------------------------------------------------------------------------------------


def test_a_hanging_expression_costs_its_own_limit_and_nothing_else(strict: Verifier, verifier: Verifier) -> None:
    others = [(f"{n}/7", f"{n + n % 2}/7") for n in range(200)]
    strict.verify(others[:1])  # its worker is there
    timeouts, processor = strict.timeouts, cpu_seconds(strict)
    outcomes = strict.verify([*others[:50], ("6", HANGS), *others[50:]])
    assert outcomes[50] is Outcome.TIMEOUT
    assert outcomes[:50] + outcomes[51:] == verifier.verify(others)
    assert strict.timeouts == timeouts + 1
    assert cpu_seconds(strict) - processor < strict.seconds + 5.0  # the rest takes 1 s


def cpu_seconds(verifier: Verifier) -> float:
    """Processor time of the living workers and the server, with the dead workers the server has waited for."""
    assert verifier._server
    server = psutil.Process(verifier._server[0].pid)
    times = [server.cpu_times(), *(child.cpu_times() for child in server.children())]
    return sum(time.user + time.system for time in times) + times[0].children_user + times[0].children_system


def test_a_time_out_is_remembered_and_counted_each_time(strict: Verifier) -> None:
    before = strict.timeouts
    assert strict.verify([("7", HANGS)] * 3) == [Outcome.TIMEOUT] * 3
    assert strict.timeouts == before + 3
    processor = cpu_seconds(strict)
    assert strict.verify([("7", HANGS)] * 1_000) == [Outcome.TIMEOUT] * 1_000
    assert cpu_seconds(strict) - processor < strict.seconds / 2  # nobody looked at it again
    assert strict.timeouts == before + 1_003


def test_a_gold_that_cannot_be_parsed_in_time_costs_one_limit_for_all_its_answers(strict: Verifier) -> None:
    server = strict._server
    assert server
    dead_before = psutil.Process(server[0].pid).cpu_times().children_user
    pairs = [(HANGS_IN_PARSING, f"{n}.5") for n in range(40)]
    assert strict.verify([*pairs, ("1/2", "0.500")]) == [Outcome.TIMEOUT] * 40 + [Outcome.EQUAL]
    assert psutil.Process(server[0].pid).cpu_times().children_user - dead_before < 4 * strict.seconds


def test_workers_have_a_limit_of_memory(strict: Verifier) -> None:
    assert strict._server
    for worker in psutil.Process(strict._server[0].pid).children():
        assert worker.rlimit(psutil.RLIMIT_AS) == (MEMORY, MEMORY)
    (outcome,) = strict.verify([("7", "2^{2^{45}}")])  # 4 TiB of digits
    assert outcome is not Outcome.EQUAL
    assert strict.verify([("1/2", "0.50000")]) == [Outcome.EQUAL]


# --- Processes ----------------------------------------------------------------------------------------------------


def kill_workers(verifier: Verifier, times: int, busy: float = 0.02) -> threading.Thread:
    """Kill `times` workers, each after `busy` seconds, from outside, as the kernel does when memory runs out."""
    assert verifier._server
    server = psutil.Process(verifier._server[0].pid)
    spent = {worker.pid: worker.cpu_times().user for worker in server.children()}

    def kill() -> None:
        killed: set[int] = set()
        while len(killed) < times:
            for worker in server.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if worker.pid not in killed and worker.cpu_times().user - spent.get(worker.pid, 0.0) > busy:
                        killed.add(worker.pid)
                        worker.kill()
            time.sleep(0.01)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_workers_killed_once_cost_no_verdict(verifier: Verifier) -> None:
    pairs = [(f"{n}/7", rf"\frac{{{n}}}{{7}}+\sqrt{{{n % 3}}}") for n in range(150)]
    killer = kill_workers(verifier, times=2)
    assert verifier.verify(pairs) == [plain_verdict(*pair) for pair in pairs]
    killer.join()


def test_a_pair_that_kills_two_workers_is_an_error_and_is_not_remembered(verifier: Verifier) -> None:
    timeouts = verifier.timeouts
    verifier.verify([("1/2", "0.5")])
    killer = kill_workers(verifier, times=2, busy=1.0)
    assert verifier.verify([("5", HANGS), ("3/2", "1.5")]) == [Outcome.ERROR, Outcome.EQUAL]
    killer.join()
    assert ("5", HANGS) not in verifier._known
    assert verifier.timeouts == timeouts


def test_a_killed_server_is_replaced_and_keeps_the_limit_though_the_client_ignores_its_signal(strict: Verifier) -> None:
    strict.verify([("1/2", "0.5")])
    assert strict._server
    strict._server[0].kill()
    former = signal.signal(signal.SIGPROF, signal.SIG_IGN)  # programs started from here inherit it
    try:
        assert strict.verify([("1/4", "0.25")]) == [Outcome.EQUAL]
    finally:
        signal.signal(signal.SIGPROF, former)
    processor = cpu_seconds(strict)
    assert strict.verify([("4", HANGS)]) == [Outcome.TIMEOUT]
    assert cpu_seconds(strict) - processor < 3 * strict.seconds  # the wall-clock's limit comes later


def test_integers_alone_start_no_process() -> None:
    with Verifier(workers=1, seconds=1.0) as verifier:
        assert verifier.verify([("8", "8"), ("5", "15"), ("5", "-5")]) == [
            Outcome.EQUAL,
            Outcome.DIFFERENT,
            Outcome.DIFFERENT,
        ]
        assert verifier._server is None


CLIENT = f"""
    import sys
    from mmr1.rewards.verifier.verify import Verifier
    with Verifier(workers=2, seconds=600.0) as verifier:
        verifier.verify([("1/2", "0.5"), ("1/2", "0.25")])
        print(verifier._server[0].pid, flush=True)
        verifier.verify([("7", "{HANGS}"), ("8", "{HANGS}")])
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_behind_however_the_client_ends(way: signal.Signals) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    client = subprocess.Popen(
        # A shell's background, where these tests may run, ignores Ctrl-C.
        ["env", "--default-signal=INT", sys.executable, "-c", textwrap.dedent(CLIENT)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert client.stdout
    server = psutil.Process(int(client.stdout.readline()))
    workers = server.children()
    while sum(worker.cpu_times().user > 0.3 for worker in workers) < 2:  # both are at their endless task
        workers = server.children()
        time.sleep(0.05)
    client.send_signal(way)
    client.wait(timeout=120)
    assert psutil.wait_procs([server, *workers], timeout=120)[1] == []


def test_an_unusable_number_of_workers_or_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="workers >= 1"):
        Verifier(workers=0, seconds=1.0)
    with pytest.raises(ValueError, match="seconds > 0"):
        Verifier(workers=1, seconds=0.0)


def test_the_module_brings_neither_torch_nor_sympy_into_the_client() -> None:
    code = "import sys, mmr1.rewards.accuracy; print(sorted({'torch', 'sympy', 'math_verify'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
