"""From a problem to what the model is shown: its chat turns as token ids and pixels."""

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers import ProcessorMixin

from mmr1.data.chat import chat_turns
from mmr1.data.images import open_image, shown_size
from mmr1.data.problems import Problem
from mmr1.models.family import family_of_processor
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.fields import PromptPosition


@dataclass(frozen=True)
class EncodedPrompt:
    """A problem as model inputs.

    `input_ids` int64 [T] with each image's marks already expanded to its visual tokens; `pixel_values` float32
    [patches, channels × temporal patch × patch²] over all images, or None without images; `image_grid_thw` int64
    [images, 3] (time, height, width in patches), or None.
    """

    input_ids: torch.Tensor
    pixel_values: torch.Tensor | None
    image_grid_thw: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        """The memory of its tensors, nearly all of it pixels."""
        tensors = (self.input_ids, self.pixel_values, self.image_grid_thw)
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)


# A prompt of one image of 1,048,576 pixels takes 25 MB.
CACHE_BYTES = 1 << 30


class PromptEncoder:
    """Turns problems into prompts for one processor and one system prompt.

    `position` says where the system prompt goes: "system" is a turn of its own, "user" puts it in front of the
    question as the released code does (facts: `verl/utils/dataset.py`). The pixel bounds override the processor's;
    `images_kwargs` are they in the image processor's words, for engines that process images themselves. Prompts that
    were encoded last are kept, up to `cache_bytes` of them. Encoding and measuring are for several threads, and who
    measures does not wait for who encodes.
    """

    def __init__(
        self,
        processor: ProcessorMixin,
        system_prompt: str | None = None,
        position: PromptPosition = "system",
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.processor = processor
        self.system_prompt = system_prompt
        self.position = position
        self.family = family_of_processor(processor)
        self.images_kwargs = self.family.images_kwargs(processor, min_pixels, max_pixels)
        self.cache_bytes = cache_bytes
        # A fast tokenizer refuses a second thread: one is for encoding, `processor`'s for all else.
        self._encoding_processor = copy.deepcopy(processor)
        self._encoding, self._measuring = threading.Lock(), threading.Lock()
        self._cache: dict[str, tuple[Problem, EncodedPrompt]] = {}  # the one that was asked for last is at the end
        self._held = 0  # bytes in the cache
        self._lengths: dict[str, tuple[Problem, int]] = {}

    @property
    def most_visual_tokens(self) -> int:
        """The most tokens that an image can take, whatever its size."""
        return self.family.most_visual_tokens(self.processor, self.images_kwargs)

    def length(self, problem: Problem) -> int:
        """The number of tokens of a problem's prompt, from its text and its images' sizes; no pixels are processed."""
        with self._measuring:
            known = self._lengths.get(problem.id)
            if known is None or known[0] is not problem:
                known = self._lengths[problem.id] = (problem, self._length(problem))
            return known[1]

    def know_length(self, problem: Problem, tokens: int) -> None:
        """Take what `length` would find from another rank, which has found it."""
        with self._measuring:
            self._lengths[problem.id] = (problem, tokens)

    def _length(self, problem: Problem) -> int:
        visual = [
            self.family.count_visual_tokens(self.processor, height, width, self.images_kwargs)
            for height, width in map(shown_size, problem.images)
        ]
        text = self.processor.tokenizer(self.text(problem), add_special_tokens=False)["input_ids"]
        return len(text) + sum(count - 1 for count in visual)  # the text has one token an image

    def messages(self, problem: Problem) -> list[dict[str, Any]]:
        """The chat turns for a problem, each `<image>` mark a part of its own."""
        return chat_turns(problem, self.system_prompt, self.position)

    def text(self, problem: Problem) -> str:
        """The prompt as text, one image token per image: what vLLM is given, which expands it itself."""
        return self.processor.apply_chat_template(self.messages(problem), tokenize=False, add_generation_prompt=True)

    def images(self, problem: Problem) -> list[Image.Image]:
        """The problem's images, decoded to RGB, in order."""
        return [open_image(data) for data in problem.images]

    def encode(self, problem: Problem) -> EncodedPrompt:
        """One problem as model inputs."""
        return self.encode_many([problem])[0]

    def encode_many(self, problems: Sequence[Problem]) -> list[EncodedPrompt]:
        """Problems as model inputs, in their order; each is processed once while it stays in the cache.

        The processor's overhead is by the call: 64 digit problems in one take a sixth of 64 calls, with equal bytes.
        """
        with self._encoding:
            wanted = {problem.id: problem for problem in problems}
            known = {name: cached for name, problem in wanted.items() if (cached := self._cached(problem))}
            fresh = [problem for name, problem in wanted.items() if name not in known]
            encoded = self._encode(fresh) if fresh else []
            known |= {problem.id: prompt for problem, prompt in zip(fresh, encoded, strict=True)}
            self._keep({name: (problem, known[name]) for name, problem in wanted.items()})
            return [known[problem.id] for problem in problems]

    def _cached(self, problem: Problem) -> EncodedPrompt | None:
        cached = self._cache.get(problem.id)
        return cached[1] if cached is not None and cached[0] is problem else None

    def _keep(self, prompts: dict[str, tuple[Problem, EncodedPrompt]]) -> None:
        for name, (problem, prompt) in prompts.items():
            self._drop(name)
            self._cache[name] = (problem, prompt)
            self._held += prompt.nbytes
        while self._held > self.cache_bytes:
            self._drop(next(iter(self._cache)))

    def _drop(self, name: str) -> None:
        if name in self._cache:
            self._held -= self._cache.pop(name)[1].nbytes

    def _encode(self, problems: Sequence[Problem]) -> list[EncodedPrompt]:
        images = [self.images(problem) for problem in problems]
        encoded = self._encoding_processor(
            text=[self.text(problem) for problem in problems],
            images=[image for some in images for image in some] or None,
            images_kwargs=self.images_kwargs,
        )
        prompts, first_image, first_patch = [], 0, 0
        for input_ids, some in zip(encoded["input_ids"], images, strict=True):
            grid = pixels = None
            if some:
                grid = torch.as_tensor(encoded["image_grid_thw"][first_image : first_image + len(some)])
                patches = int(grid.prod(-1).sum())
                # A copy: a view would keep the pixels of the whole batch alive.
                pixels = torch.as_tensor(encoded["pixel_values"][first_patch : first_patch + patches]).clone()
                first_image, first_patch = first_image + len(some), first_patch + patches
            prompts.append(EncodedPrompt(torch.as_tensor(input_ids), pixels, grid))
        return prompts


def check_prompt_length(problem: Problem, tokens: int, limit: int) -> None:
    """Raises UserError if a problem's prompt of so many `tokens` has more than `limit`."""
    if tokens > limit:
        raise UserError(f"problem {problem.id}: expected a prompt of at most {limit} tokens, found {tokens}")
