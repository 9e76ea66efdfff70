"""A checkpoint as a model of transformers, for every forward pass of our own: the trainers' and the sampler's."""

from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel

from mmr1.models.vision_attention import use_vision_attention


def load_model(folder: str | Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model of a Hugging Face folder with weights of this type; its tower attends as `vision_attention` does."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    use_vision_attention(model)
    return model
