r"""Accuracy (§6.1, Table 6): 1 where the answer of a response is the gold, else 0.

Binary, as in the paper: no partial credit, no substrings. The form is strict: the answer is the last `\boxed{}` of the
`<answer>` section, and a response without one earns nothing. What stands in the box is read as benchmarks read it
(`answers`):

- the gold is an option letter, or several ("A", "(C)", "A, C"): the same letters, bare or followed by their text;
- the gold is words ("Yes", "No", "False", "Bugs Bunny"): the same words, or a sentence that states them;
- the gold is a value (number, quantity, interval, point, list, formula, equation): the same value;
- what the grammar of values cannot read: math-verify.

Letters and words never reach a math parser: to it "E" is 2.718…, "No" is n·o, and "listen" equals "silent".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mmr1.answers.decision import Reading, decide, letters_in
from mmr1.answers.letters import gold_letters
from mmr1.answers.response import boxed_answer
from mmr1.plumbing.settings import Section
from mmr1.rewards import Response, Scores
from mmr1.rewards.verifier.verify import Outcome, Verifier

TITLE = "Accuracy"
EXAMPLE = """
grpo:
  rewards: {accuracy: 1.0, format: 1.0}
"""
COLUMNS = ("extracted", "reason")


def score(responses: Sequence[Response], settings: Section, verifier: Verifier) -> Scores:
    """1.0 for a right answer, 0.0 for any other; the answers as they were read, and what decided."""
    problems = [one.problem for one in responses]
    verdicts = judge(
        [one.answer for one in problems],
        [one.text for one in responses],
        verifier,
        [one.question for one in problems],
    )
    return Scores(
        [one.accuracy for one in verdicts],
        {"extracted": [one.extracted for one in verdicts], "reason": [one.reason for one in verdicts]},
    )


def prepare(responses: Sequence[Response], settings: Section, verifier: Verifier) -> None:
    """Read and compare answers: readings and the verifier remember them."""
    score(responses, settings, verifier)


@dataclass(frozen=True)
class Verdict:
    """Whether a response is right."""

    accuracy: float  # 0.0 or 1.0
    extracted: str | None  # the content of the answer section's last box; None if there is none
    reason: str  # what decided: "no box", "empty box", "letter", "words", "equal", "different", "timeout", "error"


def judge(
    golds: Sequence[str], texts: Sequence[str], verifier: Verifier, questions: Sequence[str] | None = None
) -> list[Verdict]:
    """Judge the response `texts[i]` against `golds[i]`, for each i; `questions[i]` is what was asked, if it is known.

    Reason "timeout" or "error" means that there is no verdict, nearly always of math-verify: accuracy is 0.
    """
    asked = questions or [""] * len(golds)
    answers = [boxed_answer(text) for text in texts]
    readings = [_read(*one) for one in zip(golds, answers, asked, strict=True)]
    outcomes = iter(verifier.verify([reading.ask for reading in readings if reading.ask]))
    judged = []
    for answer, reading in zip(answers, readings, strict=True):
        right, reason = _by_outcome(next(outcomes)) if reading.ask else (reading.right, reading.reason)
        judged.append(Verdict(float(right), answer, reason))
    return judged


def _by_outcome(outcome: Outcome) -> tuple[bool, str]:
    return outcome is Outcome.EQUAL, outcome.value


@lru_cache(200_000)  # a group shares its gold, and most of its answers
def _read(gold: str, answer: str | None, question: str) -> Reading:
    if answer is None:
        return Reading(False, "no box")
    if not answer:
        return Reading(False, "empty box")
    if letters := gold_letters(gold):
        return Reading(letters_in(answer) == letters, "letter")
    return decide(gold, answer, question)
