"""Qwen3-VL (arXiv 2511.21631): as Qwen2.5-VL, with larger patches, interleaved RoPE and DeepStack.

An image is cut into patches of 16 × 16 pixels, 2 × 2 of which make one visual token. DeepStack (arXiv 2406.04334): the
features of some layers of the vision tower are added to the hidden states of the first layers of the language model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmr1.models.families import Features
from mmr1.models.families.qwen2_5_vl import CHAT_TEMPLATE, Qwen25VL

if TYPE_CHECKING:
    import torch

    from mmr1.models.settings import TinyArchitecture

TITLE = "Qwen3-VL"
EXAMPLE = """
models:
  tiny:
    base: {tiny: {family: qwen3_vl}}
"""

# Positions of the vision tower, a square, as the released checkpoints have them at a ninth of the size.
TINY_POSITIONS = 16**2


class Qwen3VL(Qwen25VL):
    """What differs from Qwen2.5-VL; see the module."""

    MODEL_TYPES = ("qwen3_vl",)
    PROCESSORS = ("Qwen3VLProcessor",)
    PATCH = 16

    def image_features(self, model: Any, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor) -> list[Features]:
        encoded = model.model.get_image_features(pixel_values, image_grid_thw, return_dict=True)
        return list(zip(encoded.pooler_output, *encoded.deepstack_features, strict=True))

    def encoded_images(self, features: list[Features]) -> dict[str, Any]:
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        tokens, *deepstack = zip(*features, strict=True)
        encoded = BaseModelOutputWithDeepstackFeatures(
            pooler_output=tokens,  # type: ignore[arg-type]
            deepstack_features=[list(layer) for layer in deepstack],  # type: ignore[arg-type]
        )
        return {"mm_encoder_outputs": {"image": encoded}}

    def attention_mask(self, text_config: Any, mask: Any) -> Any:
        return mask  # one of four dimensions is taken as it is

    def tiny_processor(self) -> Any:
        from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

        return Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(**self.tiny_patches()),
            tokenizer=self.tiny_tokenizer(),
            video_processor=Qwen3VLVideoProcessor(**self.tiny_patches()),
            chat_template=CHAT_TEMPLATE,
        )

    def tiny_config(self, architecture: TinyArchitecture, tokenizer: Any) -> Any:
        from transformers import Qwen3VLConfig

        head = architecture.hidden_size // architecture.heads
        third = head // 2 // 3  # of the rotary dimensions; time has what is left
        parts = self.tiny_parts(
            architecture,
            tokenizer,
            {"mrope_section": [head // 2 - 2 * third, third, third], "mrope_interleaved": True},
        )
        parts["text_config"]["head_dim"] = head
        return Qwen3VLConfig(**parts, architectures=["Qwen3VLForConditionalGeneration"])

    def tiny_vision(self, architecture: TinyArchitecture) -> dict[str, Any]:
        sizes = super().tiny_vision(architecture)
        del sizes["window_size"], sizes["fullatt_block_indexes"]  # each patch attends to its whole image
        # One for each layer of the language model, at most.
        deepstack = list(range(min(architecture.vision_depth, architecture.layers)))
        return sizes | {"num_position_embeddings": TINY_POSITIONS, "deepstack_visual_indexes": deepstack}

    def vision_weights(self, vision: dict[str, Any]) -> tuple[int, int]:
        width, inner, merged = vision["hidden_size"], vision["intermediate_size"], vision["hidden_size"] * self.MERGE**2
        embedding = 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2 * width + width
        embedding += vision["num_position_embeddings"] * width
        block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
        merger = merged**2 + merged + merged * vision["out_hidden_size"] + vision["out_hidden_size"]
        mergers = merger + 2 * width + len(vision["deepstack_visual_indexes"]) * (merger + 2 * merged)
        return embedding + vision["depth"] * block, mergers

    def attention_extras(self, queries: int, keys: int, head: int) -> int:
        return 2 * head  # norms of queries and keys


FAMILY = Qwen3VL()
