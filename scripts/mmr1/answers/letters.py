"""Option letters: the one that an answer names, or the set of them."""

import re

from mmr1.answers.notation import normal

_MENTION = (
    r"(?:(?:(?:so|thus|therefore|hence),? )?(?:the )?(?:(?:correct|final|right|best) )?"
    r"(?:option|choice|answer|figure|letter|set)s?"
    r"(?: (?:is|are)\b| would be)?:?\s*|(?:正确)?(?:答案|选项|选择|选)\s*(?:是|为)?\s*[:：]?\s*)*"
)
_ALONE = re.compile(rf"{_MENTION}[\[({{]?\s*([A-Za-z])\s*[\])}}]?[.:]?", re.IGNORECASE)
# With text behind it a letter is a capital and marked, "(B) 12 cm", "B. 12 cm", "B: 40°", "B (12 cm)", or stands before
# a number or a name, "A 12 cm", "B Set B": "A triangle" is an article.
_LEADING = re.compile(
    rf"(?i:{_MENTION})(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])\s*[.:)](?!\d)|([A-Z])(?=\s*\()"
    r"|([A-Z])(?=,? (?:since|because|as|not|but not|with|which|where)\b)"
    r"|([A-H])(?= [-+√π$€£(]?\d| [-+]?√| [A-Z][a-z])"
    r"|([B-H])(?= (?!is\b|are\b|and\b|or\b|nor\b|not\b|has\b|was\b|would\b|to\b|in\b)[a-z]{2,}))\s*\S.*",
    re.DOTALL,
)
_NOT = re.compile(r"(?i:\bnot) (?:option |choice )?\(?[A-H]\b")
_DENIED = re.compile(
    r"(?i:\bnot|n't) (?:option |choice )?\(?[A-H]\b"
    r"|\b[A-H]\)? (?i:(?:is|was) (?:not\b|eliminated|excluded|ruled out)|isn't)"
)
_ALTERNATIVES = re.compile(
    rf"(?i:(?:either|neither|both) )?(?i:{_MENTION})[\[({{]?[A-H]\)?"
    r"(?:(?:\s*(?:,|;|/|&)\s*(?:and |n?or )?|\s+(?:and|n?or)\s+)(?:option )?\(?[A-H][)\]}]?)+"
)
MAX_LIST = 100  # characters of a list of letters
_ONE = r"[(\[]?[A-Za-z0-9][)\]]?"
_SEVERAL = re.compile(rf"[\[({{]?\s*{_ONE}(?:(?:\s*(?:,|;|&|/)\s*(?:and\s+)?|\s+(?:and\s+)?){_ONE})*\s*[\])}}]?")
_JOINED = re.compile(r"[A-H]{2,8}")
# "(A)", "[A]", "A)", "A. ", but not the argument of f(A).
_MARKED = re.compile(r"(?<![^\s,;)\]])[(\[]?([A-Z])(?:[)\]]|[.:](?=\s))")


def lone_letter(text: str) -> str | None:
    """The letter that an answer consists of ("b", "(B)", "option B", "选B"), as a capital, or None."""
    match = _ALONE.fullmatch(text)
    return match[1].upper() if match else None


def marks_several(text: str) -> bool:
    """Whether an answer marks more than one option: "(A), (C)", "A) or B)", "(A) 2006 (B) 2007", "either A or C"."""
    return len(set(_MARKED.findall(text))) > 1 or _ALTERNATIVES.fullmatch(text) is not None


def rules_out(text: str) -> bool:
    """Whether an answer begins with a letter that it is not: "not B"."""
    return _NOT.match(text) is not None


def denies(text: str) -> bool:
    """Whether an answer says of a letter that it is not: "it is not B", "B is ruled out".

    "B is wrong" is an answer to "Which statement is wrong?".
    """
    return _DENIED.search(text) is not None


def letter(text: str) -> str | None:
    """The one option letter that an answer is or begins with, as a capital; None if it names none or several."""
    if alone := lone_letter(text):
        return alone
    if (match := _LEADING.fullmatch(text)) and not marks_several(text):
        return next(group for group in match.groups() if group)
    return None


# "B and D are the same", but not "B and D are wrong".
_CLAIM = re.compile(
    r"(?<=\b[A-H]) (?:are|match|have|show)\b(?!.*\b(?:not|no|wrong|incorrect|false|too|out|eliminated|excluded)\b).*"
)


def letters(text: str) -> list[str]:
    """The sorted letters or one-digit labels that an answer lists ("A, C", "b and d", "AC", "3"), as capitals."""
    if one := letter(text):
        return [one]
    if len(text) > MAX_LIST:
        return []
    text = re.sub(r"(?<=\b[A-Z])\.", "", text)
    text = re.sub(rf"^(?:both |only |just )?{_MENTION}", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:options?|choices?) (?=[(\[]?[A-H]\b)", "", text, flags=re.IGNORECASE)
    text = _CLAIM.sub("", text)
    if _SEVERAL.fullmatch(text):
        labels = sorted({label.upper() for label in re.findall(r"\b[A-Za-z0-9]\b", text)})
        return labels if labels[0].isdigit() == labels[-1].isdigit() else []
    if _JOINED.fullmatch(text) and len(set(text)) == len(text):
        return sorted(text)
    return []


# A capital that is a word of its own, but for the article and for points and sides: "Figure B is the reflection."
_MENTIONED = re.compile(
    r"(?<![\w'∠△])([B-H]|A(?! (?!is\b|does\b|has\b|shows\b|fits\b)[a-z]{2,})"
    r"|(?<=option )A|(?<=figure )A|(?<=[\"(])A)(?![\w'])",
    re.IGNORECASE,
)


_EXCEPT = re.compile(r"\b(?:neither|nor|except|excluding|other than|besides|without|unlike)\b", re.IGNORECASE)
_OTHERS = re.compile(r"(?<=others) \(\s*[A-H](?:\s*(?:,|and|or)\s*(?:and )?[A-H])+\s*\)")


def mentioned(sentence: str) -> str | None:
    """The one option letter that a sentence mentions; None if it mentions none or several."""
    if _EXCEPT.search(sentence):
        return None
    letters_named = {match for match in _MENTIONED.findall(_OTHERS.sub("", sentence)) if match.isupper()}
    return letters_named.pop() if len(letters_named) == 1 else None


_GOLD = re.compile(r"\(?[A-Z][.):]?\)?(?:(?:\s*,\s*|\s+(?:and\s+)?)\(?[A-Z]\)?)*")


def gold_letters(gold: str) -> list[str] | None:
    r"""The sorted letters of a gold that is one letter or several (`A`, `(C)`, `A, C`, `C\nD`); None if it is none."""
    text = normal(gold) if "\\" in gold or "$" in gold else gold.strip()
    return sorted(set(re.findall("[A-Z]", text))) if _GOLD.fullmatch(text) else None
