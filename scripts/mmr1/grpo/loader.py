"""A rank's images and micro-batches, made ready in threads while rollouts are generated and the device computes."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from mmr1.data.problems import Problem
from mmr1.data.prompts import EncodedPrompt, PromptEncoder
from mmr1.grpo.attention import BLOCK
from mmr1.grpo.batching import MicroBatch, PlacedPrompt, collate
from mmr1.grpo.minibatch import MiniBatch
from mmr1.models.family import family_of
from mmr1.plumbing.stopwatch import phase

AHEAD = 2  # micro-batches in the making: one image of 1,048,576 pixels takes 25 MB
AT_ONCE = 8  # problems whose images are processed together


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


@contextmanager
def processed_ahead(encoder: PromptEncoder, problems: Sequence[Problem]) -> Iterator[None]:
    """While the body generates, a thread processes the images of these problems, in their order, into the cache.

    Which of a step's groups a rank trains on follows from the lengths of all responses and from the gate, so that
    nothing can be known before: these are the groups that the rank may have. The thread ends with the body, and before
    it would push out of the cache what it has put there; what is missing then is processed when it is needed.
    """
    leave = threading.Event()
    thread = threading.Thread(target=_process, args=(encoder, problems, leave), name="ahead")
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def _process(encoder: PromptEncoder, problems: Sequence[Problem], leave: threading.Event) -> None:
    held = largest = 0
    for start in range(0, len(problems), AT_ONCE):
        if leave.is_set() or held + largest >= encoder.cache_bytes:
            return
        try:
            size = sum(prompt.nbytes for prompt in encoder.encode_many(problems[start : start + AT_ONCE]))
        except Exception:  # a broken image, above all: it is told where it is needed
            return
        held, largest = held + size, max(largest, size)


def place(model: PreTrainedModel, prompt: EncodedPrompt) -> PlacedPrompt:
    """A prompt with the positions that the model's multimodal RoPE gives its tokens."""
    positions = family_of(model.config).positions(model, prompt.input_ids[None], prompt.image_grid_thw)
    return PlacedPrompt(prompt, positions[:, 0])
