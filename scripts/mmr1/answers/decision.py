"""Whether an answer is its gold, where no choices are listed: one decision for the reward and for benchmarks."""

import re
from dataclasses import dataclass

from mmr1.answers.comparison import SameNumber, same
from mmr1.answers.expressions import equal_numbers
from mmr1.answers.letters import denies, letters, mentioned
from mmr1.answers.notation import normal
from mmr1.answers.reading import read
from mmr1.answers.sentences import abstains, conclusion, final, last_sentences, marked, only_lists, sentences
from mmr1.answers.statements import quantity_stated, states_nothing, states_text
from mmr1.answers.texts import same_text
from mmr1.answers.values import YEARS, Quantity, Text, Value

ERRORS = (ArithmeticError, TypeError, ValueError, RecursionError)  # what an answer that nobody thought of can raise
MAX_FOR_MATH = 400  # characters; math-verify is not asked about more, as no gold is that long
MAX_WORDS = 2  # words in an answer that is math; of a sentence math-verify would pick a number to its liking
_MATH = re.compile(r"[\d\\^_=+*/<>|∞πθ√]")
_RATIO = re.compile(r"\d+\s*:\s*\d+")
_INEQUALITY = re.compile(r"[<>≤≥≠]")
_HEDGE = re.compile(r"\b(?:not|never|or|least|most|more|less|than|between|to)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """What came of reading an answer beside its gold.

    `ask` is set where math-verify has to compare (gold, answer). `open` marks an answer that was found wrong without
    certainty: what a judge may be asked about.
    """

    right: bool
    reason: str  # "words", "equal", "different", "abstention", "statement", "nothing stated", "error"
    ask: tuple[str, str] | None = None
    open: bool = False


def decide(gold: str, answer: str, question: str = "", same_number: SameNumber = equal_numbers) -> Reading:
    """Whether an answer is, or states in a sentence, the gold's value or words. Never raises.

    One answer in a million that this grammar trips over is wrong, for the reason "error": it must not end a training.
    """
    try:
        return _decide(gold, answer, question, same_number)
    except ERRORS:
        return Reading(False, "error", open=True)


def _decide(gold: str, answer: str, question: str, same_number: SameNumber) -> Reading:
    if _RATIO.fullmatch(normal(gold)):
        answer = re.sub(r"(?<=\d) to (?=\d)", ":", answer)
    gold_value, value = read(gold), read(answer)
    kind = "words" if isinstance(gold_value, Text) else "equal"
    if same_text(normal(gold), normal(answer)):
        return Reading(True, kind)
    verdict = same(gold_value, value, same_number)
    if verdict is not None:
        certain = verdict or isinstance(value, Quantity)
        return Reading(verdict, kind if verdict else "different", open=not certain)
    if isinstance(gold_value, Quantity) and gold_value.number == 0 and states_nothing(answer):
        return Reading(True, "statement")
    if abstains(final(answer) or answer) and not abstains(gold):
        return Reading(False, "abstention")
    if not _no_arithmetic(normal(answer)) and _states(gold, gold_value, answer, question, same_number):
        return Reading(True, "statement")
    return _by_math_verify(gold, gold_value, answer, value)


def _states(gold: str, gold_value: Value, answer: str, question: str, same_number: SameNumber) -> bool:
    """Whether a sentence, or several, say the gold."""
    if isinstance(gold_value, Quantity):
        quantity = quantity_stated(answer, question, year=gold_value.number in YEARS)
        return quantity is not None and same(gold_value, quantity, same_number) is True
    if isinstance(gold_value, Text):
        return states_text(gold, answer)
    for part in (marked(answer), final(answer)):
        for said in (part, re.split(r"\b(?:is|are|to be)\b(?: at\b)?|:", part)[-1]) if part else ():
            if same(gold_value, read(said), same_number):
                return True
    return False


def _by_math_verify(gold: str, gold_value: Value, answer: str, value: Value) -> Reading:
    """What the grammar cannot read, if it is math: math-verify would pick a number out of any sentence."""
    golds, answers = normal(gold), normal(answer)
    wordy = len(answers) > MAX_FOR_MATH or _words(answers) > max(MAX_WORDS, _words(golds))
    says_more = any(not pattern.search(golds) and pattern.search(answers) for pattern in (_INEQUALITY, _HEDGE))
    math = _MATH.search(golds) and _MATH.search(answers) and not isinstance(value, Quantity)
    if (
        not math
        or wordy
        or says_more
        or (isinstance(gold_value, Text) and _no_arithmetic(golds))
        or _no_arithmetic(answers)
    ):
        return Reading(False, "words" if isinstance(gold_value, Text) else "different", open=True)
    return Reading(False, "math-verify", ask=(gold.strip().strip("$"), answer.strip().strip("$")), open=True)


def _no_arithmetic(text: str) -> bool:
    """Digits that stand for no number: two numbers side by side, a time, a date, a range, `1=2=3`, `9<`."""
    return re.fullmatch(r"[\d\s:/.,=%°<>≤≥≠-]+", text) is not None


def _words(text: str) -> int:
    return len(re.findall(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}", text))


def letters_in(answer: str) -> list[str]:
    """The sorted letters that an answer names: all of it, or its last statement. Never raises."""
    try:
        return _letters_in(answer)
    except ERRORS:
        return []


def _letters_in(answer: str) -> list[str]:
    if only_lists(answer):
        return []
    lines = [line.strip() for line in answer.strip().split("\n")]
    if len(lines) > 1 and all(re.fullmatch("[A-H]", line) for line in lines):
        return sorted(set(lines))
    parts = [marked(answer), *first_letter(answer), final(answer)]
    parts = parts if len(sentences(answer)) > 1 else [answer, *parts[:1]]
    for part in parts:
        for said in dict.fromkeys((conclusion(part), part)) if part else ():
            if named := letters(normal(said)):
                return named
    if len(answer.split()) < 2:
        return []
    for sentence in last_sentences(answer):
        if (name := mentioned(normal(conclusion(sentence)))) and not denies(normal(conclusion(sentence))):
            return [name]
        if re.search(r"(?<!\w)[A-H](?!\w)", sentence):
            break
    return []


def first_letter(answer: str) -> list[str]:
    """The first of several sentences, where it begins with a letter: "(B) 12 cm. Since …"."""
    line = normal(answer.strip().split("\n", 1)[0])
    return [line] if re.match(r"[*(\[]*[A-H][)\].:]", line) else []
