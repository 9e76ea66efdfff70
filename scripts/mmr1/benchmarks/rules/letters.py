"""Option letters in an answer: which one was chosen, or which set of them."""

import re

_MENTION = r"(?:(?:the )?(?:(?:correct|final|right) )?(?:option|choice|answer|figure|letter)s?(?: is| are)?:?\s*)?"
_ALONE = re.compile(rf"{_MENTION}[\[({{]?\s*([A-Za-z])\s*[\])}}]?[.:]?", re.IGNORECASE)
# With text behind it a letter is a capital and marked: "(B) 12 cm", "B. 12 cm", "B: 40°", "B (12 cm)".
_LEADING = re.compile(
    rf"(?i:{_MENTION})(?:\(([A-Z])\)|\[([A-Z])\]|([A-Z])\s*[.:)](?!\d)|([A-Z])(?=\s*\()"
    r"|([A-Z])(?=,? (?:since|because|as|not|but not)\b))\s*\S.*",
    re.DOTALL,
)
_NOT = re.compile(r"(?i:\bnot) (?:option |choice )?\(?[A-H]\b")
_ALTERNATIVES = re.compile(
    rf"(?i:(?:either|neither|both) )?(?i:{_MENTION})[\[({{]?[A-H]\)?"
    r"(?:(?:\s*(?:,|;|/|&)\s*(?:and |n?or )?|\s+(?:and|n?or)\s+)(?:option )?\(?[A-H][)\]}]?)+"
)
MAX_LIST = 100  # characters of a list of letters
_ONE = r"[(\[]?[A-Za-z0-9][)\]]?"
_SEVERAL = re.compile(rf"[\[({{]?\s*{_ONE}(?:(?:\s*(?:,|;|&|/)\s*(?:and\s+)?|\s+(?:and\s+)?){_ONE})*\s*[\])}}]?")
_JOINED = re.compile(r"[A-H]{2,5}")
# "(A)", "[A]", "A)", "A. ", but not the argument of f(A).
_MARKED = re.compile(r"(?<![^\s,;)\]])[(\[]?([A-Z])(?:[)\]]|[.:](?=\s))")


def lone_letter(cleaned: str) -> str | None:
    """The letter that an answer consists of ("b", "(B)", "option B"), as a capital, or None."""
    match = _ALONE.fullmatch(cleaned)
    return match[1].upper() if match else None


def marks_several(cleaned: str) -> bool:
    """Whether an answer marks more than one option: "(A), (C)", "(A) 2006 (B) 2007", "either A or C"."""
    return len(set(_MARKED.findall(cleaned))) > 1 or _ALTERNATIVES.fullmatch(cleaned) is not None


def rules_out(cleaned: str) -> bool:
    """Whether an answer begins with a letter that it is not: "not B"."""
    return _NOT.match(cleaned) is not None


def letter(cleaned: str) -> str | None:
    """The one option letter that an answer is or begins with, as a capital; None if it names none or several."""
    if alone := lone_letter(cleaned):
        return alone
    if (match := _LEADING.fullmatch(cleaned)) and not marks_several(cleaned):
        return next(group for group in match.groups() if group)
    return None


def letters(cleaned: str) -> list[str]:
    """The sorted letters or one-digit labels that an answer lists ("A, C", "b and d", "AC", "3"), as capitals."""
    if one := letter(cleaned):
        return [one]
    if len(cleaned) > MAX_LIST:
        return []
    cleaned = re.sub(r"\\([{}&])|(?<=\b[A-Z])\.", r"\1", cleaned)
    cleaned = re.sub(rf"^(?:both )?{_MENTION}", "", cleaned, flags=re.IGNORECASE)
    if _SEVERAL.fullmatch(cleaned):
        labels = sorted({label.upper() for label in re.findall(r"\b[A-Za-z0-9]\b", cleaned)})
        return labels if labels[0].isdigit() == labels[-1].isdigit() else []
    if _JOINED.fullmatch(cleaned) and len(set(cleaned)) == len(cleaned):
        return sorted(cleaned)
    return []
