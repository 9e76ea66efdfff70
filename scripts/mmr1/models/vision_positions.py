"""Where a vision tower's patches stand, and which of them share a window: found once for each size of image.

transformers finds it image by image in every forward pass, in tens of small operations for each; with small images
these are a tenth of a training step. Its functions are called here, with one image at a time, and their results are
joined: equal to the bit.
"""

from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from mmr1.models.family import family_of

Size = tuple[int, int, int]  # of an image in patches: time, height, width
SIZES = 256  # that are remembered: 300 KB each at 16,384 patches, the largest that the processors make by default


def remember_positions(model: PreTrainedModel) -> None:
    """Let the model's vision tower be given what follows from the sizes of its images alone."""
    family_of(model.config).vision_tower(model).register_forward_pre_hook(give, with_kwargs=True)


def give(tower: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A tower's arguments with what it takes in place of finding it itself, for the images of `grid_thw` in order."""
    grid = kwargs["grid_thw"]
    sizes: list[Size] = [tuple(size) for size in grid.tolist()]
    joined = {"position_ids": torch.cat([positions_of(size, tower.spatial_merge_size) for size in sizes])}
    if hasattr(tower, "window_size"):
        sides = tower.spatial_merge_size, tower.window_size, tower.patch_size
        joined |= _join([windows_of(size, *sides) for size in sizes], sizes)
    return args, {**kwargs, **{name: values.to(grid.device) for name, values in joined.items()}}


class Windows(NamedTuple):
    """`order` int64 [N], the visual tokens of an image window by window, and `bounds` int32, in patches, from 0."""

    order: torch.Tensor
    bounds: torch.Tensor


@lru_cache(SIZES)
def positions_of(size: Size, merge: int) -> torch.Tensor:
    """The row and column of each patch of an image: int64 [T, 2]."""
    return get_vision_position_ids(torch.tensor([size]), merge)


@lru_cache(SIZES)
def windows_of(size: Size, merge: int, window: int, patch: int) -> Windows:
    """The windows of an image; `merge` is in patches, `window` and `patch` are in pixels."""
    return Windows(*get_vision_window_index(torch.tensor([size]), merge, window, patch))


def _join(images: list[Windows], sizes: list[Size]) -> dict[str, torch.Tensor]:
    """The windows of all images together, under the names that towers know."""
    tokens = accumulate((len(image.order) for image in images[:-1]), initial=0)
    patches = accumulate((time * height * width for time, height, width in sizes[:-1]), initial=0)
    bounds = [image.bounds[1:] + before for image, before in zip(images, patches, strict=True)]
    return {
        "window_index": torch.cat([image.order + before for image, before in zip(images, tokens, strict=True)]),
        "cu_window_seqlens": torch.cat([images[0].bounds[:1], *bounds]),
    }
