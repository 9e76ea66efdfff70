"""Parts of a vision-language model that a training leaves as they are."""

from collections.abc import Collection

from transformers import PreTrainedModel


def freeze(model: PreTrainedModel, parts: Collection[str]) -> None:
    """Take the gradient from the weights of these parts, "vision" or "projector"."""
    for name, parameter in model.named_parameters():
        if part_of(name) in parts:
            parameter.requires_grad_(False)


def part_of(name: str) -> str:
    """The part that a weight belongs to, by its name in the model: vision, projector or language.

    All families have their vision tower under `visual`, and in it what leads to the language model is a `merger`.
    """
    words = name.split(".")
    if "visual" not in words:
        return "language"
    return "projector" if any("merger" in word for word in words) else "vision"
