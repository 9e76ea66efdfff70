"""Micro-batches: rollouts laid out in rows, rows gathered under a token budget, micro-batches dealt to ranks.

A row is a prompt and one response, or with shared prompts a prompt and as many responses of its group as fit. Rows
stand below each other, sorted by length so that padding is small, or packed: behind each other in one line, those of a
group together so that its images are met once. Micro-batches are formed over the global mini-batch: nothing depends on
who runs what.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import torch

from mmr1.data.prompts import EncodedPrompt
from mmr1.grpo.attention import Mask, attention_mask


@dataclass(frozen=True)
class PlacedPrompt:
    """An encoded prompt and the positions of its tokens: int64 [3, T] (time, height, width of multimodal RoPE)."""

    encoded: EncodedPrompt
    positions: torch.Tensor

    def __len__(self) -> int:
        return len(self.encoded.input_ids)


@dataclass(frozen=True)
class Sample:
    """A rollout to run through the model: `response` int64 [L], L ≥ 1, behind the prompt of `group`."""

    group: int
    prompt_tokens: int
    response: torch.Tensor


@dataclass(frozen=True)
class Row:
    """Samples laid behind the prompt of their group; `members` are their indices in the list that was planned."""

    group: int
    members: tuple[int, ...]
    length: int


@dataclass
class MicroBatch:
    """Rows as model inputs, in R lines padded on the right: a line is a row, or all rows where they are packed.

    `input_ids` int64 [R, T], `positions` int64 [3, R, T]. `row_of` and `response_of` int32 [R, T] say what a token
    belongs to where it may not see all before it (`mmr1.grpo.attention`; padding has row -1); they are None where
    causal attention alone is right, which never sees padding on the right. `pixel_values` and `image_grid_thw` are of
    each distinct prompt once, and `image_order` int64 says which of these images come when reading the lines.
    `sources` int64 [N] are the flat indices in R × T whose hidden states predict `targets` int64 [N]: the response
    tokens, sample after sample as in `members`, `lengths` many each.
    """

    members: list[int]
    lengths: list[int]
    input_ids: torch.Tensor
    positions: torch.Tensor
    row_of: torch.Tensor | None
    response_of: torch.Tensor | None
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None
    image_order: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor

    @cached_property
    def mask(self) -> Mask | None:
        """The attention mask for the device that the batch is on; None for plain causal attention."""
        if self.row_of is None or self.response_of is None:
            return None
        return attention_mask(self.row_of, self.response_of)

    def to(self, device: torch.device | str) -> "MicroBatch":
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "MicroBatch":
        """The same batch in memory from which a GPU copies on its own."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "MicroBatch":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return MicroBatch(
            **{name: change(value) if isinstance(value, torch.Tensor) else value for name, value in values.items()}
        )


def plan(samples: Sequence[Sample], budget: int, share_prompts: bool, packed: bool = False) -> list[list[Row]]:
    """Rows of all samples in micro-batches of at most `budget` tokens with padding, longest first.

    A row longer than the budget is a micro-batch of its own.
    """
    if packed:
        return _packed(_rows(samples, budget, share_prompts), budget)
    rows = sorted(_rows(samples, budget, share_prompts), key=lambda row: (-row.length, row.members))
    batches: list[list[Row]] = []
    for row in rows:
        if batches and batches[-1][0].length * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def deal(count: int, rank: int, ranks: int) -> list[tuple[int, bool]]:
    """Which of `count` micro-batches a rank runs, as (index, real).

    Every rank gets the same number: where they run out, a rank runs the last one again, not as a real one.
    """
    rounds = -(-count // ranks)
    return [(min(turn * ranks + rank, count - 1), turn * ranks + rank < count) for turn in range(rounds)]


def collate(
    rows: Sequence[Row],
    samples: Sequence[Sample],
    prompts: Mapping[int, PlacedPrompt],
    pad_token_id: int,
    packed: bool = False,
    multiple: int = 1,
) -> MicroBatch:
    """One micro-batch's tensors, on the CPU; `prompts` are by group, and the width is a multiple of `multiple`."""
    lengths = [row.length for row in rows]
    width = -(-(sum(lengths) if packed else max(lengths)) // multiple) * multiple
    lines = 1 if packed else len(rows)
    input_ids = torch.full((lines, width), pad_token_id)
    positions = torch.zeros(3, lines, width, dtype=torch.long)
    row_of = torch.full((lines, width), -1, dtype=torch.int32)
    response_of = torch.zeros(lines, width, dtype=torch.int32)
    members, sources = [], []
    for index, row in enumerate(rows):
        placed = prompts[row.group]
        line, first = (0, sum(lengths[:index])) if packed else (index, 0)
        start = first + len(placed)
        input_ids[line, first:start] = placed.encoded.input_ids
        positions[:, line, first:start] = placed.positions
        row_of[line, first : first + row.length] = index
        last_of_prompt = torch.tensor([start - 1])
        first_position = int(placed.positions.max()) + 1
        for number, member in enumerate(row.members, 1):
            # The last token of a response predicts nothing, so it is no input.
            inputs = samples[member].response[:-1]
            stop = start + len(inputs)
            input_ids[line, start:stop] = inputs
            positions[:, line, start:stop] = first_position + torch.arange(len(inputs))
            response_of[line, start:stop] = number
            members.append(member)
            sources.append(line * width + torch.cat([last_of_prompt, torch.arange(start, stop)]))
            start = stop
    causal = not packed and all(len(row.members) == 1 for row in rows)
    pixel_values, image_grid_thw, image_order = _images([prompts[row.group].encoded for row in rows])
    return MicroBatch(
        members=members,
        lengths=[len(samples[member].response) for member in members],
        input_ids=input_ids,
        positions=positions,
        row_of=None if causal else row_of,
        response_of=None if causal else response_of,
        pixel_values=pixel_values,
        image_grid_thw=image_grid_thw,
        image_order=image_order,
        sources=torch.cat(sources),
        targets=torch.cat([samples[member].response for member in members]),
    )


def _packed(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Rows in as few lines as the first-fit-decreasing rule finds, the fullest first; a group is cut if it must be."""
    parts: list[list[Row]] = []
    open_part: dict[int, list[Row]] = {}  # group → what of it may still grow
    for row in rows:
        part = open_part.get(row.group)
        if part is not None and _tokens(part) + row.length <= budget:
            part.append(row)
        else:
            open_part[row.group] = [row]
            parts.append(open_part[row.group])
    batches: list[list[Row]] = []
    for part in sorted(parts, key=lambda part: (-_tokens(part), part[0].members)):
        room = next((batch for batch in batches if _tokens(batch) + _tokens(part) <= budget), None)
        if room is None:
            batches.append(list(part))
        else:
            room += part
    return sorted(batches, key=lambda batch: (-_tokens(batch), batch[0].members))


def _tokens(rows: Sequence[Row]) -> int:
    return sum(row.length for row in rows)


def _rows(samples: Sequence[Sample], budget: int, share_prompts: bool) -> list[Row]:
    rows: list[Row] = []
    open_row: dict[int, int] = {}  # group → its row that may still take responses
    for member, sample in enumerate(samples):
        added = len(sample.response) - 1
        index = open_row.get(sample.group)
        if share_prompts and index is not None and rows[index].length + added <= budget:
            row = rows[index]
            rows[index] = Row(row.group, (*row.members, member), row.length + added)
        else:
            open_row[sample.group] = len(rows)
            rows.append(Row(sample.group, (member,), sample.prompt_tokens + added))
    return rows


def _images(
    prompts: Sequence[EncodedPrompt],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
    """Pixels and grids of each distinct prompt once, and the order in which the rows' prompts show the images."""
    first: dict[int, int] = {}
    pixels, grids = [], []
    order: list[int] = []
    count = 0
    for prompt in prompts:
        if prompt.pixel_values is None or prompt.image_grid_thw is None:
            continue
        if id(prompt) not in first:
            first[id(prompt)] = count
            count += len(prompt.image_grid_thw)
            pixels.append(prompt.pixel_values)
            grids.append(prompt.image_grid_thw)
        order += range(first[id(prompt)], first[id(prompt)] + len(prompt.image_grid_thw))
    if not pixels:
        return None, None, torch.tensor([], dtype=torch.long)
    return torch.cat(pixels), torch.cat(grids), torch.tensor(order)
