"""Answers that no person would write: what a scorer has to survive."""

from collections.abc import Iterator

import numpy as np

from mmr1.seeds import generator

PIECES = [
    "\\boxed{", "}", "{", "}}", "{{", "\\boxed", "<answer>", "</answer>", "<think>", "</think>", "\\frac",
    "\\frac{1}{2}", "\\sqrt", "\\sqrt{", "\\text{", "\\mathrm{~cm}^{2}", "\\left(", "\\right)", "^", "^{",
    "_", "\\", "\\\\", "$", "$$", "(", ")", "[", "]", "(A)", "(b)", "A", "B", "C, D", "E.", "No", "False",
    "None", "nan", "inf", "-inf", "1_000", "0x1F", "5", "15", "-5", "1e999999999", "9^9^9^9^9",
    "9" * 350, "1e999", "1e-999", "10^{999}", "9^{999}" * 20, "(1e999, 2e999)",
    "10^{10^{10}}", "99999999!", "1/0", "0/0", "1:0", ".5", "5.", "5..5", "1,234,567", "1,2,3", "[1, 2]",
    "(1,2)", "2 million", "4.9%", "\\%", "°", "^\\circ", "km/h", "x=", "=", "==", "<", ">", "the answer is ",
    "Answer: ", "答案是", "二", "٣", "½", "²", "π", "∞", "∑", "\u202e", "\u200f", "\u0000", "\x07", "\x1b[31m",
    "\ud800", "\U0001f600", "\n", "\r\n", "\t", "\u2028", " ", "|", "&", "#", "~", "`", '"', "'", "%s", "{0}",
    "__import__('os')", "';--", "<image>", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\int_0^1 x dx",
    "\\lim_{x\\to0}", "e^{i\\pi}", "i", "x", "\\pi", "\\infty", "\\cup", "domain: [-4, 0)", "and", "or",
    "units", "square", "A" * 50,
]  # fmt: skip

LONG = [
    "{" * 100_000, "}" * 100_000, "\\boxed{" * 14_000, "OXED{" * 20_000, "9" * 100_000, "(" * 100_000,
    "-" * 100_000, "\\frac{1}{" * 10_000, "\\sqrt{" * 16_000, " " * 100_000, "a " * 50_000, "\n" * 100_000,
    "1," * 50_000, "$" * 100_000, "\\text{" * 16_000 + "}" * 16_000, "the answer is " * 7_000,
    "<answer>" * 12_000, "(A)" * 33_000, "1 2 " * 25_000, "^" * 100_000, "=" * 100_000, "\u202e" * 100_000,
    "是" * 100_000, "5 m" * 33_000, "1.5" * 33_000, "is " * 33_000,
]  # fmt: skip


def answers(count: int, seed: int) -> Iterator[str]:
    """`count` answers: pieces thrown together, in a box or bare, and the long ones in between."""
    random = generator(seed, "generated answers")
    yield from LONG
    for text in LONG:
        yield f"\\boxed{{{text}}}"
    for _ in range(count - 2 * len(LONG)):
        yield _one(random)


def _one(random: np.random.Generator) -> str:
    chosen = random.integers(len(PIECES), size=random.integers(0, 9))
    text = "".join(PIECES[index] for index in chosen)
    return f"so \\boxed{{{text}}}" if random.random() < 0.7 else text
