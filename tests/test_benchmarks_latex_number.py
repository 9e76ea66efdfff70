"""The number that MathVision's published scorer reads from LaTeX."""

import math
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmr1.benchmarks.rules.latex_number import evaluate


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\frac{1}{2}", 0.5),
        (r"$ \dfrac{3}{4} $", 0.75),
        (r"\frac{7^3}{2^{12} 13^2}", 343 / (4096 * 169)),
        (r"4 \pi(3-2 \sqrt{2})", 4 * math.pi * (3 - 2 * math.sqrt(2))),
        (r"\sqrt[3]{8}", 2.0),
        (r"58\frac{1}{2}", 29.0),  # it multiplies where a mixed number was meant
        ("1,507,509", 1_507_509),
        ("1:2", 0.5),
        (r"50\%", 0.5),
        ("x=5", 5),
        ("2^3^2", 64),
        ("-2^2", -4),
        ("4!", 24),
        (r"\binom{5}{2}", 10),
        (r"{5\choose 2}", 10),
        (r"\tan^{-1}(1)", math.pi / 4),
        (r"\log_{2}{8}", 3.0),
        ("e^{2}", math.e**2),
        (r"\lfloor 7/2 \rfloor", 3),
        ("1<2", True),
    ],
)
def test_numbers(text: str, number: float) -> None:
    assert evaluate(text) == pytest.approx(number)


@pytest.mark.parametrize(("text", "prefix"), [(r"18\choose3", 18), ("5.", 5), ("5)", 5), ("7_3", 7), ("5'", 5)])
def test_what_follows_the_longest_number_is_ignored(text: str, prefix: int) -> None:
    assert evaluate(text) == prefix


@pytest.mark.parametrize(
    "text",
    ["", "e", "5x", "12cm", r"45\mathrm{~cm}^2", r"15^{\circ}", "25%", "1,2", "[1,2]", "(1,2)", "(5", r"\frac12",
     r"\frac{1}{0}", r"\sqrt{-1}", "(-8)^{1/3}", "|5|", "1<2<3", r"\boxed{3}", "٣", "1/0", "0^{-1}", r"\pm5",
     "½", "5π"],
)  # fmt: skip
def test_what_is_no_number(text: str) -> None:
    assert evaluate(text) is None


@pytest.mark.parametrize(
    "text",
    ["9^{9^{9^{9}}}", "99999!", "((((" * 5000 + "1", "{" * 1000 + "1" + "}" * 1000, "-" * 100_000 + "5", "1" * 100_000,
     "2^" * 50_000 + "2", r"\binom{999999999}{99999}", r"\sqrt{" * 5000, "1+" * 50_000 + "1"],
)  # fmt: skip
def test_nothing_hangs(text: str) -> None:
    start = time.process_time()
    evaluate(text)
    assert time.process_time() - start < 2


numbers = st.integers(0, 99)
terms = st.recursive(
    numbers.map(lambda n: (str(n), Fraction(n))),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}+{t[1][0]})", t[0][1] + t[1][1])),
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}-{t[1][0]})", t[0][1] - t[1][1])),
        st.tuples(inner, inner).map(lambda t: (f"{t[0][0]} \\times {t[1][0]}", t[0][1] * t[1][1])),
        inner.filter(lambda t: t[1] != 0).map(lambda t: (f"\\frac{{1}}{{{t[0]}}}", 1 / t[1])),
        inner.map(lambda t: (f"{{-{t[0]}}}", -t[1])),
    ),
    max_leaves=8,
)


@given(terms)
def test_arithmetic_agrees_with_exact_fractions(term: tuple[str, Fraction]) -> None:
    text, exact = term
    found = evaluate(text)
    assert found is not None
    assert found == pytest.approx(float(exact), rel=1e-9, abs=1e-6)
