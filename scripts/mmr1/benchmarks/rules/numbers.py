"""Numbers as people and models write them: 1,234.5, 3/4, 21%, 53.03 million, 4:1."""

import re
from fractions import Fraction

from mmr1.benchmarks.rules.clean import clean
from mmr1.benchmarks.rules.latex_number import evaluate

MAX_DIGITS = 400

_DECIMAL = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(
    rf"({_DECIMAL})(?:[eE]([+-]?\d{{1,3}})|\s*(?:\\times|×|\*|x)\s*10\s*\^\s*\{{?([+-]?\d{{1,3}})\}}?)?", re.ASCII
)
_RATIO = re.compile(rf"({_DECIMAL})\s*[/:]\s*({_DECIMAL})", re.ASCII)
_FRACTION = re.compile(rf"([+-]?)\s*\\frac\s*\{{\s*({_DECIMAL})\s*\}}\s*\{{\s*({_DECIMAL})\s*\}}", re.ASCII)
_MIXED = re.compile(
    r"([+-]?)(\d{1,9})\s*(?:\s(\d{1,9})/(\d{1,9})|\\frac\s*\{\s*(\d{1,9})\s*\}\s*\{\s*(\d{1,9})\s*\})", re.ASCII
)
_SCALES = {"thousand": 10**3, "million": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9, "trillion": 10**12}
_SCALE = re.compile(rf"(?:\b|(?<=\d))({'|'.join(_SCALES)})s?\b", re.IGNORECASE)
_NAMES = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty",
)
# "22 countries", "7 red balls": a number and what is counted, unless a word says something about the number.
_COUNTED = re.compile(r"(\S+)((?: [A-Za-z]{3,}){1,2})")
_NO_NOUN = set(_NAMES) | set(
    re.findall(
        r"\w+",
        "and but out not per pi point over plus minus times root sqrt squared cubed factorial half halves third thirds"
        " quarter quarters hundred hundreds thousand thousands million billion trillion dozen dozens more less fewer"
        " than least most below above under after before ago percent",
    )
)
_EXPRESSION = re.compile(r"(?!.*\d\.?\s+\d)(?:[\d\s.+\-*/^(){}]|\\(?:sqrt|pi|frac|cdot|times)(?![a-zA-Z]))+")
PERCENT = re.compile(r"%|\bpercent\b", re.IGNORECASE)


def number(text: str) -> Fraction | None:
    """The exact number that a cleaned text is, or None: decimals, powers of ten, a/b, a:b, `\\frac{a}{b}`, 1 1/2."""
    text = text.strip().replace("−", "-").replace("–", "-")
    if len(text) > MAX_DIGITS:
        return None
    if match := _PLAIN.fullmatch(text):
        return Fraction(match[1]) * Fraction(10) ** int(match[2] or match[3] or 0)
    if (match := _MIXED.fullmatch(text)) and (part := _quotient(match[3] or match[5], match[4] or match[6])):
        return Fraction(match[1] + "1") * (int(match[2]) + part) if part < 1 else None
    if match := _RATIO.fullmatch(text):
        return _quotient(match[1], match[2])
    if match := _FRACTION.fullmatch(text):
        return _quotient(match[1] + match[2], match[3]) if match[2][0] not in "+-" or not match[1] else None
    return None


def said(text: str) -> Fraction | None:
    """The number that a cleaned text is, in digits or in words: "five", "minus 3"."""
    if (stated := number(text)) is not None:
        return stated
    words = text.lower()
    if words in _NAMES:
        return Fraction(_NAMES.index(words))
    if match := re.fullmatch(r"(?:minus|negative) (\S+)", words):
        return -positive if (positive := said(match[1])) is not None and positive > 0 else None
    return None


def counted(text: str) -> Fraction | None:
    """The number of "22 countries" or "seven red balls", what is counted being left out; or None."""
    match = _COUNTED.fullmatch(text)
    return said(match[1]) if match and not _NO_NOUN & set(match[2].lower().split()) else None


def latex(text: str) -> str:
    """Roots and pi as LaTeX, with the braces that people leave out: √3, \\sqrt3, \\frac45."""
    text = re.sub(r"√\s*(?=[\d{(])", r"\\sqrt", text).replace("π", r"\pi ")
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<=\\sqrt)(\d+)", r"{\1}", text)
    return re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)


def value(text: str) -> float | None:
    """About the number that a cleaned text is, roots and pi among them, or None."""
    result: Fraction | float | None = said(text)
    if result is None and len(text) <= MAX_DIGITS and _EXPRESSION.fullmatch(latex(text)):
        result = evaluate(latex(text))
    try:
        return None if result is None else float(result)
    except OverflowError:
        return None


def readings(raw: str, without: frozenset[str] = frozenset()) -> list[Fraction]:
    """The numbers that an answer may be meant as; empty if it is none, or a number of things.

    "4.9%" is 4.9 or 0.049, "53.03 million" is 53.03 or 53,030,000: charts print the first, text means the second.
    """
    plain = said(clean(raw, without))
    if plain is None:
        return []
    values = [plain]
    if PERCENT.search(raw):
        values.append(plain / 100)
    if scale := _SCALE.search(raw):
        values.append(plain * _SCALES[scale[1].lower()])
    return values


def _quotient(above: str, below: str) -> Fraction | None:
    divisor = Fraction(below)
    return Fraction(above) / divisor if divisor else None
