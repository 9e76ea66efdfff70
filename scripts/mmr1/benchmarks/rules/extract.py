"""Where the answer of a response is: the last box, else the `<answer>` section, else a stated phrase (§6.1)."""

import re

from mmr1.benchmarks.base import Response
from mmr1.rewards.reading.extract import BOX, extract_answer

SHORT = 60  # a response of one line and at most this many characters is taken to be the answer

# "the answer is", "Answer:", "The correct option is": what stands behind the last of them, to the end of the line.
_PHRASE = re.compile(
    r"\b(?:answer|option|choice)(?: letter)?\s*(?::|=|\b(?:is|would be|should be|must be)\b:?)\s*"
    r"|答案(?:是|为|:|：)\s*",
    re.IGNORECASE,
)
_ANSWER_SECTION = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)


def extract(response: Response) -> tuple[str | None, str]:
    """The answer as it stands in the response, and how it was found; (None, …) where there is none.

    "given": someone else extracted it. "answer box" and "box": the last box, of the last `<answer>` section if that has
    one. "answer section": the section's text. "phrase": what follows the last "answer is". "whole": a short response.
    A response that was cut off inside its box, or says nothing of these, has no answer.
    """
    if response.given is not None:
        return response.given, "given"
    boxed, how = extract_answer(response.text)
    if boxed is not None:
        return boxed, how
    if f"{BOX}{{" in response.text:
        return None, "cut off"
    if sections := _ANSWER_SECTION.findall(response.text):
        return sections[-1].strip() or None, "answer section"
    return _stated(response.text)


def _stated(text: str) -> tuple[str | None, str]:
    text = text.rsplit("</think>", 1)[-1].strip()
    if phrases := list(_PHRASE.finditer(text)):
        line = text[phrases[-1].end() :].strip().split("\n", 1)[0]
        return re.split(r"\.\s", line, maxsplit=1)[0].strip() or None, "phrase"
    if text and "\n" not in text and len(text) <= SHORT:
        return text, "whole"
    return None, "no answer"
