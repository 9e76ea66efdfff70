"""Conversations as a trainer's items and batches: token ids, which of them are learned, and pixels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from mmr1.data.conversations import Pairs, naming_row
from mmr1.data.prompts import EncodedPrompt, PromptEncoder
from mmr1.models.family import family_of

IGNORED = -100


class Conversations(Dataset):
    """Problems with the response to learn: each item is its token ids, labels and pixels.

    `kept` are the numbers of the rows that the cutoff leaves (`mmr1.sft.cutoff`); all without it.
    """

    def __init__(
        self,
        rows: Pairs,
        encoder: PromptEncoder,
        cutoff: int,
        kept: Sequence[int] | None = None,
    ) -> None:
        self.rows = rows
        self.encoder = encoder
        self.cutoff = cutoff
        self.kept = range(len(rows)) if kept is None else kept

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`input_ids` and `labels` int64 [T] (the prompt is not learned), the prompt's pixels, and the problem's id."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """A batch at once, as torch's fetcher asks for it."""
        numbers = [self.kept[index] for index in indices]
        rows = [self.rows[number] for number in numbers]
        with naming_row(self.rows, *numbers):
            prompts = self.encoder.encode_many([problem for problem, _ in rows])
        return [self._item(problem.id, prompt, answer) for prompt, (problem, answer) in zip(prompts, rows, strict=True)]

    def _item(self, name: str, prompt: EncodedPrompt, response: str) -> dict[str, Any]:
        tokenizer = self.encoder.processor.tokenizer
        learned = [*tokenizer(response, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        labels = torch.tensor([IGNORED] * len(prompt.input_ids) + learned)
        return {
            "id": name,
            "input_ids": torch.cat([prompt.input_ids, torch.tensor(learned)])[: self.cutoff],
            "labels": labels[: self.cutoff],
            "pixel_values": prompt.pixel_values,
            "image_grid_thw": prompt.image_grid_thw,
        }


class Collator:
    """Pads a list of conversations on the right and joins their pixels.

    The positions of multimodal RoPE are found here, in a loader's process beside the model's.

    Where no conversation has an image, a blank one stands behind the first, unlearned and unseen by what is learned:
    under ZeRO-3 ranks meet in the vision tower's collectives, so that none may pass it by.
    """

    def __init__(self, pad_token_id: int, model: PreTrainedModel) -> None:
        self.pad_token_id, self.model = pad_token_id, model
        self.family = family_of(model.config)
        self.image_token = self.family.image_token(model.config)
        self.blank_pixels, self.blank_grid = self.family.blank_image(model.config)

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if all(item["pixel_values"] is None for item in items):
            items = [self._with_blank_image(items[0]), *items[1:]]

        def pad(name: str, value: int) -> torch.Tensor:
            return torch.nn.utils.rnn.pad_sequence(
                [item[name] for item in items], batch_first=True, padding_value=value
            )

        input_ids, labels = pad("input_ids", self.pad_token_id), pad("labels", IGNORED)
        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        images = {
            name: torch.cat([item[name] for item in items if item[name] is not None])
            for name in ("pixel_values", "image_grid_thw")
        }
        positions = self.family.positions(self.model, input_ids, images["image_grid_thw"], mask)
        return {"input_ids": input_ids, "labels": labels, "attention_mask": mask, "position_ids": positions, **images}

    def _with_blank_image(self, item: dict[str, Any]) -> dict[str, Any]:
        """A conversation with one more token, an image of one visual token, whose label is ignored."""
        return {
            "input_ids": torch.cat([item["input_ids"], torch.tensor([self.image_token])]),
            "labels": torch.cat([item["labels"], torch.tensor([IGNORED])]),
            "pixel_values": self.blank_pixels,
            "image_grid_thw": self.blank_grid,
        }
