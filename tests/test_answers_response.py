import random

import pytest

from mmr1.answers.response import extract_answer, last_boxed
from mmr1.rewards.format import well_formed

GOOD = r"<think>3+5=8</think><answer>\boxed{8}</answer>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{8}", "8"),
        (r"first \boxed{7}, no: \boxed{8}.", "8"),
        (r"\boxed{ 8 }", "8"),
        (r"\boxed {8}", "8"),
        (r"\boxed{\frac{1}{\sqrt{2}}} is it", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x \mid x > 0\right.}", r"\left\{x \mid x > 0\right."),
        (r"\boxed{a \\{b}}", r"a \\{b}"),  # a line break and a group, not an escaped brace
        (r"\boxed{x = \boxed{5}}", "5"),
        ("\\boxed{two\nlines}", "two\nlines"),
        (r"\boxed{}", ""),
        (r"\boxed{5}, as \boxed asks", "5"),  # the command is mentioned, not used
        (r"\boxed{5} and \boxed{6", None),  # cut off while it changed its mind
        (r"\boxed{5\}", None),
        ("the answer is 8", None),
        ("", None),
    ],
)
def test_last_boxed(text: str, expected: str | None) -> None:
    assert last_boxed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, ("8", "answer box")),
        (r"<think>\boxed{7}?</think><answer>\boxed{8}</answer> \boxed{9}", ("8", "answer box")),
        (r"<answer>\boxed{8}", ("8", "answer box")),
        (r"<think>\boxed{7}</think><answer>seven</answer>", ("7", "box")),
        (r"it is \boxed{8}", ("8", "box")),
        (r"<answer>8</answer>", (None, "no box")),
    ],
)
def test_extract_answer_says_which_rule_found_it(text: str, expected: tuple[str | None, str]) -> None:
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    "text",
    [GOOD, f"\n{GOOD}\n", "<think>\na\n</think>\n\n<answer>\nIt is \\boxed{\\frac{1}{2}}.\n</answer>"],
)
def test_well_formed(text: str) -> None:
    assert well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        r"\boxed{8}",
        r"<answer>\boxed{8}</answer>",
        r"<think> </think><answer>\boxed{8}</answer>",
        r"<think>a</think><answer>8</answer>",
        r"<think>a</think><answer>\boxed{}</answer>",
        r"<think>a</think><answer>\boxed{8</answer>",
        r"<think>\boxed{8}</think><answer>8</answer>",
        r"<think>a</think> and <answer>\boxed{8}</answer>",
        r"<think>a</think><answer>\boxed{8}</answer> done",
        r"<think>a<answer>\boxed{8}</answer></think>",
        r"<answer>\boxed{8}</answer><think>a</think>",
        r"<think>a</think><answer>\boxed{7}</answer><answer>\boxed{8}</answer>",
        r"<think>a</think></think><answer>\boxed{8}</answer>",
    ],
)
def test_malformed(text: str) -> None:
    assert not well_formed(text)


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "\\boxed", "\\boxed ", "{", "}", "\\", "\\{", "<answer>", "<think>", "</answer>", " ", "a"]
)
def test_long_repetitive_text_takes_linear_time(piece: str) -> None:
    # Anything quadratic takes minutes on 2 MB, and the suite's time limit would strike.
    text = GOOD[:-9] + piece * (2_000_000 // len(piece))
    last_boxed(text)
    extract_answer(text)
    well_formed(text)


def test_any_text_has_an_answer_or_none() -> None:
    pieces = ["\\boxed", "{", "}", "\\", "<answer>", "</answer>", "<think>", "</think>", " ", "8", "\n", "é"]
    rng = random.Random(0)
    for _ in range(5_000):
        text = "".join(rng.choices(pieces, k=rng.randrange(30)))
        answer, rule = extract_answer(text)
        assert (answer is None) == (rule == "no box")
        assert answer is None or answer in text
        if well_formed(text):
            assert rule == "answer box"
