"""The judge of what no rule could decide: who is asked about, in which words, and what its replies mean."""

from dataclasses import replace

import pytest

from benchmark_fixtures import ANSWERS, BENCHMARKS, CHARTS
from mmr1.benchmarks.base import Decision, Response
from mmr1.benchmarks.judge import CONTROLS, add_judge, questions, undecided, verdict
from mmr1.benchmarks.score import Item, judge_items, scores
from mmr1.data.problems import Problem
from mmr1.plumbing.errors import UserError
from mmr1.rewards.verifier.verify import Verifier

YES, NO = Response("Yes.", finish_reason="stop"), Response("no", finish_reason="stop")


PROBLEM = Problem("1", "mathvista", "<image>\nWhich?", (b"",), "B", "letter", ("7", "8"))


def item(reading: Decision, text: str = "", finish_reason: str | None = "stop", problem: Problem = PROBLEM) -> Item:
    """A response of which `reader` has made this."""
    return Item(problem, Response(text, None, finish_reason), {"official": reading, "reader": reading})


OPEN = Decision(False, "text", "the latter", "the latter", open=True)
NOTHING = Decision(False, "no answer", None)
SENTENCE = "A handful, as anybody can see."


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        (item(OPEN), True),
        (item(replace(OPEN, open=False)), False),  # 6 for 5
        (item(replace(OPEN, correct=True)), False),
        (item(NOTHING, SENTENCE), True),
        (item(NOTHING, SENTENCE, finish_reason=None), True),
        (item(NOTHING, "<think>I see one, two", finish_reason="length"), False),
        (item(NOTHING, " \n"), False),
        (item(OPEN, problem=replace(PROBLEM, answer=" ")), False),  # there is no gold
    ],
)
def test_it_is_asked_where_no_rule_could_decide_and_where_none_found_an_answer(one: Item, asked: bool) -> None:
    assert undecided(one) is asked
    assert [problem.id for problem in questions([one])] == [*CONTROLS, *(["1#0"] if asked else [])]


def test_it_sees_the_choices_and_no_image_and_no_words_of_a_chat_template() -> None:
    text = "<think>I see</think>The <image>latter<|im_end|> of them: <|image_pad|>."
    *_, extracted, ended = questions([item(OPEN), item(NOTHING, text)])
    expected = "Question: Which?\nChoices:\n(A) 7\n(B) 8\nReference answer: B: 8\nStudent's "
    assert expected + "answer: the latter\n" in extracted.question
    assert expected + "response, its end: The  latter< |im_end|> of them: < |image_pad|>.\n" in ended.question
    assert extracted.images == ended.images == ()


@pytest.mark.parametrize(("answer", "asked"), [("the rightmost bar", True), ("7.5", True), ("7", False), ("E", False)])
def test_an_answer_that_is_none_of_the_choices_is_undecided(answer: str, asked: bool) -> None:
    problem = replace(PROBLEM, answer="8", answer_type="text")
    response = Response(f"\\boxed{{{answer}}}")
    reading = BENCHMARKS["mathvista"].reader(problem, response)
    assert undecided(item(reading, response.text, problem=problem)) is asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", True), ("No.", False), ("**Yes**\n", True), ("<think>Yes? No.</think>\n**No**", False),
        ("no</think>yes", True), ("<think>yes", None), ("maybe", None), ("yes and no", None), ("", None),
        ("Yes, they agree", None),
    ],
)  # fmt: skip
def test_a_reply_is_one_word_after_its_thinking(text: str, said: bool | None) -> None:
    assert verdict(Response(text, finish_reason="stop")) is said
    assert verdict(Response(text, finish_reason="length")) is None


def test_a_third_score_beside_the_two() -> None:
    """Of a real rule: President Biden may be Joe Biden, Grey is Gray."""
    chartqa = BENCHMARKS["chartqa"]
    pairs = [(chartqa.to_problem(row, 0), Response(ANSWERS[row["id"]])) for row in CHARTS]
    with Verifier(1, 5) as verifier:
        items = judge_items(chartqa, pairs, verifier)
    judged, told = add_judge(items, {"control-yes": YES, "control-no": NO, "c#0": YES})
    assert told == {"asked": 1, "no_verdict": 0, "failed_controls": 0}
    result = scores(chartqa, judged)["scores"]
    assert (result["reader"]["correct"], result["judge"]["correct"]) == (2, 3)
    assert [one.decisions["judge"].rule for one in judged] == [
        items[0].decisions["reader"].rule, items[1].decisions["reader"].rule, "judge"
    ]  # fmt: skip


def test_words_that_are_no_verdict_leave_an_answer_wrong_and_are_counted() -> None:
    [judged], told = add_judge([item(OPEN)], dict.fromkeys(["1#0", *CONTROLS], Response("perhaps")))
    assert told == {"asked": 1, "no_verdict": 1, "failed_controls": 2}
    assert (judged.decisions["judge"].correct, judged.decisions["judge"].rule) == (False, "no verdict")


def test_replies_about_other_predictions_are_refused() -> None:
    with pytest.raises(UserError, match="1#0: expected a reply, found none"):
        add_judge([item(OPEN)], {"control-yes": YES, "control-no": NO})
    with pytest.raises(UserError, match="x#0: expected replies about these predictions, found another's"):
        add_judge([item(OPEN)], {"1#0": YES, "x#0": YES})


def test_a_comparison_that_hits_its_time_limit_only_now_was_not_asked_about() -> None:
    [judged], told = add_judge([item(replace(OPEN, rule="timeout"))], {"control-yes": YES, "control-no": NO})
    assert told["no_verdict"] == 1
    assert not judged.decisions["judge"].correct
