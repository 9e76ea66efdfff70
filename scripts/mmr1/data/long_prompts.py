"""Problems whose prompt is longer than the trainer takes: their images are scaled down, as far as it needs.

All images of a problem are scaled by one factor from the size at which the processor would show them: the largest
factor, in steps of a hundredth of the sides, with which the prompt fits. Pillow's LANCZOS filter makes them, and they
are kept as PNG. None gets smaller than the processor's least area.
"""

import io
from collections.abc import Iterable
from dataclasses import replace

from PIL import Image

from mmr1.data.images import MAX_ASPECT, open_image, shown_size
from mmr1.data.problems import BrokenRow, Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.rejects import LeftOut
from mmr1.data.sources.mmr1 import LongPrompts

STEPS = 100


def fitting(problem: Problem, encoder: PromptEncoder, limit: int, rule: LongPrompts) -> Problem:
    """The problem with a prompt of at most `limit` tokens, by the recipe's rule for longer ones.

    Raises LeftOut where that leaves it out, and BrokenRow where it refuses it.
    """
    length = prompt_tokens(problem, encoder)
    if length <= limit:
        return problem
    if rule == "shrink" and (smaller := shrunk(problem, encoder, limit)) is not None:
        return smaller
    message = f"expected a prompt of at most {limit} tokens, found {length}"
    raise BrokenRow(message) if rule == "refuse" else LeftOut(message)


def shrunk(problem: Problem, encoder: PromptEncoder, limit: int) -> Problem | None:
    """The problem with images with which its prompt has at most `limit` tokens; None if there are none.

    Its metadata say how its images were scaled: `{"shrunk": {"from": [[height, width], …], "to": …}}`.
    """
    images = [open_image(data) for data in problem.images]
    sizes = [(image.height, image.width) for image in images]
    text = text_tokens(problem, encoder)
    bounds = encoder.images_kwargs["size"]
    least, most = bounds["shortest_edge"], bounds["longest_edge"]  # areas, whatever they are called
    for step in range(STEPS - 1, 0, -1):
        scaled = [scaled_size(size, step / STEPS, least, most) for size in sizes]
        if text + sum(tokens(encoder, scaled)) <= limit:
            break
    else:
        return None
    data = tuple(png(image, size) for image, size in zip(images, scaled, strict=True))
    note = {"from": [list(size) for size in sizes], "to": [list(size) for size in scaled]}
    return replace(problem, images=data, metadata=problem.metadata | {"shrunk": note})


def prompt_tokens(problem: Problem, encoder: PromptEncoder) -> int:
    """The length of a problem's prompt in tokens, as the trainer counts it."""
    return text_tokens(problem, encoder) + sum(tokens(encoder, map(shown_size, problem.images)))


def text_tokens(problem: Problem, encoder: PromptEncoder) -> int:
    """How many tokens a problem's prompt has beside its images. Unlike `encoder.length`, it keeps no problem."""
    return len(encoder.processor.tokenizer(encoder.text(problem), add_special_tokens=False)["input_ids"]) - len(
        problem.images
    )


def tokens(encoder: PromptEncoder, sizes: Iterable[tuple[int, int]]) -> list[int]:
    """How many tokens images of these heights and widths take."""
    count = encoder.family.count_visual_tokens
    return [count(encoder.processor, height, width, encoder.images_kwargs) for height, width in sizes]


def scaled_size(size: tuple[int, int], factor: float, least: int, most: int) -> tuple[int, int]:
    """Height and width, scaled from those that have an area of at most `most`.

    They stay as they are where that is less than the area `least`, or an image that the processor refuses.
    """
    shown = min(1.0, (most / (size[0] * size[1])) ** 0.5)
    height, width = (max(1, round(side * shown * factor)) for side in size)
    there = height * width >= least and max(height, width) <= MAX_ASPECT * min(height, width)
    return (height, width) if there else size


def png(image: Image.Image, size: tuple[int, int]) -> bytes:
    """An image at this height and width, as PNG; the same bytes on each machine with one Pillow."""
    buffer = io.BytesIO()
    image.resize((size[1], size[0]), Image.Resampling.LANCZOS).save(buffer, "PNG")
    return buffer.getvalue()
