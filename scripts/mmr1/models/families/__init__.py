"""Model families: all that is known about one kind of vision-language model stands in its one file.

A member defines `FAMILY`, an object of a class of its own that says what `Family` asks. Its name is what a recipe's
`base` may say; which family a checkpoint is of is found from its `config.json` (`mmr1.models.family`).

What all families share, so that no hook asks for it: transformers' auto classes load config, processor and model; the
model has `model` (with `language_model`) and `lm_head`; the processor gives flat patches `pixel_values` and a grid of
(time, height, width) an image; positions are of multimodal RoPE, with three axes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from mmr1.models.settings import TinyArchitecture

Features = tuple["torch.Tensor", ...]
"""One image's features: what its visual tokens are replaced by, [tokens, width], then what other layers are given."""


class Family(ABC):
    """The hooks of a family. Models, configs and processors are transformers' own."""

    MODEL_TYPES: tuple[str, ...]  # `model_type` in config.json
    PROCESSORS: tuple[str, ...]  # the names of the processor's classes
    SPECIAL: tuple[str, ...]  # the special tokens of chat and images, which no problem's text may hold
    RELEASED: ClassVar[dict[str, dict[str, Any]]] = {}  # by name on the hub: sizes in `config.json`, to plan with

    @abstractmethod
    def image_token(self, config: Any) -> int:
        """The id of the token that stands for one visual token of an image."""

    @abstractmethod
    def visual_tokens(self, config: Any) -> set[int]:
        """The ids that a response must not hold, because the next forward pass would look for pixels."""

    @abstractmethod
    def images_kwargs(self, processor: Any, min_pixels: int | None, max_pixels: int | None) -> dict[str, Any]:
        """What the image processor is told about an image's least and largest area; None is the checkpoint's bound."""

    @abstractmethod
    def count_visual_tokens(self, processor: Any, height: int, width: int, images_kwargs: dict[str, Any]) -> int:
        """How many visual tokens an image of this size takes, in pixels, without processing it."""

    @abstractmethod
    def most_visual_tokens(self, processor: Any, images_kwargs: dict[str, Any]) -> int:
        """A bound on `count_visual_tokens` for all sizes that `mmr1.data.images` lets pass."""

    @abstractmethod
    def blank_image(self, config: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """`pixel_values` float32 and grid int64 [1, 3] of an image of one visual token, as the processor gives them."""

    @abstractmethod
    def positions(
        self,
        model: Any,
        input_ids: torch.Tensor,
        image_grid_thw: torch.Tensor | None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Where RoPE puts each token of `input_ids` int64 [B, T]: int64 [3, B, T]; undefined where the mask is 0."""

    @abstractmethod
    def vision_tower(self, model: Any) -> Any:
        """The module that encodes images, with a `config` of its own."""

    @abstractmethod
    def image_features(self, model: Any, pixel_values: torch.Tensor, image_grid_thw: torch.Tensor) -> list[Features]:
        """The features of each image, with gradient."""

    @abstractmethod
    def encoded_images(self, features: list[Features]) -> dict[str, Any]:
        """The arguments that hand features on to the model's forward pass, in the order of its image tokens."""

    @abstractmethod
    def attention_mask(self, text_config: Any, mask: Any) -> Any:
        """What the model takes for a ready mask, or for None, plain causal attention.

        A mask is bool [B, 1, T, T] (true: may attend), or a BlockMask of these dimensions.
        """

    @abstractmethod
    def vllm_options(self, max_images: int, images_kwargs: dict[str, Any]) -> dict[str, Any]:
        """What vLLM is told about images: their largest number in a prompt, and how they are processed."""

    @abstractmethod
    def tiny_processor(self) -> Any:
        """A processor for models with random weights: a tokenizer of characters, and one visual token a digit."""

    @abstractmethod
    def tiny_config(self, architecture: TinyArchitecture, tokenizer: Any) -> Any:
        """The config of a model of these sizes."""

    @abstractmethod
    def tiny_vision(self, architecture: TinyArchitecture) -> dict[str, Any]:
        """The sizes of its vision tower, as `vision_config` names them."""

    @abstractmethod
    def vision_weights(self, vision: dict[str, Any]) -> tuple[int, int]:
        """How many weights a vision tower of these sizes has: in blocks and embeddings, and in what merges patches."""

    @abstractmethod
    def attention_extras(self, queries: int, keys: int, head: int) -> int:
        """Weights of a text layer's attention beside its four matrices, from its widths: biases, norms."""
