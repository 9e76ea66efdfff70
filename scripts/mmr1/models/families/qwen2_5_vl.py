"""Qwen2.5-VL (arXiv 2502.13923): the paper's models, 3B, 7B and 32B.

An image is cut into patches of 14 × 14 pixels, 2 × 2 of which make one visual token. Visual tokens have positions in
time, height and width (multimodal RoPE).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mmr1.data.images import MAX_ASPECT
from mmr1.models.families import Family, Features

if TYPE_CHECKING:
    import torch

    from mmr1.models.settings import TinyArchitecture

TITLE = "Qwen2.5-VL"
EXAMPLE = """
models:
  3b:
    base: {hub: Qwen/Qwen2.5-VL-3B-Instruct, revision: 66285546d2b821cf421d4f5eb2576359d3770cd3, family: qwen2_5_vl}
"""

# The turns of the chat format, without the default system prompt of the released checkpoints.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _released(
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    key_value_heads: int,
    vocabulary: int,
    tied: bool,
    inner: int,
) -> dict[str, Any]:
    """What the `config.json` of a released size says of it."""
    text = {"hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers}
    text |= {"num_attention_heads": heads, "num_key_value_heads": key_value_heads, "vocab_size": vocabulary}
    vision: dict[str, Any] = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": inner,
        "num_heads": 16,
        "out_hidden_size": hidden,
    }
    vision |= {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112}
    vision |= {"fullatt_block_indexes": [7, 15, 23, 31]}
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": tied}


RELEASED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": _released(2048, 11008, 36, 16, 2, 151_936, True, 3420),
    "Qwen/Qwen2.5-VL-7B-Instruct": _released(3584, 18944, 28, 28, 4, 152_064, False, 3420),
    "Qwen/Qwen2.5-VL-32B-Instruct": _released(5120, 27648, 64, 40, 8, 152_064, False, 3456),
}


class Qwen25VL(Family):
    """See the module."""

    MODEL_TYPES: tuple[str, ...] = ("qwen2_5_vl",)
    PROCESSORS: tuple[str, ...] = ("Qwen2_5_VLProcessor",)
    SPECIAL: tuple[str, ...] = (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|vision_pad|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    RELEASED = RELEASED
    PATCH = 14  # pixels of a patch's side in tiny models
    MERGE = 2

    def image_token(self, config: Any) -> int:
        return int(config.image_token_id)

    def visual_tokens(self, config: Any) -> set[int]:
        return {
            config.image_token_id,
            config.video_token_id,
            config.vision_start_token_id,
            config.vision_end_token_id,
        }

    def images_kwargs(self, processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, Any]:
        size = processor.image_processor.size
        return {
            "size": {
                "shortest_edge": min_pixels if min_pixels is not None else size["shortest_edge"],
                "longest_edge": max_pixels if max_pixels is not None else size["longest_edge"],
            }
        }

    def count_visual_tokens(self, processor: Any, height: int, width: int, images_kwargs: dict[str, Any]) -> int:
        size, images = images_kwargs["size"], processor.image_processor
        bounds = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        return int(images.get_number_of_image_patches(height, width, bounds)) // images.merge_size**2

    def most_visual_tokens(self, processor: Any, images_kwargs: dict[str, Any]) -> int:
        images = processor.image_processor
        token = (images.patch_size * images.merge_size) ** 2  # pixels
        low, high = (images_kwargs["size"][edge] / token for edge in ("shortest_edge", "longest_edge"))
        # Sides are rounded: down to `high`, but to one token at least, or up from `low`.
        up = low + (MAX_ASPECT + 1) / MAX_ASPECT**0.5 * low**0.5 + 1
        return math.ceil(max(high, (MAX_ASPECT * high) ** 0.5, up))

    def blank_image(self, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        vision = config.vision_config
        side = vision.spatial_merge_size
        width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        return torch.zeros(side * side, width), torch.tensor([[1, side, side]])

    def positions(
        self,
        model: Any,
        input_ids: torch.Tensor,
        image_grid_thw: torch.Tensor | None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        kinds = (input_ids == self.image_token(model.config)).int()
        positions, _ = model.model.get_rope_index(
            input_ids, mm_token_type_ids=kinds, image_grid_thw=image_grid_thw, attention_mask=attention_mask
        )
        return positions

    def vision_tower(self, model: Any) -> Any:
        return model.model.visual

    def image_features(self, model: Any, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor) -> list[Features]:
        encoded = model.model.get_image_features(pixel_values, image_grid_thw, return_dict=True)
        return [(tokens,) for tokens in encoded.pooler_output]

    def encoded_images(self, features: list[Features]) -> dict[str, Any]:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        tokens = tuple(tokens for (tokens,) in features)
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=tokens)}}  # type: ignore[arg-type]

    def attention_mask(self, text_config: Any, mask: Any) -> Any:
        # A dictionary is taken as masks that are made already, one for each kind of layer.
        return dict.fromkeys(text_config.layer_types, mask)

    def vllm_options(self, max_images: int, images_kwargs: dict[str, Any]) -> dict[str, Any]:
        return {
            "limit_mm_per_prompt": {"image": max_images, "video": 0},
            "mm_processor_kwargs": {"images_kwargs": images_kwargs},
        }

    def tiny_processor(self) -> Any:
        from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

        return Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor(**self.tiny_patches()),
            tokenizer=self.tiny_tokenizer(),
            video_processor=Qwen2VLVideoProcessor(**self.tiny_patches()),
            chat_template=CHAT_TEMPLATE,
        )

    def tiny_tokenizer(self) -> Any:
        """One token a character, and the chat format's special tokens under their own names."""
        from mmr1.models.characters import character_tokenizer

        return character_tokenizer(
            self.SPECIAL,
            eos_token="<|im_end|>",
            pad_token="<|endoftext|>",
            extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        )

    def tiny_patches(self) -> dict[str, Any]:
        """How the image processor cuts: from one visual token an image to 16."""
        area = (self.PATCH * self.MERGE) ** 2
        size = {"shortest_edge": area, "longest_edge": 16 * area}
        return {"size": size, "patch_size": self.PATCH, "merge_size": self.MERGE, "temporal_patch_size": 2}

    def tiny_config(self, architecture: TinyArchitecture, tokenizer: Any) -> Any:
        from transformers import Qwen2_5_VLConfig

        # The rotary dimensions are shared between time, height and width as in the released models (1 : 1.5 : 1.5).
        half = architecture.hidden_size // architecture.heads // 2
        time, height = half // 4, (half - half // 4) // 2
        rotary = {"mrope_section": [time, height, half - time - height]}
        return Qwen2_5_VLConfig(
            **self.tiny_parts(architecture, tokenizer, rotary),
            architectures=["Qwen2_5_VLForConditionalGeneration"],
        )

    def tiny_vision(self, architecture: TinyArchitecture) -> dict[str, Any]:
        return {
            "depth": architecture.vision_depth,
            "hidden_size": architecture.vision_hidden_size,
            "intermediate_size": architecture.vision_intermediate_size,
            "num_heads": architecture.vision_heads,
            "initializer_range": architecture.initializer_range,
            "out_hidden_size": architecture.hidden_size,
            "patch_size": self.PATCH,
            "spatial_merge_size": self.MERGE,
            "temporal_patch_size": 2,
            "window_size": 8 * self.PATCH,  # transformers' default, in patches
            "fullatt_block_indexes": [architecture.vision_depth - 1],
        }

    def vision_weights(self, vision: dict[str, Any]) -> tuple[int, int]:
        width, inner, merged = vision["hidden_size"], vision["intermediate_size"], vision["hidden_size"] * self.MERGE**2
        embedding = 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2 * width
        block = 4 * width**2 + 4 * width + 3 * width * inner + 2 * inner + width + 2 * width
        out = vision["out_hidden_size"]
        return embedding + vision["depth"] * block, width + merged**2 + merged + merged * out + out

    def attention_extras(self, queries: int, keys: int, head: int) -> int:
        return queries + 2 * keys  # biases

    def tiny_parts(self, architecture: TinyArchitecture, tokenizer: Any, rotary: dict[str, Any]) -> dict[str, Any]:
        """A config's text and vision and special tokens; `rotary` is what a generation has of its own."""
        token = tokenizer.convert_tokens_to_ids
        return {
            "text_config": {
                "vocab_size": len(tokenizer),
                "hidden_size": architecture.hidden_size,
                "intermediate_size": architecture.intermediate_size,
                "num_hidden_layers": architecture.layers,
                "num_attention_heads": architecture.heads,
                "num_key_value_heads": architecture.key_value_heads,
                "max_position_embeddings": architecture.max_position_embeddings,
                "initializer_range": architecture.initializer_range,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, **rotary},
                "bos_token_id": token("<|endoftext|>"),
                "eos_token_id": token("<|im_end|>"),
                "pad_token_id": token("<|endoftext|>"),
            },
            "vision_config": self.tiny_vision(architecture),
            "image_token_id": token("<|image_pad|>"),
            "video_token_id": token("<|video_pad|>"),
            "vision_start_token_id": token("<|vision_start|>"),
            "vision_end_token_id": token("<|vision_end|>"),
            # Untied: reloading tied weights in place gives wrong outputs in vLLM's CPU build.
            "tie_word_embeddings": False,
            "dtype": "float32",
        }


FAMILY = Qwen25VL()
