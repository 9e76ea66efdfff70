"""A rank's micro-batches, made ready in a thread while the device computes those before."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from transformers import PreTrainedModel

from mmr1.data.prompts import EncodedPrompt, PromptEncoder
from mmr1.grpo.attention import BLOCK
from mmr1.grpo.batching import MicroBatch, PlacedPrompt, collate
from mmr1.grpo.minibatch import MiniBatch
from mmr1.models.family import family_of
from mmr1.plumbing.stopwatch import phase

AHEAD = 2  # micro-batches in the making: one image of 1,048,576 pixels takes 25 MB


class Loader:
    """Makes micro-batches for the rank that runs them: it processes the images of these, and of no other rank's."""

    def __init__(self, encoder: PromptEncoder, model: PreTrainedModel, device: torch.device) -> None:
        self.encoder, self.model, self.device = encoder, model, device
        # A new thread is on the first GPU of the node, and would take memory there.
        on_device = {"initializer": torch.cuda.set_device, "initargs": (device,)} if device.type == "cuda" else {}
        self._thread = ThreadPoolExecutor(1, "loader", **on_device)  # type: ignore[arg-type]

    def load(self, mini_batch: MiniBatch, indices: Sequence[int]) -> Iterator[MicroBatch]:
        """The mini-batch's micro-batches of these indices, in their order, on the device. Raises BrokenImage."""
        making: deque[Future[MicroBatch]] = deque()
        left = deque(indices)
        while left or making:
            while left and len(making) < AHEAD:
                making.append(self._thread.submit(self._make, mini_batch, left.popleft()))
            with phase("encode", waiting=True):
                batch = making.popleft().result()
            with phase("copy"):
                batch = batch.to(self.device)
            yield batch

    def _make(self, mini_batch: MiniBatch, index: int) -> MicroBatch:
        rows = mini_batch.batches[index]
        groups = list(dict.fromkeys(row.group for row in rows))
        encoded = self.encoder.encode_many([mini_batch.problems[group] for group in groups])
        prompts = {group: place(self.model, prompt) for group, prompt in zip(groups, encoded, strict=True)}
        on_gpu = self.device.type == "cuda"
        pad = self.encoder.processor.tokenizer.pad_token_id
        batch = collate(rows, mini_batch.samples, prompts, pad, mini_batch.packed, BLOCK if on_gpu else 1)
        return batch.pinned() if on_gpu else batch


def place(model: PreTrainedModel, prompt: EncodedPrompt) -> PlacedPrompt:
    """A prompt with the positions that the model's multimodal RoPE gives its tokens."""
    positions = family_of(model.config).positions(model, prompt.input_ids[None], prompt.image_grid_thw)
    return PlacedPrompt(prompt, positions[:, 0])
