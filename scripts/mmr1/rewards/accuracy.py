r"""Accuracy (§6.1, Table 6): 1 where the answer of a response is the gold, else 0.

Binary, as in the paper: no partial credit, no substrings. What is compared is the last box. Three kinds of gold, three
rules:

- an option letter ("A", "(C)"): the answer must be that letter, bare or followed by its text ("C. 12 cm");
- words ("Yes", "No", "False", "Bugs Bunny"): the same words, whatever their case;
- the rest: math-verify.

The first two never reach a math parser: to it "E" is 2.718…, "No" is n·o, and "listen" equals "silent".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmr1.plumbing.settings import Section
from mmr1.rewards import Response, Scores
from mmr1.rewards.reading.extract import extract_answer
from mmr1.rewards.verifier.verify import Outcome, Verifier

TITLE = "Accuracy"
EXAMPLE = """
grpo:
  rewards: {accuracy: 1.0, format: 1.0}
"""
COLUMNS = ("extracted", "reason")


def score(responses: Sequence[Response], settings: Section, verifier: Verifier) -> Scores:
    """1.0 for a right answer, 0.0 for any other; the answers as they were read, and what decided."""
    verdicts = judge([one.problem.answer for one in responses], [one.text for one in responses], verifier)
    return Scores(
        [one.accuracy for one in verdicts],
        {"extracted": [one.extracted for one in verdicts], "reason": [one.reason for one in verdicts]},
    )


@dataclass(frozen=True)
class Verdict:
    """Whether a response is right."""

    accuracy: float  # 0.0 or 1.0
    extracted: str | None  # the content of the last box; None if there is none
    reason: str  # how accuracy came about: "no box", "empty box", "letter", "words", or math-verify's `Outcome`


def judge(golds: Sequence[str], texts: Sequence[str], verifier: Verifier) -> list[Verdict]:
    """Judge the response `texts[i]` against `golds[i]`, for each i.

    Reason "timeout" or "error" means that math-verify came to no verdict: accuracy is 0.
    """
    answers = [extract_answer(text)[0] for text in texts]
    verdicts = [_by_rule(gold, answer) for gold, answer in zip(golds, answers, strict=True)]
    pairs = [
        (gold, answer or "") for gold, answer, verdict in zip(golds, answers, verdicts, strict=True) if not verdict
    ]
    outcomes = iter(verifier.verify(pairs))
    judged = []
    for answer, verdict in zip(answers, verdicts, strict=True):
        right, reason = verdict or _by_outcome(next(outcomes))
        judged.append(Verdict(float(right), answer, reason))
    return judged


def _by_outcome(outcome: Outcome) -> tuple[bool, str]:
    return outcome is Outcome.EQUAL, outcome.value


def _by_rule(gold: str, answer: str | None) -> tuple[bool, str] | None:
    """(right, reason) where no math is needed, else None."""
    if answer is None:
        return False, "no box"
    if not answer:
        return False, "empty box"
    gold_text = plain(gold)
    if letter := _LETTER.fullmatch(gold_text):
        return option_letter(answer) == letter.group(1), "letter"
    if _WORDS.fullmatch(gold_text) and (_LONG_WORD.search(gold_text) or gold_text.casefold() == "no"):
        return plain(answer).casefold() == gold_text.casefold(), "words"
    return None


_LETTER = re.compile(r"\(?([A-Z])[.):]?")
_OPTION = re.compile(r"(?:(?:option|choice|answer)\b:?\s*)?\(?([A-Z])(?:[.):]+(?:\s.*)?)?", re.IGNORECASE | re.DOTALL)
_WORDS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")
_LONG_WORD = re.compile(r"[^\W\d_]{4}|\b(?:yes)\b", re.IGNORECASE)  # shorter ones may be products: "xy", "abc"

_WRAPPER = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|bf|rm|boldsymbol|mbox)\s*\{([^{}]*)\}"
)
_DEEPEST = 4  # wrappers inside wrappers that are taken off
_SPACE = re.compile(r"(?:\\[,;:! ]|~|\\quad|\s)+")


def plain(text: str) -> str:
    r"""A letter or words without their dress: `$\text{Yes}$.`, `**Yes**` and ` Yes ` become `Yes`."""
    for _ in range(_DEEPEST):
        text = _WRAPPER.sub(r"\1", text)
    return _SPACE.sub(" ", text.replace("$", "").replace("**", "")).strip().rstrip(".").rstrip()


def option_letter(answer: str) -> str | None:
    """The option, "A" to "Z", that an answer names: "c", "(C)", "C.", "C) 12 cm", "Option C"; None if it names none."""
    match = _OPTION.fullmatch(plain(answer))
    return match.group(1).upper() if match else None
