"""What a recipe will cost: sizes against the real models', work and jobs against what a finished run did."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2_5_VLConfig

from mmr1.models.family import family
from mmr1.models.settings import TinyArchitecture
from mmr1.plan.shapes import shape_of, tiny_shape
from mmr1.plugins import names


def count(config: AutoConfig) -> int:
    """The number of weights of a model that transformers makes of this config, on no device."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("hub", family("qwen2_5_vl").RELEASED)
def test_a_released_size_has_the_weights_that_transformers_makes(hub: str) -> None:
    values = family("qwen2_5_vl").RELEASED[hub]
    assert shape_of(values, family("qwen2_5_vl")).total == count(Qwen2_5_VLConfig(**values))


@pytest.mark.parametrize("name", names("models/families"))
def test_a_tiny_model_has_the_weights_that_transformers_makes(name: str) -> None:
    architecture = TinyArchitecture.model_validate({"family": name})
    tokenizer = family(name).tiny_processor().tokenizer
    assert tiny_shape(architecture).total == count(family(name).tiny_config(architecture, tokenizer))
