r"""Where the answer of a response is.

The strict place, for the reward and for training data: the last `\boxed{}` of the `<answer>` section (`boxed_answer`).
As a reader finds it (`answer`): the `<answer>` section is the answer, its last box if it has one; without a section the
last box; without a box what the text says at its end. What stands in a thought is no answer.

Everything here is linear in the length of the text, whatever the text is: responses are a model's, and a model under a
reward finds what is slow.
"""

import re

from mmr1.answers.sentences import final, tail

BOX = "\\boxed"

# What can change the depth of braces. An escaped character, `\{` as much as `\\`, is taken whole and does not count.
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPENING = re.compile(r"\s*\{")
_SECTIONS = (("<answer>", "</answer>"), ("<CONCLUSION>", "</CONCLUSION>"))


def last_boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{…}` of a text, stripped; None where there is none or the last one never closes.

    Of nested boxes it is the one opened last. A `\boxed` that no brace follows is a mention of the command, and is
    passed over. An unclosed box is a response cut off in its answer: an earlier box is not taken for it.
    """
    end = len(text)
    while (start := text.rfind(BOX, 0, end)) >= 0:
        if opening := _OPENING.match(text, start + len(BOX)):
            return _up_to_closing_brace(text, opening.end())
        end = start
    return None


def _up_to_closing_brace(text: str, start: int) -> str | None:
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start : match.start()].strip()
    return None


def section(text: str, begin: str = "<answer>", end: str = "</answer>") -> str | None:
    """The last section between two tags, which may lack its end tag; None where there is none."""
    start = text.rfind(begin)
    if start < 0:
        return None
    start += len(begin)
    stop = text.find(end, start)
    return text[start : stop if stop >= 0 else None]


def boxed_answer(text: str) -> str | None:
    """The last box of the last `<answer>` section; None where there is no section or no closed box in it."""
    inside = section(text)
    return None if inside is None else last_boxed(inside)


def extract_answer(text: str) -> tuple[str | None, str]:
    """The box of a response and the rule that found it, for text whose form is not judged (SFT data).

    Rules, in this order: "answer box" is the last box of the last `<answer>` section, "box" the last box anywhere, "no
    box" none, with None for the answer. A box may be empty: the answer is then "".
    """
    boxed = boxed_answer(text)
    if boxed is not None:
        return boxed, "answer box"
    boxed = last_boxed(text)
    return (boxed, "box") if boxed is not None else (None, "no box")


def answer(text: str, cut: bool | None = None) -> tuple[str | None, str]:
    """The answer of a response as a reader finds it, and how it was found; (None, …) where there is none.

    "answer box" and "answer section": of the last `<answer>` (or `<CONCLUSION>`) section. "box": the last box outside
    of a thought. "statement": what the text says at its end. "cut off": the response ends inside its box, its thought
    or its last sentence; `cut` says whether it was stopped at its length limit, if that is known.
    """
    _, end_of_thought, rest = text.rpartition("</think>")
    text = rest if end_of_thought else text
    for begin, end in _SECTIONS:
        inside = section(text, begin, end)
        if inside is not None:
            return _of_section(inside)
    if "<think>" in text:
        return None, "cut off"
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed, "box"
    if re.search(r"\\boxed\s*\{", text) or cut:
        return None, "cut off"
    if not text.strip():
        return None, "no answer"
    whole = final(text) is not None or cut is False
    return (tail(text), "statement") if whole else (None, "cut off")


def _of_section(inside: str) -> tuple[str | None, str]:
    boxed = last_boxed(inside)
    if boxed is not None:
        return boxed, "answer box"
    if re.search(r"\\boxed\s*\{", inside):
        return None, "cut off"
    return inside.strip() or None, "answer section"
