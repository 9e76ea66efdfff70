"""Where a vision tower's patches stand, and which of them share a window: found once for each size of image.

transformers finds it image by image in every forward pass, in tens of small operations for each; with small images
these are a tenth of a training step. Its functions are called here, with one image at a time, and their results are
joined: equal to the bit.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from mmr1.models.family import family_of

Size = tuple[int, int, int]  # of an image in patches: time, height, width
SIZES = 256  # that are remembered: 300 KB each at 16,384 patches, the largest that the processors make by default


class Windows(NamedTuple):
    """`order` int64 [N], the visual tokens of an image window by window, and `bounds` int32, in patches, from 0."""

    order: torch.Tensor
    bounds: torch.Tensor


def remember_positions(model: PreTrainedModel) -> None:
    """Let the model's vision tower be given what follows from the sizes of its images alone."""
    tower = family_of(model.config).vision_tower(model)
    of_size = _positions(tower), _windows(tower) if hasattr(tower, "window_size") else None

    def give(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        grid = kwargs["grid_thw"]
        sizes: list[Size] = [tuple(size) for size in grid.tolist()]
        return args, {**kwargs, **_join(sizes, *of_size, device=grid.device)}

    tower.register_forward_pre_hook(give, with_kwargs=True)


def _positions(tower: Any) -> Callable[[Size], torch.Tensor]:
    """The row and column of each patch of an image: int64 [T, 2]."""
    return lru_cache(SIZES)(lambda size: get_vision_position_ids(torch.tensor([size]), tower.spatial_merge_size))


def _windows(tower: Any) -> Callable[[Size], Windows]:
    sides = tower.spatial_merge_size, tower.window_size, tower.patch_size
    return lru_cache(SIZES)(lambda size: Windows(*get_vision_window_index(torch.tensor([size]), *sides)))


def _join(
    sizes: list[Size],
    positions: Callable[[Size], torch.Tensor],
    windows: Callable[[Size], Windows] | None,
    device: torch.device,
) -> dict[str, torch.Tensor]:
    """What transformers' towers take in place of finding it themselves, for images of these sizes, in order."""
    joined = {"position_ids": torch.cat([positions(size) for size in sizes])}
    if windows is not None:
        of_images = [windows(size) for size in sizes]
        tokens = accumulate((len(image.order) for image in of_images[:-1]), initial=0)
        patches = accumulate((t * height * width for t, height, width in sizes[:-1]), initial=0)
        first = of_images[0].bounds[:1]
        joined["window_index"] = torch.cat(
            [image.order + before for image, before in zip(of_images, tokens, strict=True)]
        )
        joined["cu_window_seqlens"] = torch.cat(
            [first, *(image.bounds[1:] + before for image, before in zip(of_images, patches, strict=True))]
        )
    return {name: values.to(device) for name, values in joined.items()}
