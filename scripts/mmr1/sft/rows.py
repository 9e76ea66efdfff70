"""Rows of whole conversations without padding, and the loss of their responses without a whole tensor of logits.

A conversation counts in a row as it does alone: its positions begin at 0, its images are its own, it sees no other, and
its loss is the mean over its learned tokens. A step's loss is the mean over its conversations, in whatever rows.
"""

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from mmr1.grpo.logprobs import LogprobHead
from mmr1.models.family import family_of
from mmr1.models.row_attention import attend_within_texts, bounds_of
from mmr1.sft.conversations import IGNORED, Conversations

Item = dict[str, Any]


class Rows(Dataset):
    """Each item is the conversations of a row; `members` are their indices in `conversations`, row by row."""

    def __init__(self, conversations: Conversations, members: Sequence[Sequence[int]]) -> None:
        self.conversations, self.members = conversations, members

    def __len__(self) -> int:
        return len(self.members)

    def __getitems__(self, indices: list[int]) -> list[list[Item]]:
        """Rows at once, as torch's fetcher asks for them."""
        items = iter(self.conversations.__getitems__([one for index in indices for one in self.members[index]]))
        return [[next(items) for _ in self.members[index]] for index in indices]


class RowCollator:
    """Joins rows into one and says what is learned of it.

    `input_ids` int64 [1, T]; `position_ids` int64 [3, 1, T], of multimodal RoPE; the bounds of the texts (`bounds_of`);
    `pixel_values` and `image_grid_thw`, in order; `sources` int64 [N], the tokens whose hidden states predict `targets`
    int64 [N], and `shares` float32 [N], what each of these is of its conversation's mean; `conversations` int64 [1],
    how many there are.

    Where no conversation has an image, a blank one stands behind all as a text of its own that nothing sees: under
    ZeRO-3 ranks meet in the vision tower's collectives, so that none may pass it by.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.family = family_of(model.config)
        pixels, grid = self.family.blank_image(model.config)
        image = torch.tensor([self.family.image_token(model.config)])
        learned = torch.tensor([IGNORED])
        self.blank = {"input_ids": image, "labels": learned, "pixel_values": pixels, "image_grid_thw": grid}

    def __call__(self, rows: list[list[Item]]) -> dict[str, Any]:
        items = [item for row in rows for item in row]
        count = len(items)
        if all(item["pixel_values"] is None for item in items):
            items.append(self.blank)
        labels = torch.cat([item["labels"] for item in items])
        # No conversation's first token is learned, so that none is predicted from another's last.
        sources = (labels[1:] != IGNORED).nonzero()[:, 0]
        learned = [int((item["labels"] != IGNORED).sum()) for item in items[:count]]
        return {
            "input_ids": torch.cat([item["input_ids"] for item in items])[None],
            "position_ids": torch.cat([self._positions(item) for item in items], dim=2),
            **bounds_of([len(item["input_ids"]) for item in items]),
            "sources": sources,
            "targets": labels[1:][sources],
            "shares": torch.cat([torch.full((tokens,), 1 / tokens) for tokens in learned]),
            "conversations": torch.tensor([count]),
            **{
                name: torch.cat([item[name] for item in items if item[name] is not None])
                for name in ("pixel_values", "image_grid_thw")
            },
        }

    def _positions(self, item: Item) -> torch.Tensor:
        return self.family.positions(self.model, item["input_ids"][None], item["image_grid_thw"])


def learn_rows(model: PreTrainedModel) -> None:
    """Let a model take what `RowCollator` makes, and return the sum over conversations of their losses, float32.

    The head's weight keeps its name and its place, so that checkpoints and ZeRO see nothing new.
    """
    model.lm_head = LogprobHead(model.lm_head, temperature=1.0, suppressed=[])
    attend_within_texts(model)
    model.forward = MethodType(_loss_of_rows, model)  # type: ignore[method-assign]


def _loss_of_rows(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor,
    pixel_values: torch.Tensor,
    image_grid_thw: torch.Tensor,
    sources: torch.Tensor,
    targets: torch.Tensor,
    shares: torch.Tensor,
    conversations: torch.Tensor,
    **bounds: Any,
) -> torch.Tensor:
    family = family_of(model.config)
    hidden = model.model(
        input_ids=input_ids,
        position_ids=position_ids,
        attention_mask=family.attention_mask(model.config.text_config, None),
        use_cache=False,
        **family.encoded_images(family.image_features(model, pixel_values, image_grid_thw)),
        **bounds,
    )[0]
    logprobs, _ = model.lm_head(hidden[0, sources], targets)
    return -(logprobs * shares).sum()
