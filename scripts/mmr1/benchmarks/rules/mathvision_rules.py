"""MathVision's published scoring procedure, rewritten from its behaviour (facts: benchmarks.md).

`extract` takes the answer from a response, `equal` compares it with the gold letter or the gold option's text. The
odd cases are kept, because they decide published verdicts: everything is lowercase, what follows the last `=` counts,
only some units are removed, and option texts are compared as they are printed in the data.
"""

import re
from collections.abc import Callable, Collection, Mapping

from mmr1.benchmarks.rules.latex_number import evaluate

_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_BOX = "oxed{"

# In this order, on lowercase text: what the published cleaning removes or rewrites before and after its own splits.
_FIRST = (
    (" ", ""), ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""), ("\\text", ""),
    ("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""),
    ("{m}^3", ""), ("m^3", ""), ("{units}", ""), ("units", ""), ("{km}", ""), ("km", ""),
    ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
    ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""), ("$", ""),
)  # fmt: skip
_SECOND = (("\\%", ""), (" .", " 0."), ("{.", "{0."))
_LETTER_MARKS = tuple((f"{left}{letter}{right}", letter) for left, right in ("()", "{}") for letter in "abcde")


def extract(response: str, without: Collection[str] = ()) -> str:
    """The answer in a response, cleaned and lowercase; may be empty.

    `without` names steps of `STEPS` to leave out, to measure what each is worth.
    """
    answer = _each(_FINDING, response.strip(), without).lower().replace("{}", "")
    answer = _each(_CLEANING, answer, without)
    return answer.rstrip(".").lstrip(":").strip()


def equal(gold: str, answer: str) -> bool:
    """Whether two answers are the same text, the same tuple, or the same number after rounding to two decimals."""
    gold, answer = gold.lower(), answer.lower()
    if not gold.replace(" ", "") or not answer.replace(" ", ""):
        return False
    if gold.strip() == answer.strip():
        return True
    gold, answer = _rounded_tuple(gold), _rounded_tuple(answer)
    if gold == answer:
        return True
    left, right = evaluate(gold), evaluate(answer)
    return left is not None and right is not None and round(left, 2) == round(right, 2)


def _each(steps: Mapping[str, Callable[[str], str]], text: str, without: Collection[str]) -> str:
    for name, step in steps.items():
        if name not in without:
            text = step(text)
    return text


def _stated_letter(answer: str) -> str:
    """The letter that a response begins or ends with."""
    for letter in "ABCDE":
        if answer.endswith((f" {letter}.", f" ({letter}).")) or answer.startswith(
            (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        ):
            answer = letter
    return answer


def _stated_number(answer: str) -> str:
    """What follows the last "is ", if it is a number."""
    after_is = answer.split("is ")[-1].rstrip(".")
    return after_is if _is_float(after_is) else answer


def _statement(answer: str) -> str:
    """From the last of several boxes on; without a box, what follows the last of some phrases."""
    if _BOX not in answer:
        return _after_phrases(answer)
    return "\\boxed{" + answer.split(_BOX)[-1] if answer.count(_BOX) > 1 else answer


def _box(text: str) -> str:
    """The content of the box, and nothing that stands behind a brace which was never opened."""
    box, last_brace = text.find(_BOX), text.rfind("}")
    if 0 <= box <= last_brace - len(_BOX):
        text = text[box + len(_BOX) : last_brace]
    closing, opening = text.find("}"), text.find("{")
    if closing != -1 and (opening == -1 or closing < opening):
        text = text[:closing]
    return text


def _last_side(text: str) -> str:
    """What follows the last `=` or `\\approx`."""
    return text.split("=")[-1].split("\\approx")[-1]


def _symbols(text: str) -> str:
    """Without spacing, wrappers, degrees, some units and dollar signs; `.5` as `0.5`."""
    text = _replaced(text, _FIRST)
    text = _replaced(text.split("\\text{ ")[0], _SECOND)
    return "0" + text if text.startswith(".") else text


def _fractions(text: str) -> str:
    """Roots and fractions with all their braces, and 0.5 and 1/2 as fractions."""
    if "sqrt" in text:
        # Short fractions are written out only where there is a root: so does the published scorer.
        text = _braced_fractions(_braced_roots(text).replace(" ", ""))
    text = text.replace(" ", "")
    if text == "0.5":
        return "\\frac{1}{2}"
    return _slash_as_fraction(text)


def _letter_marks(text: str) -> str:
    """(a) and {a} as a."""
    return _replaced(text, _LETTER_MARKS)


def _after_phrases(answer: str) -> str:
    for phrase in _PHRASES:
        for spelled in (phrase, phrase.replace("the", "The")):
            if spelled in answer:
                answer = answer.split(spelled)[-1].strip().split("\n")[0].split(". ")[0]
            else:
                answer = answer.strip()
    return answer


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def _braced_roots(text: str) -> str:
    """`\\sqrt3` with its braces, `\\sqrt{3}`."""
    return re.sub(r"\\sqrt([^{\\]|\\(?!sqrt))", r"\\sqrt{\1}", text, flags=re.DOTALL)


def _braced_fractions(text: str) -> str:
    """`\\frac12` with its braces, `\\frac{1}{2}`; unchanged if one of them is cut short."""
    first, *rest = text.split("\\frac")
    parts = [first]
    for part in rest:
        if part.startswith("{"):
            parts.append(part)
        elif len(part) < 2:
            return text
        elif part[1] == "{":
            parts.append(f"{{{part[0]}}}{part[1:]}")
        else:
            parts.append(f"{{{part[0]}}}{{{part[1]}}}{part[2:]}")
    return "\\frac".join(parts)


def _slash_as_fraction(text: str) -> str:
    match = re.fullmatch(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)", text)
    return f"\\frac{{{match[1]}}}{{{match[2]}}}" if match else text


def _rounded_tuple(text: str) -> str:
    """`(1.001, 2)` as `(1.0,2)`: each element rounded to two decimals, or the text as it is if one is no number."""
    elements = text[1:-1].split(",")
    if text[:1] + text[-1:] not in ("()", "[]") or len(elements) < 2:
        return text
    rounded = []
    for element in elements:
        if "infty" in element or element in ("a", "-a"):
            rounded.append(element)
            continue
        value = evaluate(element)
        if value is None:
            return text
        try:
            rounded.append(str(round(value, 2)))
        except ValueError:  # more digits than Python prints
            return text
    return f"{text[0]}{','.join(rounded)}{text[-1]}"


_FINDING: dict[str, Callable[[str], str]] = {
    "stated letter": _stated_letter,
    "stated number": _stated_number,
    "statement": _statement,
}
_CLEANING: dict[str, Callable[[str], str]] = {
    "box": _box,
    "last side": _last_side,
    "symbols": _symbols,
    "fractions": _fractions,
    "letter marks": _letter_marks,
}
STEPS = (*_FINDING, *_CLEANING)
