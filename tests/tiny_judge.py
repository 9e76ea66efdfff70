"""A judge that says one word to everything: a tiny model whose weights spell it."""

import itertools
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from mmr1.models.checkpoints import load_processor


def make_judge(tiny_model: Path, folder: Path, word: str) -> None:
    """Write a copy of a tiny model that answers every prompt with `word` (each of its characters once at most).

    Its layers add nothing, so that the next token depends on the last one alone: after the header of its turn comes the
    first character, after each character the next, and the end of its turn after the last.
    """
    shutil.copytree(tiny_model, folder)
    tokenizer = load_processor(folder).tokenizer
    spelled = [*tokenizer.convert_tokens_to_ids(["assistant\n", *word]), tokenizer.eos_token_id]
    weights = load_file(folder / "model.safetensors")
    embedding = next(name for name in weights if name.endswith("embed_tokens.weight"))
    for name, tensor in weights.items():
        if name in (embedding, "lm_head.weight") or name.endswith(("self_attn.o_proj.weight", "mlp.down_proj.weight")):
            tensor.zero_()
    for place, (token, following) in enumerate(itertools.pairwise(spelled)):
        weights[embedding][token, place] = 1
        weights["lm_head.weight"][following, place] = 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
