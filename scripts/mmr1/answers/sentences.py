"""Where a text states its answer: its sentences, what marks an answer, its end, and what abstains.

A text of several sentences states its answer behind a marker ("the answer is", "Final value:"), or at its end.
"""

import re
from functools import lru_cache

LONGEST = 4_000  # characters of a text that is read for what it states: its end
LONGEST_SENTENCE = 600
LAST = 3  # sentences at the end of a text that may state its answer


# --- Abstentions

_ABSTENTION = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|impossible to|not possible to|insufficient|not enough)"
    r"(?: \w+){0,4}? (?:be )?(?:determin\w+|answer\w*|identif\w+|tell|say|provide|see|know\w*|find|found|view|state\w*"
    r"|information|data|detail\w*|given|provided|calculat\w+|comput\w+|solv\w+|assess\w*|seen|read|infer\w*)"
    r"|\b(?:cannot|can not|can't) (?:say|tell)\b"
    r"|\b(?:not|n't) (?:provided|given|visible|shown|available|specified|present|relevant|applicable|sure|known|clear"
    r"|enough|determin\w+|contain|provide|show|include|depict|have (?:any|enough|sufficient))\b"
    r"|\b(?:contains?|provides?|shows?|has|have|with|there is|is) no (?:\w+ )?"
    r"(?:information|content|data|image|answer|graph"
    r"|figure|evidence|discernible|visible|relevant)"
    r"|\b(?:unanswerable|undetermined|indeterminate|unknown|uncertain|unclear|irrelevant|not applicable)\b"
    r"|\bimage (?:\w+ )*?is (?:\w+ )?(?:blank|empty|white|missing|irrelevant)\b"
    r"|^(?:n/?a|none|no answer|no information|maybe|无法|不能|不确定)\b|无法|不确定"
    r"|\b(?:none of|not (?:equal (?:to )?|match |correspond to |among |one of |any of )(?:any of )?) ?(?:the )?"
    r"(?:given |above |listed |answer |provided )*(?:options|choices|answers)\b"
    r"|\bi (?:do not|don't) know\b|\bno (?:information|answer|image|data) (?:is |was )?(?:provided|given|available)",
    re.IGNORECASE,
)


def abstains(text: str) -> bool:
    """Whether a text says that there is no answer: "cannot be determined", "The image is blank", "N/A"."""
    return _ABSTENTION.search(text[-LONGEST:].replace("’", "'")) is not None


# --- Sentences

_MARKER = re.compile(
    r"(?:\b(?:(?:the|my) )?(?:(?:correct|final|right|best|most likely|closest|most appropriate|most accurate) )*"
    r"(?:answer|option|choice|final value|final result)s?(?: letter| choice| option)?"
    r"(?: (?:to|for|of|that|which|in|from|among|based) [^.:\n]{1,100}?)?[*_ ]*"
    r"(?:\s*[:：=]|\s+(?:is|are|would be|should be|must be|will be)\b\s*(?:therefore |thus )?:?)"
    r"|(?:答案|(?<!以下)结论)(?:应该|应)?\s*(?:是|为)?\s*[:：]?)[*_\s]*",
    re.IGNORECASE,
)
_REFUTES = re.compile(
    r"[*_\s]*(?:also |all |both )?(?:not|in(?:correct|valid|accurate)|wrong|false|impossible)\b", re.IGNORECASE
)
# "Therefore, the figure that fits is:", where little follows.
_COLON = re.compile(r"[^\s:][^\n]{0,400}:[*_ ]*\n[*_\s]*")
NEAR_THE_END = 1_000  # characters
FOLLOW = 2  # sentences at most behind such a line
_END = re.compile(
    r"(?<=[.!?。])(?<!\n\d\.)(?<!\A\d\.)(?<!\n\d\d\.)(?<!\n[A-H]\.)(?<!\A[A-H]\.)(?<!\*[A-H]\.)(?<!\b[A-Z]\.[A-Z]\.)(?<!\bvs\.)(?<!\bapprox\.)(?<!\bNo\.)(?<!\be\.g\.)(?<!\bi\.e\.)[\"'*)]*\s+(?=\S)|(?<=。)(?=\S)|\n+"
)
BULLET = re.compile(r"\s*(?:[*•-]\s+|\d+[.)]\s+|\|)")
# "I hope this helps!" says nothing.
_CLOSING = re.compile(
    r"(?<=\s)(?:i hope (?:this|that|it) |(?:please )?let me know if |is there anything else"
    r"|do you have (?:any )?other questions)[^\n]*\s*\Z",
    re.IGNORECASE,
)
_MATH_LINES = re.compile(r"\\[\[\]]|\$\$")


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text."""
    parts = _END.split(_CLOSING.sub("", _MATH_LINES.sub("\n", text[-LONGEST:])))
    return [part.strip()[-LONGEST_SENTENCE:] for part in parts if part and part.strip()]


def _marker_end(text: str) -> int | None:
    """Where the last marker of an answer ends."""
    marker_ends = [match.end() for match in _MARKER.finditer(text) if not _of_others(text, match)][-1:]
    marker_ends += [
        match.end() for match in _COLON.finditer(text, max(0, len(text) - NEAR_THE_END)) if _is_last(text, match)
    ]
    return max(marker_ends, default=None)


def _of_others(text: str, marker: re.Match[str]) -> bool:
    """Whether a marker is of what is no answer: "the other choices are", "the answer is incorrect", "Choices:"."""
    listed = re.search(r"\b(?:options|choices)\s*:\s*$", marker[0], re.IGNORECASE)
    other = text[: marker.start()].lower().rstrip().endswith("other")
    return bool(listed or other or _REFUTES.match(text, marker.end()))


def _is_last(text: str, colon: re.Match[str]) -> bool:
    rest = sentences(text[colon.end() :])
    return 0 < len(rest) <= FOLLOW and not BULLET.match(text[colon.end() :])


@lru_cache(10_000)
def marked(text: str) -> str | None:
    """What stands behind the last "the answer is", "Final value:" or the like, up to the end of its sentence."""
    text = text[-LONGEST:]
    end = _marker_end(text)
    rest = sentences(text[end:]) if end is not None else []
    return rest[0].strip(" *") if rest else None


_ITEM = re.compile(r"\s*(?:[*•-]\s+)?[*(\[]*(?:\d{1,2}[.)\]]|[A-H][.)\]:])\W*\s|\s*[*•-]\s+")


def only_lists(text: str) -> bool:
    """Whether a text ends in a list or in a question, and marks no answer: that states nothing."""
    parts = sentences(text)
    if marked(text) or not parts:
        return False
    return parts[-1].endswith("?") or (len(parts) > 1 and all(_ITEM.match(f"{part} ") for part in parts[-2:]))


_OPTION = re.compile(r"\s*[*(\[]*[A-H][).\]:]")
_OPTIONS = re.compile(r"(?:^|\n)\s*[*(\[]*[A-H][).\]:][^\n]*\s*\Z")


def tail(text: str) -> str:
    """The end of a text, from the last marker of an answer or the last sentences on."""
    text = text.strip()[-LONGEST:]
    end = _marker_end(text)
    last = [match.start() for match in _END.finditer(text)][-LAST:]
    start = last[0] if len(last) == LAST else 0
    if _OPTION.match(text, start) and _OPTIONS.search(text, 0, start):  # the last of a list is not what is chosen
        start = next((one for one in last if not _OPTION.match(text, one)), start)
    if end is not None:
        start = min(start, max(text.rfind("\n", 0, len(text[:end].rstrip())), 0))
    return text[start:].strip()


@lru_cache(10_000)
def final(text: str) -> str | None:
    """The part of a text that states its answer: behind a marker, or the last sentence. None for a cut-off one."""
    text = text.strip()
    if stated := marked(text):
        return stated
    parts = [part for part in sentences(text) if re.search(r"\w", part)]
    if not parts:
        return None
    return None if _is_cut(parts[-1]) or _PROGRAM.match(parts[-1]) else parts[-1].strip(" *")


def last_sentences(text: str) -> list[str]:
    """The last sentences, the last one first; none of a text that is cut off."""
    return [part.strip(" *") for part in reversed(sentences(text)[-LAST:])] if final(text) else []


_UNANSWERED = re.compile(r"\b(?:answer|solution)\s*:?\s*$", re.IGNORECASE)
_FINISHED = re.compile(r"[.!?。:)\]}\"'*|%°$»”>]\s*$|(?:=|≈|\bis|\bare|:)\s*\S{1,20}$")
_PROGRAM = re.compile(r"print\(.*\)$")  # what a program would say is not known
SHORT = 60  # characters: a shorter line needs no full stop to be whole


def _is_cut(sentence: str) -> bool:
    if _OPTION.match(sentence):
        return False
    return len(sentence) > SHORT and (not _FINISHED.search(sentence) or _UNANSWERED.search(sentence) is not None)


_CONCLUSION = re.compile(
    r"[,;:]\s*(?:and )?"
    r"(?:so(?! that\b)|thus|therefore|hence|which (?:leaves|means|gives|makes)|leaving|giving|meaning"
    r"|for a total of|totall?ing)\b"
    r",?(?: that\b)?\s*(?=\S)",
    re.IGNORECASE,
)
# What is set against what is stated: its own value is another one.
_CONTRAST = re.compile(
    r"(?:,\s*|\s+)"
    r"(?:(?:as )?compared (?:to|with)|followed by|(?:up|down) from|as opposed to|rather than|instead of)\s.*$"
    r"|,\s+(?:and |but )?not\b.*$",
    re.IGNORECASE | re.DOTALL,
)


def main_clause(sentence: str) -> str:
    """A sentence without what it sets against its statement: "34%" of "34%, compared to 29% in 2018"."""
    return _CONTRAST.sub("", sentence)


def conclusion(sentence: str) -> str:
    """What follows from the rest of a sentence: "5 are left" of "3 of 8 are removed, so 5 are left"; else all of it."""
    end = max((match.end() for match in _CONCLUSION.finditer(sentence)), default=0)
    return main_clause(sentence[end:])
