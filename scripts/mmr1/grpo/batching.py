"""Micro-batches: rollouts laid out in rows, rows gathered under a token budget, micro-batches dealt to ranks.

A row is a prompt and one response, or with shared prompts a prompt and as many responses of its group as fit. They are
formed over the global mini-batch, sorted by length, so that padding is small and nothing depends on who runs what.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from mmr1.data.prompts import EncodedPrompt


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
    """Rows as model inputs, padded on the right.

    `input_ids` int64 [R, T], `positions` int64 [3, R, T], `mask` bool [R, 1, T, T] (true: may attend) where rows hold
    several responses, else None (causal attention alone never sees padding on the right). `pixel_values` and
    `image_grid_thw` are of each distinct prompt once, and `image_order` int64 says which of these images come when
    reading the rows. `sources` int64 [N] are the flat indices in R × T whose hidden states predict `targets` int64
    [N]: the response tokens, sample after sample as in `members`, `lengths` many each.
    """

    members: list[int]
    lengths: list[int]
    input_ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor | None
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None
    image_order: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device | str) -> "MicroBatch":
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "MicroBatch":
        """The same batch in memory from which a GPU copies on its own."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "MicroBatch":
        values = vars(self).items()
        return MicroBatch(
            **{name: change(value) if isinstance(value, torch.Tensor) else value for name, value in values}
        )


def plan(samples: Sequence[Sample], budget: int, share_prompts: bool) -> list[list[Row]]:
    """Rows of all samples, longest first, cut into micro-batches of at most `budget` padded tokens.

    A row longer than the budget is a micro-batch of its own.
    """
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
    rows: Sequence[Row], samples: Sequence[Sample], prompts: Mapping[int, PlacedPrompt], pad_token_id: int
) -> MicroBatch:
    """One micro-batch's tensors, on the CPU; `prompts` are by group."""
    width = max(row.length for row in rows)
    input_ids = torch.full((len(rows), width), pad_token_id)
    positions = torch.zeros(3, len(rows), width, dtype=torch.long)
    mask = None
    if any(len(row.members) > 1 for row in rows):
        mask = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(rows), 1, 1, 1)
    members, sources = [], []
    for index, row in enumerate(rows):
        placed = prompts[row.group]
        prompt = len(placed)
        input_ids[index, :prompt] = placed.encoded.input_ids
        positions[:, index, :prompt] = placed.positions
        first_position = int(placed.positions.max()) + 1
        start = prompt
        for member in row.members:
            # The last token of a response predicts nothing, so it is no input.
            inputs = samples[member].response[:-1]
            stop = start + len(inputs)
            input_ids[index, start:stop] = inputs
            positions[:, index, start:stop] = first_position + torch.arange(len(inputs))
            if mask is not None:
                mask[index, 0, stop:, start:stop] = False
            members.append(member)
            sources.append(index * width + torch.cat([torch.tensor([prompt - 1]), torch.arange(start, stop)]))
            start = stop
    pixel_values, image_grid_thw, image_order = _images([prompts[row.group].encoded for row in rows])
    return MicroBatch(
        members=members,
        lengths=[len(samples[member].response) for member in members],
        input_ids=input_ids,
        positions=positions,
        mask=mask,
        pixel_values=pixel_values,
        image_grid_thw=image_grid_thw,
        image_order=image_order,
        sources=torch.cat(sources),
        targets=torch.cat([samples[member].response for member in members]),
    )


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
