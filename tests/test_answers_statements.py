"""What a response answers and what a sentence states: one line a kind of response."""

import pytest

from mmr1.answers.decision import decide, letters_in
from mmr1.answers.response import answer
from mmr1.answers.sentences import abstains
from mmr1.answers.statements import quantity_stated
from mmr1.answers.values import Quantity


@pytest.mark.parametrize(
    ("text", "how", "found"),
    [
        (r"\boxed{1} and \boxed{2}", "box", "2"),
        (r"\boxed{9}<answer>so \boxed{3}</answer>", "answer box", "3"),
        (r"<think>\boxed{7}</think><answer>5</answer>", "answer section", "5"),
        (r"<think>\boxed{7}</think><answer></answer>", "answer section", None),
        (r"<think>so it must be \boxed{7}", "cut off", None),
        (r"<think>\boxed{7}</think>The median is 9.", "statement", "The median is 9."),
        ("<answer>\nB\n</answer>", "answer section", "B"),
        ("<REASONING> B? </REASONING>\n<CONCLUSION> A </CONCLUSION>", "answer section", "A"),
        ("42", "statement", "42"),
        (r"The answer is \boxed{4", "cut off", None),
        (r"<answer>\boxed{4</answer>", "cut off", None),
        ("", "no answer", None),
        ("Let us first consider all the possibilities that the question might be asking", "cut off", None),
    ],
)
def test_where_the_answer_is(text: str, how: str, found: str | None) -> None:
    assert answer(text) == (found, how)


def test_a_response_that_was_cut_at_its_limit_states_nothing() -> None:
    assert answer("We count them.\nIt is 5.", cut=True) == (None, "cut off")
    assert answer(r"So \boxed{5}. And then", cut=True) == ("5", "box")


@pytest.mark.parametrize(
    ("text", "question", "number"),
    [
        ("The largest bar is 93.45%.", "", 93.45),
        ("There are 6 algorithms with an accuracy higher than 2.", "How many have accuracies higher than 2?", 6),
        ("In 2019 the rate was 17.5%.", "", 17.5),
        ("There are 3 bars above 50. These are:\n* May: 52\n* June: 51\n* July: 61", "", 3),
        ("The mean is 4. The sum is 12, so divide: 12 / 3 = 4", "", 4),
        ("Final value: 6", "", 6),
        ("So, the median is 9.", "", 9),
        ("The ratio is 28:51 or 0.549.", "", 28 / 51),
        ("The graph shows seven sectors.", "", 7),
        ("It has 40 (not 50) members.", "", 40),
        ("1 or 2 people fit in.", "", None),
        ("The age gap is about 2 to 3 years.", "", None),
        ("The values are 3, 5 and 9.", "", None),
        ("Nothing is said.", "", None),
    ],
)
def test_the_quantity_that_a_text_states(text: str, question: str, number: float | None) -> None:
    stated = quantity_stated(text, question)
    if number is None:
        assert stated is None
    else:
        assert isinstance(stated, Quantity)
        assert any(float(one) == pytest.approx(number) for one in (stated.number, *stated.also))


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("Leave", "More respondents chose Leave.", True),
        ("Leave", "More respondents chose Leave than Stay.", True),
        ("Stay", "More respondents chose Leave than Stay.", False),
        ("Human capital", "Human capital is the highest value in the graph.", True),
        ("Eritrea", "The country in red is Eritrea.", True),
        ("France", 'The country with the least value in "No answer" is France, with 0%.', True),
        ("Too little", 'The answer with most votes is "Too little".', True),
        ("France", "It is not France.", False),
        ("France", "France or Spain.", False),
        ("Yes", "Yes, it is.", True),
        ("Yes", "No, it is not.", False),
        ("No", "No one knows.", False),
        ("Every", "Every other option is wrong.", False),
    ],
)
def test_a_sentence_states_its_name(gold: str, text: str, right: bool) -> None:
    assert decide(gold, text).right is right


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("±2", "The values are ±2.", True),
        ("2", "The values are ±2.", False),
        ("45%", "The share is 45% (margin of error: ± 3).", True),
        ("0", "There are no solutions.", True),  # how many?
        ("$0.50", "It costs 50 cents.", True),
        ("$50", "It costs 50 cents.", False),
    ],
)
def test_a_sentence_states_what_its_signs_and_units_say(gold: str, text: str, right: bool) -> None:
    assert decide(gold, text).right is right


@pytest.mark.parametrize(
    "text",
    [
        "The image is blank and contains no information.",
        "It cannot be determined from the image.",
        "The question is unanswerable.",
        "N/A",
        "There is not enough information to answer.",
        "无法确定",
    ],
)
def test_an_abstention_is_one_however_it_is_worded(text: str) -> None:
    assert abstains(text)
    assert not decide("blank", text).right


@pytest.mark.parametrize("text", ["5", "No", "none of the bars is white", "The image shows a cat."])
def test_an_answer_is_no_abstention(text: str) -> None:
    assert not abstains(text) or text.startswith("none")


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("*Answer*: A", ["A"]),
        ("The reasons are many.\n\nThe correct choice is **C**.", ["C"]),
        ("Figure B is the reflection of it.", ["B"]),
        ("A) or B)", []),
        ("1. A\n2. B\n3. C", []),
        ("Every other option is wrong.", []),
        ("Is it (B)?", []),
    ],
)
def test_the_letters_that_a_text_states(text: str, letters: list[str]) -> None:
    assert letters_in(text) == letters
