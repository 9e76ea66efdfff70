"""A problem as chat turns: where the system prompt goes, where the images stand, how choices are listed."""

from pathlib import Path
from typing import Any

from mmr1.data.problems import IMAGE_MARK, Problem
from mmr1.models.family import special_texts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.fields import PromptPosition
from mmr1.plumbing.files import UTF_8


def chat_turns(problem: Problem, system_prompt: str | None, position: PromptPosition) -> list[dict[str, Any]]:
    """The chat turns for a problem, each `<image>` mark a part of its own, with the system prompt in its place."""
    texts = shown_question(problem).split(IMAGE_MARK)
    turns = []
    if system_prompt and position == "system":
        turns.append({"role": "system", "content": [{"type": "text", "text": system_prompt}]})
    elif system_prompt:
        texts[0] = f"{system_prompt} {texts[0]}"  # a mark in the prompt stands for no image
    parts: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        if index:
            parts.append({"type": "image"})
        if text:
            parts.append({"type": "text", "text": text})
    return [*turns, {"role": "user", "content": parts}]


def shown_question(problem: Problem) -> str:
    """The question, and under it the choices with their letters where it has any and does not list them itself."""
    if not problem.choices or problem.metadata.get("choices_in_question"):
        return problem.question
    lines = [f"({chr(ord('A') + index)}) {choice}" for index, choice in enumerate(problem.choices)]
    return "\n".join([problem.question, "Choices:", *lines])


def read_prompt(path: Path | None) -> str | None:
    """A system prompt's text without the newline at its end; None for no file.

    Raises UserError if it is not UTF-8, or has a model's special token in it.
    """
    try:
        text = None if path is None else path.read_text(encoding=UTF_8).strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected a text in UTF-8: {error}") from None
    if special := special_texts().search(text or ""):
        raise UserError(f"{path}: expected a system prompt without a model's special tokens, found {special[0]}")
    return text
