"""The cutoff: a response that is too long is cut at its end; a conversation whose prompt leaves no room for one is left
out. A prompt is never cut: it ends in the question, and the tokens of an image have to be as many as its features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmr1.data.chat import shown_question
from mmr1.data.conversations import ConversationFile, Pairs, naming_row
from mmr1.data.problems import IMAGE_MARK, Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.progress import log, track


@dataclass(frozen=True)
class Fit:
    """Which conversations are trained on, by their numbers in order, and what the cutoff does to all of them."""

    kept: Sequence[int]
    cut: int  # of those that are kept, how many lose the end of their response
    left_out: int


def fit(name: str, rows: Pairs, encoder: PromptEncoder, cutoff: int) -> Fit:
    """What a cutoff of so many tokens does to conversations, as `fit_lengths` tells.

    Most are known to fit by bounds, the bytes of their texts and the most visual tokens that an image can take; images
    are read only where those do not decide.
    """
    texts = rows.texts() if isinstance(rows, ConversationFile) else rows
    bounds = Bounds(rows, encoder, cutoff)
    told = track(texts, f"lengths of {name}", len(rows))
    lengths = (bounds(number, *conversation) for number, conversation in enumerate(told))
    return fit_lengths(name, lengths, len(rows), cutoff)


def fit_lengths(name: str, lengths: Iterable[tuple[int, int]], count: int, cutoff: int) -> Fit:
    """What a cutoff of so many tokens does to conversations, told in a line where it does anything.

    `lengths` are the tokens of each prompt and of its response. Raises UserError if no conversation is left.
    """
    left_out: list[int] = []
    cut = 0
    for number, (prompt, answer) in enumerate(lengths):
        if prompt >= cutoff:
            left_out.append(number)
        elif prompt + answer > cutoff:
            cut += 1
    if len(left_out) == count:
        raise UserError(
            f"{name}: cutoff: expected room for a prompt and at least one token of its response, found none in any of "
            f"{count} conversations ({cutoff} tokens)"
        )
    if cut or left_out:
        first = f", the first of them row {left_out[0]}" if left_out else ""
        log(
            f"{name}: of {count} conversations {cut} end at the cutoff of {cutoff} tokens, and {len(left_out)} are "
            f"left out, for their prompts alone are longer{first}"
        )
    missing = set(left_out)
    kept = [number for number in range(count) if number not in missing] if missing else range(count)
    return Fit(kept, cut, len(left_out))


def count_tokens(name: str, rows: Pairs, encoder: PromptEncoder, numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The tokens of the prompts of these rows and of their responses with their ends; no image is decoded."""
    tokenizer = encoder.processor.tokenizer
    counts = []
    for number in track(numbers, f"lengths of {name}"):
        problem, response = rows[number]
        answer = len(tokenizer(response, add_special_tokens=False).input_ids) + 1
        with naming_row(rows, number):
            counts.append((encoder.length(problem), answer))
    return counts


class Bounds:
    """The tokens of a prompt and of the response with its end; bounds from above where these show that all fits."""

    def __init__(self, rows: Pairs, encoder: PromptEncoder, cutoff: int) -> None:
        self.rows, self.encoder, self.cutoff = rows, encoder, cutoff
        self.most = encoder.most_visual_tokens
        self.frame = self._bytes("")
        self.mark = self._bytes(IMAGE_MARK) - self.frame

    def __call__(self, number: int, problem: Problem, response: str) -> tuple[int, int]:
        # A token is a byte at least.
        images, shown = len(problem.images), shown_question(problem)
        prompt = self.frame + images * (self.mark + self.most) + len(shown.encode())
        answer = len(response.encode()) + 1
        if prompt + answer <= self.cutoff:
            return prompt, answer
        tokenizer = self.encoder.processor.tokenizer
        texts = [self.encoder.text(problem), response]
        prompt, answer = (len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids)
        answer += 1
        if prompt + images * self.most + answer <= self.cutoff:
            return prompt + images * self.most, answer
        with naming_row(self.rows, number):
            return self.encoder.length(self.rows[number][0]), answer

    def _bytes(self, question: str) -> int:
        images = (b"",) * question.count(IMAGE_MARK)
        return len(self.encoder.text(Problem("", "", question, images, "")).encode())
