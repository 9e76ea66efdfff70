"""A checkpoint as a model of transformers, for every forward pass of our own: the trainers' and the sampler's."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from mmr1.models.family import family_of
from mmr1.models.shapes import Shape, shape_of
from mmr1.models.vision_attention import use_vision_attention
from mmr1.models.vision_positions import remember_positions


def load_model(folder: str | Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a Hugging Face folder with weights of this type.

    Its tower attends as `vision_attention` does, and remembers the positions in images (`vision_positions`).
    """
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    use_vision_attention(model)
    remember_positions(model)
    return model


def shape_in(folder: str | Path) -> Shape:
    """The sizes of the model in a Hugging Face folder, of which no weight is read."""
    config = AutoConfig.from_pretrained(folder)
    return shape_of(config.to_dict(), family_of(config))
