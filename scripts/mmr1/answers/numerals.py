"""Numbers in words, and the words that multiply a number: twenty-four, two thirds, half a dozen, 3.2 million."""

import re
from fractions import Fraction

SCALES = {
    "hundred": 10**2, "thousand": 10**3, "k": 10**3, "lakh": 10**5, "million": 10**6, "mn": 10**6, "mln": 10**6,
    "m": 10**6, "crore": 10**7, "billion": 10**9, "bn": 10**9, "b": 10**9, "trillion": 10**12, "tn": 10**12,
    "dozen": 12,
}  # fmt: skip
SCALE = re.compile(
    r"\s*(?:(?i:(hundred|thousand|lakh|million|mn|mln|crore|billion|bn|trillion|tn|dozen)s?)|(?<=\d)([KkMB]))(?![a-zA-Z^])"
)
NAMES = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
NUMBER_WORD = re.compile(
    rf"(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(NAMES[1:10])}))?|(?P<name>{'|'.join(NAMES[::-1])}))"
    rf"(?:[- ](?P<part>(?:{'|'.join(_PARTS)}))s?|(?P<more> and (?:a |one[- ])(?:half|quarter)))?(?![\w-])"
    r"|(?P<half>half|a half|a dozen)(?![\w-])|(?P<times>twice|double|thrice|triple)(?![\w-])",
    re.IGNORECASE,
)


def number_word(word: re.Match[str]) -> Fraction:
    """The number of a match of NUMBER_WORD: "twenty-four", "two thirds", "half", "twice"."""
    if word["times"]:
        return Fraction(2 if word["times"].lower() in ("twice", "double") else 3)
    if word["half"]:
        return Fraction(12) if "dozen" in word["half"].lower() else Fraction(1, 2)
    if word["tens"]:
        ones = NAMES.index(word["ones"].lower()) if word["ones"] else 0
        number = 20 + 10 * _TENS.index(word["tens"].lower()) + ones
    else:
        number = NAMES.index(word["name"].lower())
    more = Fraction(1, 4 if word["more"].endswith("quarter") else 2) if word["more"] else 0
    return Fraction(number, _PARTS[word["part"].lower()] if word["part"] else 1) + more
