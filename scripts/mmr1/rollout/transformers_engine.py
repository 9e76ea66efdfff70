"""Rollouts with transformers alone, on a CPU or one GPU, from a folder or from the module that is being trained.

Seeds: a response is drawn by Gumbel-max with noise that depends on its own seed and position only (`gumbel.py`), so it
does not depend on the batch except through float rounding. Batches are therefore formed from the list of requests
alone: requests of one problem are kept together, problems are sorted by prompt length (then by first appearance), and
batches of at most `batch_size` responses are cut from that. Equal requests make equal batches, hence equal bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

from mmr1.data.problems import Problem
from mmr1.data.prompts import EncodedPrompt, PromptEncoder, check_prompt_length
from mmr1.models.action_space import end_of_sequence, keep_top_p, policy_logits, suppressed_tokens
from mmr1.models.checkpoints import check_checkpoint
from mmr1.models.family import family_of
from mmr1.models.load import load_model
from mmr1.rollout.gumbel import draw
from mmr1.rollout.requests import Request, Rollout, Sampling
from mmr1.rollout.shared_prompt import SharedPromptCache, shared_prompt_attention

# Finished responses are dropped from the batch once they are this share of it.
DROP_AT = 0.25
# The processor's overhead is by the call.
ENCODED_AT_ONCE = 32


class TransformersEngine:
    """Samples with a module of transformers; see the module's text for seeds and batches."""

    def __init__(
        self,
        model: PreTrainedModel,
        encoder: PromptEncoder,
        *,
        batch_size: int = 512,
        max_prompt_tokens: int | None = None,
    ) -> None:
        """`model` may be the live module of a trainer: it is put in evaluation mode while sampling, and back."""
        self.model = model
        self.family = family_of(model.config)
        self.encoder = encoder
        self.batch_size = batch_size
        self.max_prompt_tokens = max_prompt_tokens
        self._suppressed = suppressed_tokens(encoder.processor.tokenizer, model.config)
        self._end = end_of_sequence(encoder.processor.tokenizer)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        encoder: PromptEncoder,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> "TransformersEngine":
        """Load a checkpoint: on a GPU if there is one, in bfloat16 there and in float32 on a CPU.

        Raises UserError for an incomplete checkpoint.
        """
        check_checkpoint(folder)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.float32 if where.type == "cpu" else torch.bfloat16)
        model = load_model(folder, dtype)
        return cls(model.to(where).eval(), encoder, **options)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """One rollout per request, in the order of the requests. Raises UserError for a prompt that is too long."""
        rollouts: list[Rollout | None] = [None] * len(requests)
        # Not inference mode: prompts that are encoded here are cached, and the trainer computes gradients from them.
        with _evaluating(self.model), torch.no_grad():
            for batch in self._batches(requests):
                for index, rollout in zip(batch.indices, self._generate(batch, sampling), strict=True):
                    rollouts[index] = rollout
        return [rollout for rollout in rollouts if rollout is not None]

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Copy weights into the module (names as in `state_dict`); no cache outlives `generate`, so none is dropped."""
        own = self.model.state_dict()
        with torch.no_grad():
            for name, tensor in named_tensors:
                own[name].copy_(tensor)

    def sleep(self) -> None:
        """Nothing to free: the module is all there is."""

    def wake(self) -> None:
        """Nothing to undo."""

    def close(self) -> None:
        """Nothing to shut down."""

    def notes(self) -> dict[str, Any]:
        """What a record should say about this engine."""
        device = next(self.model.parameters()).device
        return {
            "engine": "transformers",
            "version": transformers.__version__,
            "device": device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def _batches(self, requests: Sequence[Request]) -> Iterator["_Batch"]:
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(request.problem.id, []).append(index)
        prompts = self._encoded([requests[indices[0]].problem for indices in groups.values()])
        batch = _Batch([], [], [], [])
        for name in sorted(groups, key=lambda name: len(prompts[name].input_ids)):
            for start in range(0, len(groups[name]), self.batch_size):
                part = groups[name][start : start + self.batch_size]
                if batch.indices and len(batch.indices) + len(part) > self.batch_size:
                    yield batch
                    batch = _Batch([], [], [], [])
                batch.add(prompts[name], part, [requests[index] for index in part])
        if batch.indices:
            yield batch

    def _encoded(self, problems: Sequence[Problem]) -> dict[str, EncodedPrompt]:
        """Their prompts by their ids, some at a time: the processor has as many images open at once."""
        prompts: dict[str, EncodedPrompt] = {}
        for start in range(0, len(problems), ENCODED_AT_ONCE):
            some = problems[start : start + ENCODED_AT_ONCE]
            for problem, prompt in zip(some, self.encoder.encode_many(some), strict=True):
                if self.max_prompt_tokens is not None:
                    check_prompt_length(problem, len(prompt.input_ids), self.max_prompt_tokens)
                prompts[problem.id] = prompt
        return prompts

    def _generate(self, batch: "_Batch", sampling: Sampling) -> list[Rollout]:
        tokens, logprobs = self._decode(batch, sampling)
        lengths = _response_lengths(tokens, self._end)
        ids = [row[:length] for row, length in zip(tokens, lengths, strict=True)]
        texts = self.encoder.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [
            Rollout(
                problem_id=request.problem.id,
                rollout=request.rollout,
                seed=request.seed,
                token_ids=ids[row],
                text=texts[row],
                finish_reason="stop" if ids[row][-1] == self._end else "length",
                logprobs=logprobs[row, : lengths[row]],
            )
            for row, request in enumerate(batch.requests)
        ]

    def _decode(self, batch: "_Batch", sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
        """Tokens int32 [B, max_tokens] and their log-probabilities float32; what follows an end token is undefined."""
        device = next(self.model.parameters()).device
        prompt_of = torch.tensor(batch.prompt_of, device=device)
        first_logits, next_position, cache = self._prefill(batch.prompts, prompt_of)
        seeds = torch.tensor([request.seed for request in batch.requests], device=device)
        tokens = torch.zeros(len(seeds), sampling.max_tokens, dtype=torch.int32, device=device)
        logprobs = torch.zeros(len(seeds), sampling.max_tokens, dtype=torch.float32, device=device)
        rows, logits, position = (
            torch.arange(len(seeds), device=device),
            first_logits[prompt_of],
            next_position[prompt_of],
        )
        done = torch.zeros_like(rows, dtype=torch.bool)
        for step in range(sampling.max_tokens):
            chosen, chosen_logprobs = self._choose(logits, seeds[rows], step, sampling)
            tokens[rows, step], logprobs[rows, step] = chosen.int(), chosen_logprobs
            done |= chosen == self._end
            finished = int(done.sum())
            if finished == len(rows) or step == sampling.max_tokens - 1:
                break
            if finished >= DROP_AT * len(rows):
                left = (~done).nonzero()[:, 0]
                cache.keep(left)
                rows, chosen, position, done = rows[left], chosen[left], position[left], done[left]
            logits = self._step(chosen, position + step, cache)
        return tokens.cpu().numpy(), logprobs.cpu().numpy()

    def _choose(
        self, logits: torch.Tensor, seeds: torch.Tensor, step: int, sampling: Sampling
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of each row, int64 [B], and its log-probability, float32 [B]."""
        policy = policy_logits(logits, self._suppressed, sampling.temperature)
        if sampling.temperature > 0:
            policy = keep_top_p(policy, sampling.top_p)
            chosen = draw(policy, seeds, step)
        else:
            chosen = policy.argmax(dim=-1)
        return chosen, policy.gather(1, chosen[:, None])[:, 0] - policy.logsumexp(dim=-1)

    def _prefill(
        self, prompts: list[EncodedPrompt], prompt_of: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, SharedPromptCache]:
        """One forward pass over the prompts: logits after each [P, V], the position of its first response token [P]."""
        ids, mask, pixels, grids = self._padded(prompts)
        positions = self.family.positions(self.model, ids, grids, mask)
        device = prompt_of.device
        out = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            pixel_values=None if pixels is None else pixels.to(device),
            image_grid_thw=None if grids is None else grids.to(device),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = SharedPromptCache(out.past_key_values, mask.bool().to(device), prompt_of)
        return out.logits[:, 0], positions.amax(dim=(0, 2)).to(device) + 1, cache

    def _padded(
        self, prompts: list[EncodedPrompt]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Left-padded ids and mask, int64 [P, T], and all images' pixels and grids."""
        longest = max(len(prompt.input_ids) for prompt in prompts)
        ids = torch.full((len(prompts), longest), self.encoder.processor.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt.input_ids) :] = prompt.input_ids
            mask[row, longest - len(prompt.input_ids) :] = 1
        pixels = [prompt.pixel_values for prompt in prompts if prompt.pixel_values is not None]
        grids = [prompt.image_grid_thw for prompt in prompts if prompt.image_grid_thw is not None]
        return ids, mask, torch.cat(pixels) if pixels else None, torch.cat(grids) if grids else None

    def _step(self, tokens: torch.Tensor, position: torch.Tensor, cache: SharedPromptCache) -> torch.Tensor:
        """Feed one token per row, int64 [B], at its position; returns the logits after it, [B, V]."""
        text_config = self.model.model.language_model.config
        cache.advance()
        with shared_prompt_attention(text_config):
            out = self.model(
                input_ids=tokens[:, None],
                attention_mask=self.family.attention_mask(text_config, None),  # the cache knows what may be attended to
                position_ids=position[None, :, None].expand(3, -1, 1),
                past_key_values=cache,
                shared_prompts=cache,
                use_cache=True,
            )
        return out.logits[:, 0]


@dataclass
class _Batch:
    """Responses decoded together: their place in the list of requests, and which of the prompts each belongs to."""

    prompts: list[EncodedPrompt]
    indices: list[int]
    requests: list[Request]
    prompt_of: list[int]

    def add(self, prompt: EncodedPrompt, indices: list[int], requests: list[Request]) -> None:
        self.prompt_of += [len(self.prompts)] * len(indices)
        self.prompts.append(prompt)
        self.indices += indices
        self.requests += requests


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _response_lengths(tokens: np.ndarray, end: int) -> np.ndarray:
    """The number of tokens up to and including the first end token, or all of them; int64 [B]."""
    ended = tokens == end
    return np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, tokens.shape[1])
