"""What a response earns, and the traps of the released reward: a letter in a word, a substring, a missing box."""

from collections.abc import Iterator

import pytest

from mmr1.rewards.accuracy import Verdict, judge, option_letter, plain
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
    assert judged.reason == ("empty box" if text == r"\boxed{}" else "no box")


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
        ("5", ["15", "-5", "25", "5.5", "50", "5x", "five", "A"]),
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
        ("5", ["5", "5.0", "+5", r"\frac{10}{2}", r"5\text{ cm}", "x=5", "$5$"]),
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
    texts = [r"\boxed{4} \boxed{5}", r"\boxed{5} \boxed{4}", r"\boxed{4}, \boxed{5}, and \boxed{6}"]
    assert [judged.accuracy for judged in judge(["5"] * 3, texts, verifier)] == [1.0, 0.0, 0.0]


def test_reasons_say_which_rule_decided() -> None:
    texts = [
        r"<think>3+5=8</think><answer>\boxed{8}</answer>",
        r"\boxed{9}",
        "8",
        r"<think>hm</think><answer>\boxed{B}</answer>",
        r"\boxed{yes}",
        r"\boxed{9^{9^{9^{9}}}}",
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
    ("answer", "letter"), [("c", "C"), ("(B).", "B"), ("D) 3:4", "D"), ("choice: a", "A"), ("AB", None), ("3", None)]
)
def test_option_letter(answer: str, letter: str | None) -> None:
    assert option_letter(answer) == letter


def test_plain_takes_the_dress_off() -> None:
    assert plain(r" $\textbf{\text{Not\ sure}}$. ") == "Not sure"
    plain("\\text{" * 300_000)  # nested without end: linear, or the suite's time limit strikes
