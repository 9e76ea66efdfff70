"""Sizes of a model: how many weights its parts have, and what attention spans, from its `config.json` alone.

Needs no torch: what a job will take in time and memory is known before anything is loaded.
"""

from dataclasses import dataclass
from typing import Any

from mmr1.models.families import Family
from mmr1.models.settings import TinyArchitecture

TINY_VOCABULARY = 112  # special tokens, marks and characters of the tiny tokenizer


@dataclass(frozen=True)
class Shape:
    """Numbers of weights by part, and sizes that the work of attention follows from.

    `embedding` is a lookup and costs no FLOPs; where it is tied, `head` are the same weights and count once in `total`.
    `width` is what all heads have together, `keys` what those of keys have, and `inner` the width of the MLP. A patch
    attends to the patches of its window in most blocks of the vision tower, and to its whole image in `whole_blocks`.
    """

    text: int
    embedding: int
    head: int
    tied: bool
    vision: int
    merger: int
    vocabulary: int
    layers: int
    hidden: int
    inner: int
    heads: int
    width: int
    keys: int
    vision_width: int
    vision_inner: int
    vision_heads: int
    window_blocks: int
    whole_blocks: int
    window: int  # patches
    merge: int  # patches per visual token
    visual_token_pixels: int

    @property
    def total(self) -> int:
        """All weights of the checkpoint."""
        head = 0 if self.tied else self.head
        return self.text + self.embedding + head + self.vision + self.merger


def shape_of(config: dict[str, Any], family: Family) -> Shape:
    """The shape of a model from its `config.json` as a dictionary. Raises KeyError for a size that it does not name."""
    text, vision = config.get("text_config", config), config["vision_config"]
    hidden, heads = text["hidden_size"], text["num_attention_heads"]
    head = text.get("head_dim") or hidden // heads
    keys = head * text["num_key_value_heads"]
    queries = head * heads
    mlp = 3 * hidden * text["intermediate_size"]
    layer = 2 * queries * hidden + 2 * keys * hidden + mlp + 2 * hidden + family.attention_extras(queries, keys, head)
    vocabulary = text.get("vocab_size") or config["vocab_size"]
    width, depth = vision["hidden_size"], vision["depth"]
    tower, merger = family.vision_weights(vision)
    whole = len(vision.get("fullatt_block_indexes", range(depth)))
    side = vision.get("window_size", 0) // vision["patch_size"]
    return Shape(
        text=text["num_hidden_layers"] * layer + hidden,
        embedding=vocabulary * hidden,
        head=vocabulary * hidden,
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        vision=tower,
        merger=merger,
        vocabulary=vocabulary,
        layers=text["num_hidden_layers"],
        hidden=hidden,
        inner=text["intermediate_size"],
        heads=heads,
        width=queries,
        keys=keys,
        vision_width=width,
        vision_inner=vision["intermediate_size"],
        vision_heads=vision["num_heads"],
        window_blocks=depth - whole,
        whole_blocks=whole,
        window=side**2,
        merge=vision["spatial_merge_size"] ** 2,
        visual_token_pixels=(vision["spatial_merge_size"] * vision["patch_size"]) ** 2,
    )


def tiny_shape(architecture: TinyArchitecture) -> Shape:
    """The shape of the model that `build_tiny_model.py` makes."""
    family = architecture.family.module.FAMILY
    config = {
        "text_config": {
            "hidden_size": architecture.hidden_size,
            "intermediate_size": architecture.intermediate_size,
            "num_hidden_layers": architecture.layers,
            "num_attention_heads": architecture.heads,
            "num_key_value_heads": architecture.key_value_heads,
            "vocab_size": TINY_VOCABULARY,
        },
        "vision_config": family.tiny_vision(architecture),
        "tie_word_embeddings": False,
    }
    return shape_of(config, family)
