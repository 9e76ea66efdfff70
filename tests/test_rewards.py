"""What a response earns, and the traps of the released reward: a letter in a word, a substring, a missing box."""

from collections.abc import Iterator

import pytest

from mmr1.rewards.accuracy import Verdict, judge
from mmr1.rewards.format import well_formed
from mmr1.rewards.verifier.verify import Verifier


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(workers=1, seconds=10.0) as verifier:
        yield verifier


def accuracy(verifier: Verifier, gold: str, answer: str) -> float:
    return judge([gold], [f"<think>a</think><answer>\\boxed{{{answer}}}</answer>"], verifier)[0].accuracy


@pytest.mark.parametrize("gold", ["A", "E", "No", "False", "None"])
@pytest.mark.parametrize(
    "text", ["", "None", "I cannot tell.", "<answer>None of them</answer>", r"\boxed{", r"\boxed{}"]
)
def test_a_missing_box_is_wrong_whatever_the_gold(verifier: Verifier, gold: str, text: str) -> None:
    (judged,) = judge([gold], [text], verifier)
    assert (judged.accuracy, well_formed(text)) == (0.0, False)
    assert judged.reason == "no box"


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("A", ["B", "a triangle", "A or B", "AB", "All", "None", "1", r"\text{A and C}"]),
        ("E", ["e^1", "2.718281828", "exp(1)", "None", "Yes", "D", r"\mathrm{e}x"]),
        ("No", ["on", "n o", "None", "Not sure", "o n", "Yes", "N", "no answer"]),
        ("False", ["True", "F", "salfe", "fals", "Falsehood", "0"]),
        ("True", ["False", "T", "1", "rute"]),
        ("Yes", ["No", "eyes", "sye", "y"]),
        ("listen", ["silent", "enlist"]),
        ("Bugs Bunny", ["Bunny Bugs", "BugsBunny", "Bugs"]),
        ("plants increase", ["plants decrease"]),  # equal to math-verify 0.9.0
        ("5", ["15", "-5", "25", "5.5", "50", "5x", "A"]),
        (r"2\sqrt{3}", [r"2\sqrt{5}", "2"]),
        (r"\frac{1}{2}", ["1", "2", r"\frac{2}{1}", "0.51"]),
    ],
)
def test_wrong_answers_earn_nothing(verifier: Verifier, gold: str, wrong: list[str]) -> None:
    assert {answer: accuracy(verifier, gold, answer) for answer in wrong} == dict.fromkeys(wrong, 0.0)


@pytest.mark.parametrize(
    ("gold", "right"),
    [
        (
            "A",
            ["A", "a", "(A)", "A.", "A)", r"\text{A}", r"\mathrm{(A)}", "A. 12 cm", r"\textbf{A}", "Option A", "**A**"],
        ),
        ("(C)", ["C", "C: the third"]),
        ("E", ["E", r"\text{E}", "(E) none of these"]),
        ("No", ["No", "no", "NO.", r"\text{No}", " no "]),
        ("False", ["false", "False.", r"\text{False}"]),
        ("Bugs Bunny", ["bugs bunny", r"\text{Bugs Bunny}", r"\text{Bugs}\ \text{Bunny}"]),
        ("5", ["5", "5.0", "+5", "five", r"\frac{10}{2}", r"5\text{ cm}", "x=5", "$5$"]),
        (r"2\sqrt{3}", [r"\sqrt{12}", r"\frac{6}{\sqrt{3}}", "3.464101615"]),
        (r"\frac{1}{2}", ["0.5", "1/2", r"\dfrac12"]),
        ("x", ["x", "$x$"]),
        ("12%", [r"12\%", "12"]),
        ("(-2,1]", ["(-2, 1]"]),
    ],
)
def test_right_answers_earn_one(verifier: Verifier, gold: str, right: list[str]) -> None:
    assert {answer: accuracy(verifier, gold, answer) for answer in right} == dict.fromkeys(right, 1.0)


def test_the_last_of_several_boxes_counts(verifier: Verifier) -> None:
    boxes = [r"\boxed{4} \boxed{5}", r"\boxed{5} \boxed{4}", r"\boxed{4}, \boxed{5}, and \boxed{6}"]
    texts = [f"<think>a</think><answer>{one}</answer>" for one in boxes]
    assert [judged.accuracy for judged in judge(["5"] * 3, texts, verifier)] == [1.0, 0.0, 0.0]


def test_reasons_say_which_rule_decided() -> None:
    texts = [
        r"<think>3+5=8</think><answer>\boxed{8}</answer>",
        r"<answer>\boxed{9}</answer>",
        "8",
        r"<think>hm</think><answer>\boxed{B}</answer>",
        r"<answer>\boxed{yes}</answer>",
        r"<answer>\boxed{9^{9^{9^{9}}}}</answer>",
    ]
    with Verifier(workers=1, seconds=0.5) as verifier:
        verdicts = judge(["8", "8", "8", "C", "Yes", "8"], texts, verifier)
    assert list(zip(verdicts, map(well_formed, texts), strict=True)) == [
        (Verdict(1.0, "8", "equal"), True),
        (Verdict(0.0, "9", "different"), False),
        (Verdict(0.0, None, "no box"), False),
        (Verdict(0.0, "B", "letter"), True),
        (Verdict(1.0, "yes", "words"), False),
        (Verdict(0.0, "9^{9^{9^{9}}}", "timeout"), False),
    ]


def test_golds_and_texts_must_match_in_number(verifier: Verifier) -> None:
    with pytest.raises(ValueError, match="argument"):
        judge(["1", "2"], [r"\boxed{1}"], verifier)


def test_no_responses_no_rewards(verifier: Verifier) -> None:
    assert judge([], [], verifier) == []


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{8}",
        r"<think>\boxed{8}</think>",
        r"<think>\boxed{8}</think><answer>8</answer>",
        r"<answer>8</answer>\boxed{8}",
    ],
)
def test_a_right_answer_outside_of_the_section_s_box_earns_nothing(verifier: Verifier, text: str) -> None:
    assert judge(["8"], [text], verifier) == [Verdict(0.0, None, "no box")]


@pytest.mark.parametrize("letter", ["{A}", "[A]", "Ａ", "A 12 cm", "The answer is A", "选A", "选项A", "答案：A"])
def test_a_letter_is_read_in_every_form(verifier: Verifier, letter: str) -> None:
    assert accuracy(verifier, "A", letter) == 1.0
    assert accuracy(verifier, "B", letter) == 0.0


def test_letters_may_be_several(verifier: Verifier) -> None:
    assert [accuracy(verifier, "A, B", answer) for answer in ("AB", "B and A", "A")] == [1.0, 1.0, 0.0]
    assert accuracy(verifier, "A", "A) or B)") == 0.0


@pytest.mark.parametrize(
    ("unicode", "latex"),
    [
        ("30°", r"30^\circ"),
        ("5√3", r"5\sqrt{3}"),
        ("5 cm²", r"5\text{ cm}^2"),
        ("(1，2)", "(1, 2)"),
        ("２", "2"),
        ("x²", "x^2"),
        ("½", r"\frac{1}{2}"),
        ("(-∞, 1)", r"(-\infty, 1)"),
        ("x ≥ 3", r"x \geq 3"),
        ("1/3", r"0.\overline{3}"),
        ("π/2", "pi/2"),
        ("10 000", "10000"),
        ("1500", "1.5e3"),
    ],
)
def test_one_value_in_two_notations_is_one_answer(verifier: Verifier, unicode: str, latex: str) -> None:
    assert (accuracy(verifier, unicode, latex), accuracy(verifier, latex, unicode)) == (1.0, 1.0)


def test_a_plain_number_is_right_exactly_if_it_is_the_gold(verifier: Verifier) -> None:
    """The digits recipe's answers: no verdict on them came to be another one when the reading of answers changed."""
    answers = [str(number) for number in range(-20, 40)]
    for gold in ("0", "7", "15"):
        texts = [f"<think>1+2</think><answer>\\boxed{{{answer}}}</answer>" for answer in answers]
        verdicts = judge([gold] * len(texts), texts, verifier)
        assert [one.accuracy for one in verdicts] == [float(answer == gold) for answer in answers]
        assert {one.reason for one in verdicts} == {"equal", "different"}
