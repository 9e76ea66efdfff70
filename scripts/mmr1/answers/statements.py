"""What sentences state: the one quantity, name or word of an answer that is written out.

"The largest bar is 93.45%." states 93.45%. What the question names is not what is stated (of "6 algorithms are better
than 2" it is the 6), nor are years beside another number, notes in brackets and what stands in quotation marks.
A text of several sentences states what its last one does, unless it begins with its answer ("There are 3 …", "Yes, …").
Several different values are none.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from mmr1.answers.expressions import close, leading_number
from mmr1.answers.notation import normal
from mmr1.answers.numerals import NAMES, NUMBER_WORD, SCALE, SCALES, number_word
from mmr1.answers.reading import read
from mmr1.answers.sentences import (
    BULLET,
    LONGEST_SENTENCE,
    abstains,
    conclusion,
    final,
    main_clause,
    marked,
    sentences,
)
from mmr1.answers.texts import compact, same_text, words
from mmr1.answers.values import ROUNDING, YEARS, Quantity, amounts

BEFORE = 80  # characters in front of a number that say what it is


# --- Quantities


@dataclass(frozen=True)
class _Number:
    """A quantity in a sentence, and where it stands."""

    quantity: Quantity
    start: int
    end: int


_START = re.compile(r"(?<![\w.,/^])(?<!\d-)(?<![a-zA-Z)] [-+*/] )-?\(*(?=[\d√]|\.\d)")
_QUOTED = re.compile(r"\"[^\"]*\"")
_BRACKETS = re.compile(r"\([^()]*[a-zA-Z=][^()]*\)|\(\d{4}\)|\([^(),]*[\d%]\s*[-+*/]\s*\d[^(),]*\)")
_RANGE = re.compile(
    r"\d[\d.]*\s*[%°]?\s*(?:-|\bto\b|\bor\b|\band\b(?= \d[\d.]*%? (?!\w+ (?:is|was)\b)))\s*\d", re.IGNORECASE
)
_DENIED = re.compile(
    r"(?:\bnot|n't|\bthan|\bexcept|\bexceed(?:s|ed|ing)?|\babove|\bbelow|\bover|\bunder|\bper"
    r"|\bat least|\bat most|\bup to)\s+(?:\w+ )?$|\bof (?:the|these|those|all)\s+$",
    re.IGNORECASE,
)
# What has a number for its name: "angle 1", "Step 3".
_NAMED = re.compile(
    r"(?:\b(?:angle|figure|step|part|case|question|problem|equation|example|table|exercise|option|row|column|no\.)|[∠#])\s*$",
    re.IGNORECASE,
)
_LEFT = re.compile(r"\s*(?:[a-z]+ )?(?:are |is |were )?(?:left|remain(?:s|ing)?|in total|altogether)\b", re.IGNORECASE)
_SOME = rf"(?:\d+|{'|'.join(NAMES)})"
_PART_OF = re.compile(rf"\b({_SOME})\s+(?:out )?of (?:the |these |those )?{_SOME}\b(?! (?:and|to)\b)", re.IGNORECASE)
_MORE = re.compile(r"\s+(?:more|less|fewer|dozen|or (?:more|less))\s*$", re.IGNORECASE)
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_LISTED = re.compile(r"\s*(?:,|;|\band\b|\bor\b)\s*(?:and |or )?[-$€£]?\d")
_CLAIM = re.compile(
    r"(?:\b(?:is|was|are|were|be|equals?|has|had|have|shows?|reached|totals?"
    r"|accounted for|accounts for|to be|becomes|get|gives|leaves|makes|yields|comes to|amounts to|results in)"
    r"|[=≈:])\s*(?:(?:approximately|about|around|roughly|nearly|only|exactly|also|equal to|a total of|at|the|therefore"
    r"|thus|estimated (?:to be|at)|[$€£~≈])\s*)*$",
    re.IGNORECASE,
)


def quantity_in(sentence: str, question: str = "", year: bool = False) -> Quantity | None:
    """The one quantity, or `year`, that a sentence states; None if it states none or several."""
    text = normal(sentence[-LONGEST_SENTENCE:])
    text = next((part for part in (conclusion(text), main_clause(text)) if _numbers(part)), text)
    text = _PART_OF.sub(r"\1", text)
    if "±" in _BRACKETS.sub(_blank, text):
        return None  # two values, or one with its margin
    candidates = _numbers(_QUOTED.sub(_blank, _BRACKETS.sub(_blank, text))) or _numbers(text)
    if not candidates:
        return _in_words(text)
    candidates = _beside(candidates, lambda one: not _NAMED.search(_before(text, one)))
    kept = [one for one in candidates if not _DENIED.search(_before(text, one)) and not _MORE.match(text, one.end)]
    if not kept:
        return _in_words(text)
    kept = _beside(kept, lambda one: not _is_asked(one.quantity, question))
    kept = _beside(kept, lambda one: _is_year(text, one) == year)
    if len(kept) > 1 and (one := _one(kept)) is not None:
        return one
    ranges = [match for match in _RANGE.finditer(text) if not any(_within(match, one) for one in candidates)]
    ends = [end for match in ranges for end in (match.start(), match.end() - 1)]
    kept = _beside(kept, lambda one: one.start not in ends)
    if any(one.start in ends for one in kept):
        return None
    if len(kept) == 1:
        return kept[0].quantity
    if left := [one for one in kept if _LEFT.match(text, one.end)]:
        return _one(left)
    return _one([one for one in kept if _CLAIM.search(_before(text, one)) and not _LISTED.match(text, one.end)])


def _before(text: str, number: _Number) -> str:
    return text[max(0, number.start - BEFORE) : number.start]


def _within(match: re.Match[str], number: _Number) -> bool:
    return number.start <= match.start() and match.end() <= number.end


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _beside(candidates: list[_Number], keep: object) -> list[_Number]:
    """Those that pass, or all where none does."""
    return [one for one in candidates if keep(one)] or candidates  # type: ignore[operator]


def _numbers(text: str) -> list[_Number]:
    candidates, position = [], 0
    while match := _START.search(text, position):
        number = _number_at(text, match.start()) or _number_at(text, match.end())
        position = match.end() + 1
        if number:
            candidates.append(number)
            position = max(position, number.end)
    return candidates


_UNIT_BEHIND = re.compile(r" ?((?:square |cubic |sq\.? )?[a-zA-ZμΩ°]+(?:\^\(?-?\d\)?)?(?:/[a-zA-Z]+(?:\^\d)?)?)")
_NO_UNITS = frozenset(
    re.findall(
        r"\w+",
        "in at as a are is an and or of to the for on by with years year times points",
    )
)


_RATIO_IN = re.compile(r"(?::| : )(?=\d)|\s+to\s+(?=1\b(?![.\d]))")


def _number_at(text: str, start: int) -> _Number | None:
    rest = text[start:]
    if re.match(r"-?\d[\d.]*[%°]?\s?-\s?\d|\d{1,2}:\d\d\b", rest):  # a range, a time: each end for itself
        first = re.match(r"-?\d+(?:\.\d+)?", rest)
        leading = leading_number(first[0]) if first else None
    else:
        leading = leading_number(re.split(r" [-+*/=] |[;,] ", rest, maxsplit=1)[0])
    if leading is None or re.match(r"[a-zA-Z]{0,2}\d|(?:st|nd|rd|th)\b", rest[leading[1] :]):
        return None
    number, end = leading
    if ratio := _RATIO_IN.match(rest, end):
        below = leading_number(rest[ratio.end() :])
        if below and below[0]:
            if isinstance(number, float) or isinstance(below[0], float):
                return None
            number, end = number / below[0], ratio.end() + below[1]
    percent = rest[end : end + 1] == "%"
    end += percent
    scale = 1
    if match := SCALE.match(rest, end):
        scale, end = SCALES[(match[1] or match[2]).lower()], match.end()
    behind = _UNIT_BEHIND.match(rest, end)
    name = behind[1] if behind and behind[1].lower() not in _NO_UNITS else ""
    return _Number(Quantity(number, name, scale, percent), start, start + end)


def _is_asked(quantity: Quantity, question: str) -> bool:
    """Whether the question itself names a number."""
    return quantity.number in _asked(question)


@lru_cache(4_096)
def _asked(question: str) -> frozenset[object]:
    return frozenset(one.quantity.number for one in _numbers(normal(question[-2_000:])))


def _is_year(text: str, number: _Number) -> bool:
    return _YEAR.fullmatch(text[number.start : number.end].strip()) is not None


def _one(candidates: list[_Number]) -> Quantity | None:
    """The one quantity that some say, perhaps several times and rounded."""
    if not candidates:
        return None
    last = candidates[-1].quantity
    if last.number in YEARS and last.number not in {one.quantity.number for one in candidates[:1]}:
        return None  # 2017 is no rounding of 2018
    alike = all(any(close(a, b, ROUNDING) for a in amounts(one.quantity) for b in amounts(last)) for one in candidates)
    others = tuple(one.quantity.number for one in candidates[:-1] if one.quantity.number != last.number)
    return replace(last, also=others) if alike else None


# "the smallest one", "no one", "of the three people"
_NO_COUNT = re.compile(
    rf"\b(?:the|this|that|which|each|every|other|another|any|no)(?: \w+)? one\b|\b"
    rf"(?:of (?:the|these|those|all)|between(?: the)?) {_SOME}\b",
    re.IGNORECASE,
)


def _in_words(text: str) -> Quantity | None:
    """ "There are seven sectors.": the one number that is written as a word, "one" only where it is counted."""
    text = _NO_COUNT.sub(" ", _PART_OF.sub(r"\1", text))
    candidates = [match for match in re.finditer(r"[a-zA-Z-]+", text) if NUMBER_WORD.match(match[0])]
    candidates = [one for one in candidates if one[0].lower() != "one" or len(candidates) == 1]
    values = {number_word(match) for one in candidates if (match := NUMBER_WORD.fullmatch(one[0]))}
    return Quantity(values.pop()) if len(values) == 1 else None


_ENUMERATION = re.compile(r"\b(?:are|include|following|these|is|as follows|namely)\s*:\s*\S|:\s*$", re.IGNORECASE)
_FIRST = re.compile(
    r"\s*(?:\**(?:yes|no|true|false)\b"
    r"|there (?:is|are|was|were) (?:only |exactly |about |a total of )?(?:\d|[a-z]+\b))",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|so|in total|total|in conclusion|remaining|overall)\b|=", re.IGNORECASE
)


def quantity_stated(text: str, question: str = "", year: bool = False) -> Quantity | None:
    """The quantity that a text states: its marked answer's, or that of the sentence that it begins or ends with."""
    if stated := marked(text):
        value = read(stated)
        return value if isinstance(value, Quantity) else quantity_in(stated, question, year)
    parts = sentences(text)
    if len(parts) > 1 and isinstance(last := read(parts[-1]), Quantity) and not BULLET.match(parts[-1]):
        return last
    if len(parts) > 1 and _FIRST.match(parts[0]) and not any(_CONCLUDES.search(part) for part in parts[1:]):
        return quantity_in(parts[0], question, year)
    lines = [part for part in parts if not (BULLET.match(part) and not _CONCLUDES.search(part))] or parts
    for part in reversed(lines[-4:] if len(parts) > 1 else lines):
        if len(lines) > 1 and _ENUMERATION.search(part) and "=" not in part:
            continue
        value = read(re.split(r"(?<![<>!])(?:=|≈|\\approx)", part)[-1])
        if isinstance(value, Quantity):
            return value
        if re.search(r"\d", part) or _in_words(normal(part)) is not None:
            return None if abstains(part) else quantity_in(part, question, year)
    return None


# --- Names and words

_NOTHING = re.compile(
    r"nil|(?:there (?:is|are|was|were) (?:no|none|not any)\b|no(?:ne)? of (?:the|them|these|those)\b).*",
    re.IGNORECASE | re.DOTALL,
)


def states_nothing(text: str) -> bool:
    """Whether a text counts none: "There are no red cubes." "There is no information" counts nothing at all.

    "None" alone is what a program writes where there is no answer, and counts nothing either.
    """
    said = normal(final(text) or text)
    return _NOTHING.fullmatch(said) is not None and not abstains(said)


_YES_NO = {"yes", "no", "true", "false"}
_COPULA = (
    r"(?:is|are|was|were|be|had|has|have|chose|represents?|corresponds to|belongs to|shows?|named|called|with|by|for|:)"
)
_NOT_CLAIMED = re.compile(
    r"(?:\bnot|n't|\bthan|\bnor|\bneither|\beither|\bor|\bexcept|\bexcluding|\bwithout|\bunlike|\bfrom"
    r"|\bbetween|\bto|\bthan (?:that|those) (?:of|in)|\babove|\bbelow|\bover|\bunder|\bbehind|\bagainst"
    r"|\bvs\.?|\bversus)\s+(?:the |an? )?[\"'*]*$",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"[\"'*)]*\s*(?:(?:is|are|was|were|does|do|did|has|have) not\b|n't\b|or\b|and\b)", re.IGNORECASE)


_BEGINS_WITH = re.compile(
    r"[\s\"'*(]*(?:so|thus|therefore|hence)?,?\s*(?:definitely |probably |most likely |it is )?"
    r"(?:th(?:e|is) (?:statement|claim) is )?(yes|no|true|false)\b(?! one\b)(.*)",
    re.IGNORECASE | re.DOTALL,
)


def word_stated(text: str) -> str | None:
    """The yes, no, true or false that a text states, in small letters; None if it states none or both."""
    for part in (marked(text), text, final(text)):
        if match := _BEGINS_WITH.match(normal(part)) if part else None:
            rest = match[2].strip()
            if re.match(r"(?:or|and|,)\s+(?:yes|no|true|false)\b", rest, re.IGNORECASE) or (
                not re.match(r"[.,;:!\"')(*-]|because|since|as\b|(?:it|they|there|he|she)\b|\Z", rest)
            ):
                return None
            return match[1].lower()
    return None


def states_text(gold: str, text: str) -> bool:
    """Whether a text that is a sentence states a name: as its subject or at its end, and not beside another one."""
    if compact(gold) in _YES_NO:
        said = word_stated(text)
        return said is not None and same_text(gold, said)
    parts = sentences(text)
    tried = [marked(text), final(text)]
    if parts and len(parts) > 1:
        tried.append(parts[0])
    return any(part is not None and _claims(gold, part) for part in dict.fromkeys(tried))


def _claims(gold: str, sentence: str) -> bool:
    sentence, gold = main_clause(normal(sentence[-LONGEST_SENTENCE:])), normal(gold)
    if same_text(gold, sentence):
        return True
    quoted = re.findall(r"\"([^\"]+)\"", sentence)
    if len(quoted) == 1 and same_text(gold, quoted[0]):
        return True
    if re.search(r"[+*=<>≤≥≠≈~^√°∠△∥⊥≌∽→α-ω]", gold):  # of notation every sign counts
        pattern = r"\s*".join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", gold))
    else:
        pattern = r"\W+".join(re.escape(part) for part in re.findall(r"\w+", gold))
    if not pattern or not words(gold):
        return False
    spans = [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", sentence, re.IGNORECASE)]
    return any(_is_claimed(sentence, start, end) for start, end in spans)


_SUBJECT_ENDS = re.compile(
    r"[\"'*]*\s*(?:\([^()]*\)\s*)?(?:,[^,]*,\s*)?(?:line |bar |curve |color |segment |slice )?"
    r"(?:(?:is|are|was|were|has|had|have|saw|spent|(?!versus|less|minus)[a-z]+(?:s|ed))\b"
    r"|\s*[,.]?\s*$|\s(?:because|since|as)\b)|,\s*(?:with|at|which|who|whose|where|having)\b|\s*[:-]\s*[-$€£]?\d"
    r"|'s (?:[a-z]+ ){1,3}?(?:is|are|was|were|has|had) (?:the )?(?:[a-z]+est|most|least)\b",
)


# A name of which the gold is only the end: "Very satisfied", "North Korea", "the dark blue".
_LONGER = re.compile(
    r"(?i:\b(?:very|somewhat|too|most|least|more|less|dark|light|bright|pale|deep|upper|lower|other|new|non"
    r"|(?:north|south|east|west|central)(?:ern)?)[ -]$)"
    r"|^\s*(?!(?i:the|an?|it's|so|thus|only|probably|likely|answer|option|choice"
    r"|country|category|color|line|bar|group|region|state|company|year|in|on|at|by|for|with)\b)[\w-]+[ -]+$"
)


def _is_claimed(sentence: str, start: int, end: int) -> bool:
    before, behind = sentence[:start], sentence[end:]
    if _NOT_CLAIMED.search(before) or _DENIAL.match(behind):
        return False
    introduced = r"\s*(?:[^,.]{1,60},\s*)?(?:so|thus|therefore|hence)?,?\s*(?:the |an? )?[\"'*]*"
    subject = re.fullmatch(introduced, before, re.IGNORECASE)
    if subject and _SUBJECT_ENDS.match(behind):
        return True
    ends = (
        r"(?:'s)?[\"'*)]*\s*(?:\([^()]*\))?\s*"
        r"(?:[.,;]|$|(?:with|which|than|because|since|as|at)\b|and (?:it|its|the)\b)"
    )
    if _LONGER.search(before):
        return False
    closes = re.match(ends, behind)
    return bool(closes) and (bool(re.search(rf"\b{_COPULA}\b|:", before)) or behind.strip(" .\"'*") == "")
