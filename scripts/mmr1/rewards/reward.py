r"""The reward of a response (§6.1, Table 6): accuracy and format, each 0 or 1.

Accuracy is binary, as in the paper: no partial credit, no substrings. What is compared is the last box. Three kinds of
gold, three rules:

- an option letter ("A", "(C)"): the answer must be that letter, bare or followed by its text ("C. 12 cm");
- words ("Yes", "No", "False", "Bugs Bunny"): the same words, whatever their case;
- the rest: math-verify.

The first two never reach a math parser: to it "E" is 2.718…, "No" is n·o, and "listen" equals "silent".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmr1.rewards.extract import extract_answer, well_formed
from mmr1.rewards.verify import Outcome, Verifier


@dataclass(frozen=True)
class Judged:
    """What a response earned. The trainer adds the two up with the recipe's weights."""

    accuracy: float  # 0.0 or 1.0
    format: float  # 0.0 or 1.0
    extracted: str | None  # the content of the last box; None if there is none
    reason: str  # how accuracy came about: "no box", "empty box", "letter", "words", or math-verify's `Outcome`


def judge(golds: Sequence[str], texts: Sequence[str], *, workers: int, seconds: float) -> list[Judged]:
    """Judge responses against their golds, with processes that end with the call. See `judge_with`."""
    with Verifier(workers, seconds) as verifier:
        return judge_with(verifier, golds, texts)


def judge_with(verifier: Verifier, golds: Sequence[str], texts: Sequence[str]) -> list[Judged]:
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
    for text, answer, verdict in zip(texts, answers, verdicts, strict=True):
        right, reason = verdict or _by_outcome(next(outcomes))
        judged.append(Judged(float(right), float(well_formed(text)), answer, reason))
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
