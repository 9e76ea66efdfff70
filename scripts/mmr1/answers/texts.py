"""Words: whether two texts are the same name, whatever their dress, spelling or usual abbreviation."""

import re
import unicodedata
from functools import lru_cache

_SPELLINGS = {"grey": "gray", "metre": "meter", "litre": "liter", "centre": "center", "colour": "color"}
_MONTHS = re.findall(
    r"\w+",
    "january february march april may june july august september october november december",
)
_MONTHED = frozenset(_MONTHS)
_DAYS = re.findall(r"\w+", "monday tuesday wednesday thursday friday saturday sunday")
_LONG = {name[:3]: name for name in (*_MONTHS, *_DAYS)} | {"sept": "september"}
# What may stand behind the name of a company: Telia is Telia Company AB.
_LEGAL_FORMS = frozenset(
    re.findall(
        r"\w+",
        "company co corporation corp incorporated inc limited ltd llc plc ag ab se sa nv bv gmbh spa oyj "
        "asa as group holding holdings kgaa kg lp",
    )
)
# What a name may be called by: "the gray line", "Ages 18-29", "Canada's bar".
_CLASSES = frozenset(
    re.findall(
        r"\w+",
        "line bar color curve segment slice graph category categories country state company year years "
        "age aged ages group section option region sector bars lines animal person people individual "
        "respondent population old olds",
    )
)
_TRUTH = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_QUARTER = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_SMALL = frozenset(("of", "the", "and", "for", "de", "in"))
_NOTE = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")
_SIGNS, _WORD = re.compile(r"[][(){}|^√<>=≤≥≠,:*/]"), re.compile(r"[^\W\d_]{2}|\b[Qq][1-4]\b")
_TOKEN = re.compile(r"(?:(?<!\w)-)?\d+(?:\.\d+)?|[^\W\d_]+|[%+&<>=°/$€£≈~≠≤≥∥⊥≌∽→-]")


@lru_cache(20_000)
def words(text: str) -> tuple[str, ...]:
    """The words and numbers of a text in small letters, with one spelling, without articles and punctuation."""
    text = re.sub(r"\b(?:[A-Za-z]\.)+[A-Za-z]\b\.?", lambda initials: initials[0].replace(".", ""), text).casefold()
    text = "".join(sign for sign in unicodedata.normalize("NFD", text) if not "\u0300" <= sign <= "\u036f")
    text = re.sub(r"(?<=[a-z\d.] )'(\d\d)\b", lambda year: f"{20 if int(year[1]) < 50 else 19}{year[1]}", text)
    text = re.sub(r"\b(first|second|third|fourth) quarter(?: of)?\b", lambda name: f"q{_QUARTER[name[1]]}", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text)
    text = text.replace("△", " triangle ").replace("∠", " angle ")
    text = re.sub(r"\bunited states(?: of america)?\b|\busa\b", "us", text)
    text = re.sub(r"(?<=\w)'s\b", "", text).replace("n't", " not").replace("'", "")
    text = re.sub(r"(?<=\d)\s*(?:-| to | through )\s*(?=\d)", "-", text)
    text = re.sub(r"(?<=\d) ?(?:\+|(?:years )?(?:and|or) (?:over|above|older|more|up)\b)", "+", text)
    return _dated(tuple(_word(token) for token in _TOKEN.findall(text) if token not in ("the", "a", "an", "-")))


def _dated(some: tuple[str, ...]) -> tuple[str, ...]:
    """A date in one order: the month, the day, the year."""
    some = tuple(word for word in some if word != "of") if _MONTHED.intersection(some) else some
    months = [word for word in some if word in _MONTHED]
    numbers = [word for word in some if word.isdigit()]
    return (*months, *sorted(numbers, key=len)) if len(months) == 1 and len(numbers) == len(some) - 1 else some


def _word(token: str) -> str:
    if token == "&":
        return "and"
    for british, american in _SPELLINGS.items():
        token = token.replace(british, american)
    token = _LONG.get(token, token)
    return token[:-1] if len(token) > 3 and token.endswith("s") and not token.endswith(("ss", "us", "is")) else token


@lru_cache(50_000)
def compact(text: str) -> str:
    """A text without capitals, dots and spaces, but for those between two words or two numbers: `(1, 0)`, `U.S.`."""
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|[\"'`]", "", text.casefold())
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)|(?<=\d)\s+(?=[^\W\d])|(?<=[^\W\d])\s+(?=\d)", "", text)


@lru_cache(50_000)
def same_text(gold: str, answer: str) -> bool:
    """Whether an answer is the gold's name: the same words, its usual abbreviation or a company's name in short."""
    if gold == answer or compact(gold) == compact(answer):
        return True
    if (time := _clock(gold)) is not None:
        return time == _clock(answer)
    if (years := season(gold)) is not None:
        return years == season(answer)
    if not any(_WORD.search(text) for text in (gold, answer)):
        return False  # of notation every sign counts
    if any(_SIGNS.search(text) and not _WORD.search(text) for text in (gold, answer)):
        return False
    if (truth := _TRUTH.get(compact(gold))) is not None and _TRUTH.get(compact(answer)) is truth:
        return True
    golds, answers = words(gold), words(answer)
    if not golds or not answers:
        return False
    if golds == answers or ("-" in gold + answer and "".join(golds) == "".join(answers)):
        return True
    if _names(golds) and _names(golds) == _names(answers):
        return True
    if not _NOTE.search(gold) and _NOTE.search(answer) and words(_NOTE.sub("", answer)) == golds:
        return True
    return (
        _is_acronym(gold, answer)
        or _is_acronym(answer, gold)
        or _is_company(golds, answers)
        or _is_company(answers, golds)
    )


def season(text: str) -> int | None:
    """The first of two years in a row, of `2015/16`, `2015-2016`; None if a text is something else."""
    match = re.fullmatch(r"((?:1[5-9]|20)\d\d)\s?[/-]\s?((?:\d\d)?\d\d)", text.strip())
    return int(match[1]) if match and str(int(match[1]) + 1).endswith(match[2]) else None


def _clock(text: str) -> tuple[int, int] | None:
    """The hour and minute of a time of day: 2:30 PM is 14:30."""
    match = re.fullmatch(r"(\d{1,2}):(\d\d)(?:\s*([ap])\.?m\.?)?", text.strip(), re.IGNORECASE)
    if not match:
        return None
    hour = int(match[1])
    return (hour if match[3] is None else hour % 12 + 12 * (match[3].lower() == "p")), int(match[2])


def _names(some: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in some if word not in _CLASSES and f"{word}s" not in _CLASSES)


def _is_acronym(short: str, long: str) -> bool:
    """U.S. and United States."""
    letters = re.sub(r"[.\s]", "", short)
    if not 1 < len(letters) < 8 or not letters.isupper():
        return False
    parts = [part for part in re.findall(r"[^\W\d_]+", long) if part.lower() not in _SMALL]
    starts = "".join(part[0] for part in parts)
    capitals = all(part[0].isupper() for part in parts)
    return letters.isalpha() and capitals and starts == letters


def _is_company(long: tuple[str, ...], short: tuple[str, ...]) -> bool:
    rest = long[len(short) :]
    return long[: len(short)] == short and len(short[0]) > 2 and bool(rest) and _LEGAL_FORMS.issuperset(rest)
