"""A model small enough for one CPU core: a family's real architecture, tokenizer and processor classes, random weights.

The folder it is saved to is one that transformers and vLLM load like any other of its family.
"""

from pathlib import Path

import torch
import transformers

from mmr1.models.settings import TinyArchitecture


def build(folder: Path, architecture: TinyArchitecture, seed: int) -> int:
    """Save a model with weights drawn from `seed`, its tokenizer and its processor; returns the parameter count."""
    family = architecture.family.module.FAMILY
    processor = family.tiny_processor()
    torch.manual_seed(seed)
    config = family.tiny_config(architecture, processor.tokenizer)
    model = getattr(transformers, config.architectures[0])(config)
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    model.generation_config = transformers.GenerationConfig(eos_token_id=end, pad_token_id=pad, bos_token_id=pad)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.num_parameters()
