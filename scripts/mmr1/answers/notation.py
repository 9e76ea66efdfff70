r"""One form of notation: whatever a number or a formula is written in becomes the same plain text.

`30^\circ`, `30 degrees` and `30°` are `30°`; `\frac{1}{2}`, `½` and `1／2` are `1/2`; `5\sqrt{3}` and `5√3` are `5√3`;
`x²` is `x^2`, `1{,}234`, `1 234` and `1,234` are `1234`. Braces of LaTeX become round brackets, or nothing; braces that
are left are those of a set. What is no notation, words above all, stays as it is.

Everything takes time linear in the length of the text; what is longer than `LONGEST` is no answer, and only stripped.
"""

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

LONGEST = 2_000  # characters
DEEPEST = 40  # braces inside braces

REPEATED = "¯"  # stands around the digits of a decimal that repeat: 0.¯3¯ is 1/3

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ", "0123456789+-()nx")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
# Before Unicode's own normal form, which would make `º` an o; the last sign is a degree sign read in a wrong encoding.
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("º˚∘掳", "°"),
        **dict.fromkeys("−–—‐‑‒﹣", "-"),
        **dict.fromkeys("×·⋅∙•✕", "*"),
        **dict.fromkeys("‘’ʼ′", "'"),
        **dict.fromkeys("“”″„", '"'),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", None),
        "÷": "/", "∕": "/", "⩽": "≤", "⩾": "≥", "≦": "≤", "≧": "≥", "≃": "≈", "≅": "≈", "∼": "~", "𝜋": "π", "Π": "π",
        "、": ", ", "。": ". ", "∶": ":", "【": "[", "】": "]", "〈": "(", "〉": ")", "µ": "μ",
        "∨": " or ", "∧": " and ",
    }
)  # fmt: skip

_WRAPPERS = frozenset(
    re.findall(
        r"\w+",
        "text textbf textit textrm textsf texttt textnormal mathrm mathbf mathit mathsf mathtt mathcal "
        "mathbb operatorname mbox fbox hbox boxed rm bf it boldsymbol emph underline bm pmb vec "
        "overrightarrow widehat hat",
    )
)
_FRACTIONS = frozenset(("frac", "dfrac", "tfrac", "cfrac"))
_OVERLINES = frozenset(("overline", "bar", "dot"))
_SILENT = frozenset(
    re.findall(
        r"\w+",
        "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits mathstrut nolimits",
    )
)
_SPACES = frozenset(("quad", "qquad", "hspace", "space", "thinspace", "enspace", ",", ";", ":", " ", "\n", "\\", "~"))
_FUNCTION_NAMES = re.findall(r"\w+", "sin cos tan cot sec csc arcsin arccos arctan log ln lg max min or and")
_NAMES = {
    "circ": "°", "degree": "°", "times": "*", "cdot": "*", "ast": "*", "div": "/", "pm": "±", "mp": "∓", "infty": "∞",
    "pi": "π", "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥", "lt": "<", "gt": ">",
    "ne": "≠", "neq": "≠", "approx": "≈", "simeq": "≈", "cong": "≈", "sim": "~", "cup": "∪", "cap": "∩", "in": "∈",
    "to": "→", "rightarrow": "→", "angle": "∠", "triangle": "△", "prime": "'", "lbrace": "{", "rbrace": "}",
    "lbrack": "[", "rbrack": "]", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|", "ldots": "...", "dots": "...",
    "cdots": "...", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "theta": "θ", "lambda": "λ", "mu": "μ", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "varphi": "φ",
    "omega": "ω", "Omega": "Ω", "Delta": "Δ", "mathbbR": "ℝ", "exp": " exp", "cosec": " csc ", "euro": "€",
    "pounds": "£", "setminus": "∖", "backslash": "∖", "lor": " or ", "land": " and ",
    "emptyset": "∅", "varnothing": "∅",
    **{name: f" {name} " for name in _FUNCTION_NAMES},
}  # fmt: skip
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[{}^_~$]|[^\\{}^_~$]+|\\\Z", re.DOTALL)
_SIMPLE = re.compile(r"[\d.]*[%°]?|\w")
_WORDS = re.compile(r"[^+\-*/^=<>≤≥|√()\[\],]*")
_WHOLE_BEFORE = re.compile(r"(?<![\w.^)])(\d+) *$")
_DECIMAL_BEFORE = re.compile(r"\d*\.\d*$")


@lru_cache(50_000)
def normal(text: str) -> str:
    """A text in the one form of notation. Never raises."""
    if len(text) > LONGEST:
        return text.strip()
    text = _unicode(text)
    if re.search(r"[\\{}^_~$]", text):
        text = _Latex(text).read()
    return _numbers(_words(text)).strip(" \t\n,;:?\"'`*").rstrip(".").rstrip()


def _unicode(text: str) -> str:
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣ]+", lambda run: _raised(run[0].translate(_SUPERSCRIPTS)), text.translate(_SIGNS))
    text = re.sub("[₀-₉]+", lambda run: "_" + run[0].translate(_SUBSCRIPTS), text)
    text = re.sub(r"\bU\.?S\.?\s*\\?\$", "$", text)
    text = re.sub("(?<=\\.)(\\d*?)((?:\\d\u0305)+)", lambda run: run[1] + _repeating(run[2]), text)
    text = re.sub("[¼-¾⅐-⅞↉]", _vulgar, text)
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    return text.replace("⁄", "/").replace("/*", "/")


def _raised(exponent: str) -> str:
    return f"^{exponent}" if re.fullmatch(r"\d+|\w", exponent) else f"^({exponent})"


def _repeating(run: str) -> str:
    """Digits under bars."""
    return REPEATED + run.replace("\u0305", "") + REPEATED


def _vulgar(sign: re.Match[str]) -> str:
    """`½` as `1/2`, and as ` 1/2` behind a digit: 2½ is two and a half."""
    value = Fraction(unicodedata.numeric(sign[0])).limit_denominator(10)
    before = sign.string[: sign.start()].rstrip()[-1:]
    return f"{' ' if before.isdigit() else ''}{value.numerator}/{value.denominator}"


class _Latex:
    """Reads LaTeX, or a text with some of it, from its front. An unknown command stays, as `\\name `."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._position = 0
        self._depth = 0

    def read(self) -> str:
        parts: list[str] = []
        while self._position < len(self._tokens):
            parts.append(self._until_brace())
            self._position += 1  # a closing brace that nothing opened
        return "".join(parts)

    def _until_brace(self) -> str:
        """What stands up to the closing brace of this level, or the end."""
        text = ""
        while self._position < len(self._tokens) and self._tokens[self._position] != "}":
            token = self._tokens[self._position]
            self._position += 1
            text += self._one(token, text)
        return text

    def _one(self, token: str, before: str) -> str:
        if token == "{":
            return self._bare_group()
        if token in "^_":
            return self._script(token)
        if token == "~":
            return " " if before[-1:] not in ("", " ") or before == "" else ""
        if token == "$":
            return ""
        if token[0] != "\\" or len(token) == 1:
            return token
        return self._command(token[1:], before)

    def _command(self, name: str, before: str) -> str:
        if name in _FRACTIONS:
            return self._fraction(before)
        if name == "sqrt":
            return self._root()
        if name in _WRAPPERS:
            return self._wrapped(name)
        if name in _OVERLINES:
            digits = self._argument()
            repeats = digits.isdigit() and _DECIMAL_BEFORE.search(before)
            return f"{REPEATED}{digits}{REPEATED}" if repeats else digits
        if name in _SILENT or name == "!":
            return ""
        if name in _SPACES:
            return " "
        if name in ("binom", "dbinom", "tbinom"):
            return f" binom({self._argument()},{self._argument()})"
        if name in _NAMES:
            return _NAMES[name]
        if name.startswith("circ"):  # \\circT, a true bearing
            return f"°{name[4:]}"
        return "" if name in "()[]$" else name if len(name) == 1 and not name.isalpha() else f"\\{name} "

    def _wrapped(self, name: str) -> str:
        if self._next() != "{":
            return " "
        content = self._argument()
        if name == "mathbb" and content == "R":
            return "ℝ"
        return content if re.fullmatch(r"[\d.,]+", content) else f" {content} "

    def _fraction(self, before: str) -> str:
        above, below = self._argument(), self._argument()
        if above.isdecimal() and below.isdecimal() and int(above) < int(below) and _WHOLE_BEFORE.search(before):
            return f" {above}/{below}"  # a mixed number
        return f"({_grouped(above)}/{_grouped(below)})"

    def _root(self) -> str:
        index = ""
        if self._next().startswith("["):
            rest = ""
            while self._position < len(self._tokens) and not rest.endswith("]"):
                token = self._tokens[self._position]
                before, bracket, after = token.partition("]")
                rest += before + bracket
                self._tokens[self._position] = after
                if not after:
                    self._position += 1
            index = rest.strip("[]")
        radicand = self._argument()
        return f" root({index or 2},{radicand})" if index not in ("", "2") else f"√{_grouped(radicand)}"

    def _script(self, sign: str) -> str:
        content = self._argument(run=True).strip()
        if sign == "^" and content in ("°", "o", "'"):
            return "°" if content == "o" else content
        if content.startswith("°"):
            return content
        if sign == "_":
            bare = re.fullmatch(r"\w*", content) is not None
        else:  # 2^{3}3^{2} is 72
            bare = re.fullmatch(r"\d*|\w", content) is not None and not self._next()[:1].isdigit()
        return sign + (content if bare else f"({content})")

    def _next(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _argument(self, run: bool = False) -> str:
        """The next group, command or character; `run`: or number (of `10^12` the exponent is 12)."""
        while self._position < len(self._tokens) and not self._tokens[self._position].strip():
            self._position += 1
        token = self._next()
        if token in ("", "}"):
            return ""
        if token == "{":
            self._position += 1
            return self._group()
        if token[0] == "\\":
            self._position += 1
            self._depth += 1
            if self._depth > DEEPEST:
                self._position = len(self._tokens)
                return ""
            content = self._one(token, "")
            self._depth -= 1
            return content
        if token in "^_~$":
            self._position += 1
            return ""
        number = re.match(r"\s*([+-]?\d+)", token) if run else None
        length = number.end() if number else len(token) - len(token.lstrip()) + 1
        self._tokens[self._position] = token[length:]
        if not self._tokens[self._position]:
            self._position += 1
        return token[:length].strip()

    def _group(self) -> str:
        """The inside of braces whose opening one was read."""
        self._depth += 1
        if self._depth > DEEPEST:
            self._position = len(self._tokens)
            return ""
        content = self._until_brace()
        self._position += 1
        self._depth -= 1
        return content

    def _bare_group(self) -> str:
        r"""Braces that are no argument: none are left of words or one number, `{,}` is a comma, the rest a bracket."""
        content = self._group()
        if content.strip() == "," or _WORDS.fullmatch(content):
            return content.strip() if content.strip() in (",", ".") else content
        return f"{{{content}}}" if "," in content and not content.startswith("(") else f"({content})"


def _grouped(text: str) -> str:
    text = text.strip()
    return text if _SIMPLE.fullmatch(text) else f"({text})"


def _minutes_of_arc(angle: re.Match[str]) -> str:
    """`30°15'20"`, whose last signs would be taken for quotation marks."""
    return f"° {angle[1]} arcmin" + (f" {angle[2]} arcsec" if angle[2] else "")


_WORD_SIGNS = (
    (re.compile(r"(?<![a-zA-Z])pi(?![a-zA-Z])"), "π"),
    (re.compile(r"(?<![a-zA-Z\\])sqrt\s*(?=[\d(a-z])"), "√"),
    (re.compile(r"(?<![a-zA-Z])cosec(?![a-zA-Z])"), "csc"),
    (re.compile(r"(?<![a-zA-Z])(?:infinity|infty|inf)(?![a-zA-Z])"), "∞"),
    (re.compile(r"(?<=[\d)π])[\s-]*deg(?:rees?)?\b", re.IGNORECASE), "°"),
    (re.compile(r"(?<=[\d)])\s*(?:percent(?:age points?)?|per cent|pct|pp)\b", re.IGNORECASE), "%"),
    (re.compile(r"(?<=\d)° ?(\d{1,2})'(?: ?(\d{1,2}(?:\.\d+)?)(?:\"|''))?(?!\w)"), _minutes_of_arc),
    (re.compile(r"(?<![\w.])(\d+)' ?(\d+(?:\.\d+)?)(?:\"|'')"), r"\1 ft \2 in"),
    (re.compile(r"(?<=\d)\s*x\s*(?=10\s*\^)"), "*"),
    (re.compile(r"(?<=\d) and (?:a half|1/2)\b"), " 1/2"),
    (re.compile(r"(?<![\w)])(\*\*|__)(?=\S)([^*_]+?)(?<=\S)\1"), r"\2"),  # bold
    (re.compile(r"(?<=[\w)])\s*\*\*\s*(?=[\d(])(?=\S+$)"), "^"),
    (re.compile(r"\*\*|__|`"), ""),
    (re.compile(r"<=|=<"), "≤"),
    (re.compile(r">=|=>"), "≥"),
    (re.compile(r"!=|<>|=/="), "≠"),
    (re.compile(r"\+/-"), "±"),
    (re.compile(r"\s+"), " "),
    (re.compile(r" ?([\^_]) ?"), r"\1"),
    (re.compile(r"(?<=[\d)π.]) (?=[°%])"), ""),
    (re.compile(r"\$"), ""),
    (re.compile(r"√ "), "√"),
)  # fmt: skip


def _words(text: str) -> str:
    """Words and signs of a keyboard that stand for notation."""
    for pattern, sign in _WORD_SIGNS:
        text = pattern.sub(sign, text)  # type: ignore[arg-type]
    return text


_BRACKETED = re.compile(r"\s*[\[({].*[\])}]\s*", re.DOTALL)
_COMMAS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SPACED = re.compile(r"(?<![\d.,/])(?<![\d.,/] )\d{1,3}(?:[ ']\d{3})+(?![\d/])(?! \d)")
_PERIODIC = re.compile(r"(\d*\.\d*?)(\d{1,6}?)\2{2,}\d{0,5}\Z")
_LONGEST_DECIMAL = 60  # characters before three dots in which a period is looked for


def _numbers(text: str) -> str:
    """Without thousands separators, and with the period of a repeating decimal marked."""
    if not _BRACKETED.fullmatch(text):
        text = _COMMAS.sub(lambda number: number[0].replace(",", ""), text)
    text = _SPACED.sub(lambda number: re.sub("[ ']", "", number[0]), text)
    *before, last = text.split("...")
    return "".join(map(_marked_period, before)) + last


def _marked_period(text: str) -> str:
    """A text that stood before three dots: with its period marked, if it ends in a decimal that has one."""
    end = text[-_LONGEST_DECIMAL:]
    found = _PERIODIC.search(end)
    if found is None:
        return f"{text}..."
    return f"{text[: len(text) - len(end) + found.start()]}{found[1]}{REPEATED}{found[2]}{REPEATED}"
