"""What counts as the same value: one line a notation, a unit or a trap."""

import math
import operator
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generated_answers import answers
from mmr1.answers.comparison import same
from mmr1.answers.decision import Reading, decide, letters_in
from mmr1.answers.expressions import as_float, formula, leading_number
from mmr1.answers.notation import normal
from mmr1.answers.reading import read
from mmr1.answers.values import Quantity, Text


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("30°", "30^\\circ"),
        ("5√3", "5\\sqrt{3}"),
        ("5 cm²", "5\\text{ cm}^2"),
        ("(1，2)", "(1,2)"),
        ("２", "2"),
        ("x²", "x^2"),
        ("½", "\\frac{1}{2}"),
        ("∞", "\\infty"),
        ("≥ 5", "\\ge 5"),
        ("1/3", "0.\\overline{3}"),
        ("π/2", "pi/2"),
        ("10 000", "10000"),
        ("1500", "1.5e3"),
        ("13.5", "13.5 billion Russian rubles"),
        ("5.33", "5.33 million metric tons"),
        ("40", "40K"),
        ("1.2", "1.2M"),
        ("1200000", "1.2M"),
        ("36 cm", "0.36 m"),
        ("5 km/h", "5 km h^{-1}"),
        ("5 km/h", "5\\frac{km}{h}"),
        ("5/4", "1 1/4"),
        ("675 m", "0.675 km"),
        ("Area $=1115.94 \\mathrm{~cm}^{2}$", "1115.94 \\text{ square centimeters}"),
        ("Perimeter $=18.8 \\mathrm{~cm}$", "18.8"),
        ("$5=s$", "5"),
        ("$5=s$", "s = 5"),
        ("(-2,1]", "-2 < x \\leq 1"),
        ("(-2,1]", "x \\in (-2, 1]"),
        ("(-2,1]", "\\left(-2, 1\\right]"),
        ("$y-3=\\frac{2}{3}(x-8)$", "y + 1 = \\frac{2}{3}(x - 2)"),
        ("220.0 \\mathrm{~cm}^{3}", "\\approx 220 \\text{ cm}^3"),
        ("132 ^\\circT", "132°"),
        ("118掳T", "118°T"),
        ("090^\\circ T", "90"),
        ("7", "seven sectors"),
        ("7", "7 different sectors"),
        ("4", "4:1"),
        ("333.54", "333.54 million Canadian dollars"),
        ("23.5", "\\text{\\$23.5 billion}"),
        ("43", "43% (2012)"),
        ("35075.9", "35 075.9 million euros"),
        ("64", "64 percentage points"),
        ("0.475", "0.475 t"),
        ("18", "18 ft"),
        ("[2011, 2012]", "2011 and 2012"),
        ("[Gambia, Niger]", "Gambia and Niger"),
        ("U.S.", "United States"),
        ("Telia Company AB", "Telia"),
        ("Gray", "grey"),
        ("2191.7 metres", "2191.7 meters"),
        ("\\frac{5\\left(5x+7\\right)}{2x+3} units", "\\frac{25x+35}{2x+3}"),
        ("$72 x-2 x^3$", "A(x) = 72x - 2x^3"),
        ("\\frac{\\sqrt{30}}{2}", "\\sqrt{7.5}"),
        ("$[-5,-3) \\cup(-3,5]$", "[-5, -3) U (-3, 5]"),
        ("(2,3)", "C(2,3)"),
        ("(2,3)", "（2，3）"),
        ("-3", "minus 3"),
        ("1.5", "1 1/2"),
        ("6", "\\text{Total: }6"),
        ("6", "6 (cm)"),
        ("6", "The answer is 6"),
        ("22", "22 \\text{ (approx.)}"),
        ("2014", "in 2014"),
        ("[2003,2009]", "\\{2003, 2009\\}"),
        ("2", "2:1"),
        ("5", "2+3=5"),
        ("12%", "12\\%"),
        ("12%", "12"),
        ("12%", "0.12"),
        ("0.8", "80\\%"),
        ("1.2", "US\\$ 1.2"),
        ("9905.6", "9 905.6 billion yuan"),
        ("1200000000", "1.2 billion U.S. dollars"),
        ("2 days", "48 hours"),
        ("x=2, y=3", "(2,3)"),
        ("x = 2 or x = -2", "2, -2"),
        ("$9 \\pi \\mathrm{cm}^{2}$", "9\\pi"),
        ("(3,-4)", "(3.0,-4)"),
        ("x>2", "(2,\\infty)"),
        ("5", "x=10/2=5"),
        ("10π", "C = 2π(5) = 10π ≈ 31.4"),
        ("31.4", "C = 10π ≈ 31.4"),
        ("65 and over", "65+"),
        ("18-29", "18 to 29"),
        ("December", "Dec."),
        ("1:2", "\\frac{1}{2}"),
        ("4", "4 to 1"),
        ("12:30", "12:30"),
        ("2x+1", "1+2x"),
        ("x", "x"),
        ("28/51", "0.549019608"),
    ],
)
def test_the_same_value(gold: str, answer: str) -> None:
    assert same(read(gold), read(answer)) is True


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("36 cm", "36 m"),
        ("11/4", "1 1/4"),
        ("12", "1 2"),
        ("12:30", "2:05"),
        ("0.4", "12:30"),
        ("-2", "10-12"),
        ("9.1e-31", "1.6×10^{-19}"),
        ("3", "\\neq 3"),
        ("3", "1=2=3"),
        ("9", "9<"),
        ("9", "> 9"),
        ("abc", "cab"),
        ("675 m", "675 cm"),
        ("5", "5x"),
        ("5", "15"),
        ("5", "-5"),
        ("5", "5.5"),
        ("6", "6 more"),
        ("6", "6 dozen"),
        ("6", "\\geq 6"),
        ("0", "not 0"),
        ("0", "0 to 3"),
        ("(-2,1]", "[-2,1]"),
        ("[-2,1]", "(-2,1)"),
        ("(2,3)", "(3,2)"),
        ("two days", "two years"),
        ("2 days", "2 years"),
        ("24.4", "24.5"),
        ("4\\sqrt{3}", "4\\sqrt{6}"),
        ("22", "\\frac{22\\sqrt{3}}{3}"),
        ("f(x)=-3|x-3|+3", "f(x) = |x - 3| + 3"),
        ("Surface area $=2 \\pi(R+r)(L+R-r)$ square units", "2\\pi R (R + L)"),
        ("1", "1 or 2"),
        ("2", "2-3 years"),
        ("[Gambia, Niger]", "Gambia"),
        ("2015/16", "2016/17"),
        ("125.9375", "2015/16"),
        ("Bugs Bunny", "Bunny Bugs"),
        ("listen", "silent"),
        ("22 thousand", "22 million"),
        ("$[-5,-3) \\cup(-3,5]$", "(-5,-3)\\cup(-3,5)"),
        ("2\\sqrt{3}", "2\\sqrt{5}"),
        ("1234", "(1,234)"),
        ("1.5", "11/2"),
        ("5 cm", "5 cm^2"),
        ("-47", "-47040 J"),
        ("[2011, 2012]", "[2011, 2013]"),
        ("2021-05-03", "2013"),
        ("No", "on"),
        ("5", "five or six"),
        ("10", "10 (not 12) or 11"),
        ("3", "between 3 and 5"),
    ],
)
def test_another_value_or_none(gold: str, answer: str) -> None:
    assert same(read(gold), read(answer)) is not True


@pytest.mark.parametrize(
    "text", ["12:30", "2:05", "10-12", "2015/16", "2021-05-03", "1 2", "5x and 3", "6 more", "", "²"]
)
def test_what_is_no_arithmetic_is_no_number(text: str) -> None:
    assert not isinstance(read(text), Quantity)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(-(10**9), 10**9), st.integers(1, 10**4))
def test_a_fraction_is_its_value_in_every_notation(above: int, below: int) -> None:
    for text in (f"{above}/{below}", rf"\\frac{{{above}}}{{{below}}}".replace("\\\\", "\\"), f"${above} / {below}$"):
        value = read(text)
        assert isinstance(value, Quantity)
        assert value.number * below == above


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(0, 10**12), st.integers(0, 99))
def test_thousands_are_grouped_in_any_way(whole: int, cents: int) -> None:
    plain = f"{whole}.{cents:02d}"
    grouped = f"{whole:,}.{cents:02d}"
    for text in (grouped, grouped.replace(",", " "), grouped.replace(",", "{,}"), grouped.replace(",", "\\,")):
        assert same(read(plain), read(text))


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.text(alphabet="0123456789+-*/^()√π.xy{}\\\\_ fracsqt", max_size=40))
def test_any_notation_is_read(text: str) -> None:
    assert isinstance(normal(text), str)
    assert same(read(text), read(text)) is not False
    formula(text), leading_number(text)


def test_senseless_answers_are_read_in_no_time() -> None:
    start = time.process_time()
    for text in answers(2_000, seed=3):
        read(text)
    assert time.process_time() - start < 20
    assert read("9" * 5_000) == Text("9" * 5_000)


LARGE = [
    "9" * 350, "-" + "9" * 350, "1e999", "1e-999", "10^{999}", "1/" + "9" * 350, "9" * 350 + "%", "9" * 350 + " km",
    "9" * 350 + " °F", "9" * 350 + " million", "(1e999, 2e999)", "[-1e999, 2]", "9" * 350 + "x", "10^{999}\\pi",
    "9^{999}\\cdot" * 20 + "9", "x=1e999", "1e999:√2", "√2:1e999:1e-999", "(" + "9" * 190 + ")^2", "170!\\cdot 170!",
]  # fmt: skip
GOLDS = ["5", "1/3", "0.5", "50%", "5 km", "20 °C", "[1,2]", "(1, 2)", "(1/3, 2/3]", "3 million", "x+1", "y=2x", "∞"]


@pytest.mark.parametrize("gold", [*GOLDS, *LARGE])
def test_a_number_that_no_float_holds_is_a_number(gold: str) -> None:
    for answer in LARGE:
        readings = [decide(gold, answer), decide(gold, f"The answer is {answer}.")]
        assert gold in LARGE or not any(reading.right for reading in readings), answer
        assert all(reading.reason != "error" for reading in readings), answer
    assert decide(gold, gold).right


UNITS_OF_TEXT = [
    "9", "1.", "1,", "1 ", "10", "a", "a ", "(", "()", "[1,", "{1", "\\frac{1}{", "\\sqrt{", "1/", "1-", "-", "1+", "^",
    "2^", "x=", "=", "<", "%", "°", "5 m ", "1:", "A,", "(A)", "1 and ", "|", "\\", "$", "π", "√", "!", "_", "1'",
    "0.3...", "1e+", "the answer is ", "1 to ", "half ", "\n", "; ", "**a", "x^2+", "±", "± 2", "1:2:", "csc ",
    "1 h 3 m ", "30°15'", "5'6\"", "x<1 or ",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS_OF_TEXT)
def test_a_model_that_repeats_itself_is_judged_at_once(unit: str) -> None:
    """As long as what is read as notation; digits before a point that repeat behind it took a minute once."""
    half = unit * (990 // len(unit))
    for text in (half + half, half + "." + "7" * 990, half + "/" + "a" * 990, half + "=" + "..." * 330):
        start = time.process_time()
        decide("-7", text)
        assert time.process_time() - start < 2, text[985:1005]


def test_an_answer_that_the_grammar_trips_over_is_wrong_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmr1.answers.decision.read", lambda text: 1 / 0)
    assert decide("1", "2") == Reading(False, "error", open=True)


def test_a_unit_that_cannot_be_converted_is_another() -> None:
    assert not decide("20 °C", "It is 97°C°").right


def test_large_numbers_are_compared_exactly() -> None:
    assert decide("10^{999}", "1e999").right
    assert not decide("10^{999}", "1" + "0" * 300 + "1").right
    assert as_float(Fraction(-(10**400))) == -math.inf


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        # An exponent of several signs keeps its brackets.
        ("e^{2x}", "e^2 x", False),
        ("e^{2x}", "\\exp(2x)", True),
        ("2^{3x}", "8x", False),
        ("8^x", "2^{3x}", True),
        ("4^n", "2^{2n}", True),
        ("72", "2^{3}3^{2}", True),
        # A variable or a function behind a number is no unit.
        ("2\\pi r^2", "2\\pi", False),
        ("2\\pi r^2", "2\\pi r^3", False),
        ("5\\sin x", "5\\cos x", False),
        ("100\\tan\\alpha", "100", False),
        ("\\sin 2x", "2\\sin x\\cos x", True),
        ("a^2\\pi", "\\pi a^2", True),
        ("5 km", "5", True),
        ("3 people", "3", True),
        ("5 sec", "5 seconds", True),
        ("2\\ln 2", "\\ln 4", True),
        # Every sign of a gold in notation counts.
        ("180^\\circ-\\alpha", "180^\\circ+\\alpha", False),
        ("AB ∥ CD", "AB ⊥ CD", False),
        ("AB>CD", "AB<CD", False),
        # Degrees in a function's bracket, and inverse functions.
        ("0.5", "\\sin(30^\\circ)", True),
        ("\\frac{1}{2}", "\\cos(60^{\\circ})", True),
        ("0.5", "\\sin(30)^\\circ", True),
        ("0.5", "\\cos(30^\\circ)", False),
        ("\\tan^{-1}(3/4)", "\\arctan(3/4)", True),
        ("\\sin^{-1} x", "\\frac{1}{\\sin x}", False),
        # Letters say which value is whose.
        ("x=2, y=3", "y=2, x=3", False),
        ("x=2, y=3", "y=3, x=2", True),
        ("x=2 or x=-3", "x=-3 or x=2", True),
        ("x_1=2,x_2=-3", "x_1=-3,x_2=2", True),
    ],
)
def test_what_a_reviewer_found(gold: str, answer: str, right: bool) -> None:
    assert decide(gold, answer).right is right


@pytest.mark.parametrize(
    ("one", "other", "right"),
    [
        # Either sign: both values, in any order, and no point, interval or single number.
        ("\\pm 2", "2, -2", True),
        ("x = \\pm 2", "x = -2 or x = 2", True),
        ("±2", "\\{-2, 2\\}", True),
        ("\\pm\\sqrt{12}", "\\pm 2\\sqrt{3}", True),
        ("x=\\frac{1\\pm\\sqrt{5}}{2}", "\\frac{1-\\sqrt{5}}{2}, \\frac{1+\\sqrt{5}}{2}", True),
        ("\\pm 1, \\pm 2", "1, -1, 2, -2", True),
        ("\\{0, \\pm 2\\}", "0, 2, -2", True),
        ("0, ±2", "±2", False),
        ("0, ±2", "0, 2", False),
        ("±2", "2", False),
        ("±2", "±3", False),
        ("±2", "(2, -2)", False),
        ("±2", "[-2, 2]", False),
        ("±2", "x = 2, y = -2", False),
        ("1 ± 2", "2 ± 1", False),
        ("5 ± 2", "5", False),
        # Functions of a letter.
        ("\\csc x", "\\frac{1}{\\sin x}", True),
        ("sec x", "1/cos x", True),
        ("\\cot\\theta", "\\frac{\\cos\\theta}{\\sin\\theta}", True),
        ("cosec x", "csc x", True),
        ("\\csc x", "\\frac{1}{\\cos x}", False),
        ("2\\sec x", "2", False),
        ("5 sec", "5 min", False),
        # Two units for one value.
        ("1 h 30 min", "90 min", True),
        ("1 hour and 30 minutes", "1.5 hours", True),
        ("1h30m", "\\text{1 h } 30 \\text{ min}", True),
        ("5 ft 6 in", "66 inches", True),
        ("5 ft 6 in", "5' 6\"", True),
        ("2 kg 500 g", "2.5 kg", True),
        ("3 min 20 s", "200 seconds", True),
        ("30°15'", "30.25^\\circ", True),
        ("1 day, 2 hours and 30 minutes", "1590 min", True),
        ("1 h 30 min", "1.3 h", False),
        ("1 h 30 min", "1 h", False),
        ("1 h 30 min", "30 min", False),
        ("1 h 30 min", "1 h 40 min", False),
        ("5 ft 6 in", "5.6 ft", False),
        ("5 ft 6 in", "6 ft 5 in", False),
        ("5 ft 6 in", "5 m 6 cm", False),
        ("5 ft 18 in", "6 ft 6 in", False),  # no one writes it so
        # Cents and dollars.
        ("\\$0.50", "50 cents", True),
        ("$0.50", "50¢", True),
        ("0.50", "50 cents", True),  # in dollars or
        ("50", "50 cents", True),  # in cents: the gold does not say
        ("1.25 dollars", "125 cents", True),
        ("$1.25", "1 dollar and 25 cents", True),
        ("\\$50", "50 cents", False),
        ("$50", "50¢", False),
        ("50 dollars", "50 cents", False),
        ("$0.50", "0.50 cents", False),
        ("50 cents", "0.50 cents", False),
        # Inequalities of one letter, joined or in words.
        ("x < -1 or x > 2", "(-\\infty,-1) \\cup (2,\\infty)", True),
        ("x<-1 \\lor x>2", "x is less than -1 or greater than 2", True),
        ("x < -1 or x > 2", "\\{x \\mid x > 2 \\text{ or } x < -1\\}", True),
        ("x > 2 and x < 5", "(2,5)", True),
        ("3 \\le x < 7", "x ≥ 3 and x < 7", True),
        ("x ≠ 3", "x is not equal to 3", True),
        ("x ≠ 1, 2", "x \\neq 2 \\text{ and } x \\neq 1", True),
        ("x ≠ 1", "(-\\infty, 1) \\cup (1, \\infty)", True),
        ("\\mathbb{R} \\setminus \\{0, 2\\}", "x ≠ 0 and x ≠ 2", True),
        ("all real numbers except x = 3", "(-\\infty, 3) \\cup (3, \\infty)", True),
        ("\\mathbb{R} \\setminus \\{0\\}", "\\mathbb{R}", False),
        ("\\mathbb{R} \\setminus \\{0\\}", "x ≠ 1", False),
        ("all real numbers except 3", "all real numbers", False),
        ("x > 2 or x < 5", "all real numbers", True),
        ("x < 2 and x > 5", "\\emptyset", True),
        ("x < -1 or x > 2", "x < -1 and x > 2", False),
        ("x < -1 or x > 2", "-1 < x < 2", False),
        ("x < -1 or x > 2", "x > 2", False),
        ("x < -1 or x > 2", "x ≤ -1 or x ≥ 2", False),
        ("x < -1 or x > 2", "x < -1 or y > 2", False),
        ("x > 2 and y < 5", "(2,5)", False),
        ("2 < x < 5", "2, 5", False),
        ("x ≠ 1, 2", "x ≠ 1", False),
        ("x ≠ 1, 2", "1, 2", False),
        # Nothing solves it.
        ("\\emptyset", "∅", True),
        ("\\varnothing", "\\{\\}", True),
        ("No solution", "∅", True),
        ("no real solutions", "There is no solution.", True),
        ("\\emptyset", "The equation has no solutions", True),
        ("\\emptyset", "0", False),
        ("\\emptyset", "\\{0\\}", False),
        ("\\emptyset", "\\{\\emptyset\\}", False),
        ("no solution", "all real numbers", False),
        ("no solution", "no integer solutions", False),
        ("no solution", "No", False),
        # A ratio in other terms, and no time of day.
        ("2:4", "1:2", True),
        ("2:4:6", "1:2:3", True),
        ("1:\\sqrt{2}", "\\sqrt{2}:2", True),
        ("1:\\sqrt{3}:2", "2:2\\sqrt{3}:4", True),
        ("1:2", "2:1", False),
        ("1:2:3", "3:2:1", False),
        ("1:2:3", "1:2", False),
        ("1:2:3", "1, 2, 3", False),
        ("1:2:3", "(1, 2, 3)", False),
        ("10:20:30", "1:2:3", False),
        ("12:30", "24:60", False),
    ],
)
def test_notation_that_real_answers_use_says_the_same_whichever_is_the_gold(one: str, other: str, right: bool) -> None:
    assert decide(one, other).right is right
    assert decide(other, one).right is right


COMPARED = {"<": operator.lt, ">": operator.gt, "≤": operator.le, "≥": operator.ge}
Joined = tuple[list[tuple[str, int]], str]
one_inequality = st.tuples(st.sampled_from(list(COMPARED)), st.integers(-3, 3))
joined = st.tuples(st.lists(one_inequality, min_size=1, max_size=3), st.sampled_from(["or", "and"]))


@settings(deadline=None, max_examples=300, derandomize=True)
@given(joined, joined)
def test_inequalities_are_the_same_where_the_same_numbers_fulfil_them(one: Joined, other: Joined) -> None:
    texts = [f" {word} ".join(f"x {sign} {bound}" for sign, bound in parts) for parts, word in (one, other)]
    assert decide(*texts).right is (fulfilling(*one) == fulfilling(*other)), texts


def fulfilling(parts: list[tuple[str, int]], word: str) -> list[float]:
    """Halves from -4 to 4 that fulfil inequalities: between and beyond all bounds."""
    enough = any if word == "or" else all
    halves = [number / 2 for number in range(-8, 9)]
    return [number for number in halves if enough(COMPARED[sign](number, bound) for sign, bound in parts)]


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("The answer is not B", []),
        ("B is not the answer", []),
        ("Option A is ruled out", []),
        ("So the option B is false.", ["B"]),  # which is false?
        ("\\textbf{B. } \\frac{1}{2}", ["B"]),
        ("\\frac" * 250, []),
        ("\\sqrt" * 300, []),
        ("\\frac{፩}{፪}", []),
    ],
)
def test_letters_that_are_named(answer: str, letters: list[str]) -> None:
    assert letters_in(answer) == letters
