r"""Where the answer of a response is: the last `\boxed{}`, of the `<answer>` section where that has one.

Everything here is linear in the length of the text, whatever the text is: responses are a model's, and a model under a
reward finds what is slow.
"""

import re

BOX = "\\boxed"

# What can change the depth of braces. An escaped character, `\{` as much as `\\`, is taken whole and does not count.
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPENING = re.compile(r"\s*\{")


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


def extract_answer(text: str) -> tuple[str | None, str]:
    """The answer of a response and the rule that found it.

    Rules, in this order: "answer box" is the last box of the last `<answer>` section (which may lack its end tag),
    "box" the last box anywhere, "no box" none, with None for the answer. A box may be empty: the answer is then "".
    """
    start = text.rfind("<answer>")
    if start >= 0:
        end = text.find("</answer>", start)
        boxed = last_boxed(text[start : end if end >= 0 else None])
        if boxed is not None:
            return boxed, "answer box"
    boxed = last_boxed(text)
    return (boxed, "box") if boxed is not None else (None, "no box")
