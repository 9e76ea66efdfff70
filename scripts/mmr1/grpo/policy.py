"""The model under training: one that returns log-probabilities, run by DeepSpeed, and its frozen reference."""

import argparse
import importlib
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoProcessor, PreTrainedModel
from transformers.integrations import HfDeepSpeedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from mmr1.grpo.attention import use_row_attention
from mmr1.grpo.batching import MicroBatch
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.logprobs import LogprobHead
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.family import family_of
from mmr1.models.load import load_model
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic
from mmr1.plumbing.stopwatch import phase
from mmr1.training.division import without_copies

STATE = "state"  # DeepSpeed's folder in a saved state

# Set from GRPOSettings: a DeepSpeed configuration may say "auto" here (as transformers' Trainer asks), nothing else.
OURS = (
    *("optimizer", "scheduler", "bf16", "fp16", "gradient_clipping"),
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"),
)


class LogprobModel(nn.Module):
    """A model whose forward pass ends in log-probabilities of a micro-batch's responses."""

    def __init__(self, model: PreTrainedModel, temperature: float, suppressed: list[int]) -> None:
        super().__init__()
        self.model = model
        self.family = family_of(model.config)
        use_row_attention(model.config.text_config)
        self.model.lm_head = LogprobHead(model.lm_head, temperature, suppressed)

    def forward(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of `batch.targets`: two float32 [N]; see `LogprobHead`."""
        pixels, grids = batch.pixel_values, batch.image_grid_thw
        if pixels is None or grids is None:
            device = batch.input_ids.device
            pixels, grids = (tensor.to(device) for tensor in self.family.blank_image(self.model.config))
        with phase("vision"):
            features = self.family.image_features(self.model, pixels, grids)
        # Ranks meet in the collectives of every module: one whose texts have no image looks at a blank one for nothing.
        unseen = 0 if batch.pixel_values is not None else 0 * sum(part.sum() for part in features[0])
        shown = [features[index] for index in batch.image_order.tolist()]
        with phase("text"):
            hidden = self.model.model(
                input_ids=batch.input_ids,
                position_ids=batch.positions,
                attention_mask=self.family.attention_mask(self.model.config.text_config, batch.mask),
                use_cache=False,
                **(self.family.encoded_images(shown) if shown else {}),
            )[0]
        with phase("head"):
            return self.model.lm_head(hidden.flatten(0, 1)[batch.sources] + unseen, batch.targets)


class Policy:
    """The weights that are trained, with their optimizer."""

    def __init__(self, folder: Path, settings: GRPOSettings, suppressed: list[int], config: dict[str, Any]) -> None:
        self.config = deepspeed_config(settings, config)
        self.processor = AutoProcessor.from_pretrained(folder)
        model = _load(folder, settings, self.config)
        self.hf: PreTrainedModel = model
        self.dtype = model.dtype
        self.stage = int(self.config["zero_optimization"]["stage"])
        if settings.gradient_checkpointing:
            recompute_every(model, settings.recompute_every)
        module = LogprobModel(model, settings.temperature, suppressed)
        self.engine = _initialize(module, self.config, trained=True)
        self._canonical_states()
        self.engine.train()

    def logprobs(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """See `LogprobModel.forward`; with gradient unless under `torch.no_grad`."""
        return self.engine(batch)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add a micro-batch's share of the gradient; `loss` is its part of the sum over micro-batches and ranks."""
        self.engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed averages over ranks; our losses are parts of a sum.
        self.engine.backward(loss * self.engine.dp_world_size, scale_wrt_gas=False)

    def step(self) -> float:
        """Update the weights; returns the gradient's norm before clipping, not finite if the step was not taken."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def named_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Each weight under its name, whole on every rank, one at a time; all ranks must iterate together."""
        for name, parameter in self.hf.named_parameters():
            with _whole([parameter], self.stage):
                yield name, parameter.data

    def save(self, folder: Path, ranks: Ranks) -> None:
        """Write a Hugging Face folder with the processor, atomically."""
        state = None
        if self.stage == 3:
            state = {name: tensor.cpu() if ranks.first else None for name, tensor in self.named_tensors()}
        if ranks.first:
            with atomic(folder) as target:
                self.hf.save_pretrained(target, state_dict=state)
                self.processor.save_pretrained(target)
        ranks.barrier()

    def save_state(self, folder: Path) -> None:
        """Write weights and optimizer state as DeepSpeed does, each rank its part, into an existing folder."""
        self.engine.save_checkpoint(str(folder), tag=STATE, save_latest=False)
        for script in folder.glob("zero_to_*.py"):  # DeepSpeed's converters
            script.unlink(missing_ok=True)

    def load_state(self, folder: Path) -> None:
        """Undo `save_state`, to the last bit; the number of ranks must be the same."""
        self.engine.load_checkpoint(str(folder), tag=STATE)

    def load_state_of_other_ranks(self, folder: Path, scratch: Path, ranks: Ranks) -> None:
        """Load what another number of ranks saved, by way of DeepSpeed's universal format in a new folder `scratch`."""
        if ranks.first:
            _deepspeed()
            from deepspeed.checkpoint.ds_to_universal import main as convert

            given = {"num_extract_workers": 1, "num_merge_workers": 1, "keep_temp_folder": False, "strict": True}
            places = {"input_folder": str(folder / STATE), "output_folder": str(scratch)}
            convert(argparse.Namespace(**places, **given, inject_missing_state=True))
        ranks.barrier()
        self.engine._config.load_universal_checkpoint = True
        self.engine.load_checkpoint(str(scratch.parent), tag=scratch.name)
        self.engine._config.load_universal_checkpoint = False
        ranks.barrier()

    def _canonical_states(self) -> None:
        """Let equal states be saved as equal bytes: pickle writes equal strings differently if they are two objects."""
        save = self.engine.checkpoint_engine.save
        self.engine.checkpoint_engine.save = lambda state_dict, path: save(_interned(state_dict), path)


class Reference:
    """The policy before RL, which the KL term holds on to; never trained."""

    def __init__(self, folder: Path, settings: GRPOSettings, suppressed: list[int], policy: Policy) -> None:
        config = without_copies({key: value for key, value in policy.config.items() if key != "optimizer"})
        model = _load(folder, settings, config)
        module = LogprobModel(model, settings.temperature, suppressed).eval().requires_grad_(False)
        if policy.stage == 3:
            self.module: nn.Module = _initialize(module, config, trained=False)
            self.module.eval()
        else:
            self.module = module.to(policy.engine.device)

    @torch.no_grad()
    def logprobs(self, batch: MicroBatch) -> torch.Tensor:
        """Log-probabilities of `batch.targets`: float32 [N]."""
        return self.module(batch)[0]


def recompute_every(model: PreTrainedModel, n: int) -> None:
    """Let every n-th block of the language model and of the vision tower be computed again in the backward pass.

    These keep their input alone, the other blocks all that they computed. No bit of a gradient depends on it.
    """
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for blocks in model.modules():
        if isinstance(blocks, nn.ModuleList):
            for number, block in enumerate(blocks):
                if isinstance(block, GradientCheckpointingLayer):
                    block.gradient_checkpointing = number % n == 0


def deepspeed_config(settings: GRPOSettings, given: dict[str, Any]) -> dict[str, Any]:
    """A complete DeepSpeed configuration: `given` says how memory is divided, the settings say the rest.

    Raises UserError if `given` sets what the settings say, or has no ZeRO stage 2 or 3.
    """
    for key in OURS:
        value = given.get(key, "auto")
        if value not in ("auto", {"enabled": "auto"}):
            raise UserError(
                f'deepspeed: {key}: set by the training settings, expected nothing or "auto", found {value}'
            )
    stage = given.get("zero_optimization", {}).get("stage")
    if stage not in (2, 3):
        raise UserError(f"deepspeed: zero_optimization.stage: expected 2 or 3, found {stage}")
    adam = {
        "lr": settings.learning_rate,
        "betas": list(settings.betas),
        "eps": settings.adam_epsilon,
        "weight_decay": settings.weight_decay,
        "torch_adam": True,  # needs no compiler
        "fused": torch.cuda.is_available(),  # on a CPU it rounds otherwise: some 1 of 1,000 weights, in the last bit
    }
    return {
        "communication_data_type": "fp32",  # ranks' gradients are added in float32, under bf16 too
        **{key: value for key, value in given.items() if key not in OURS},
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": settings.max_grad_norm,
        "optimizer": {"type": "AdamW", "params": adam},
        "bf16": {"enabled": settings.precision == "bf16", "check_grad_overflow": True},
        "data_types": {"grad_accum_dtype": "fp32"},  # micro-batches add up in float32 under bf16 too
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
    }


def _load(folder: Path, settings: GRPOSettings, config: dict[str, Any]) -> PreTrainedModel:
    """The model of a Hugging Face folder; under ZeRO-3 each rank holds its part from the start."""
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    _deepspeed()
    sharded = HfDeepSpeedConfig(config) if config["zero_optimization"]["stage"] == 3 else None
    model = load_model(folder, dtype)
    del sharded  # it acts for as long as it lives
    return model


def _interned(value: Any) -> Any:
    """The same value with new containers, and equal strings the same object."""
    if isinstance(value, str):
        return sys.intern(value)
    if type(value) in (dict, OrderedDict):
        return type(value)((_interned(key), _interned(item)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(_interned(item) for item in value)
    return value


def _initialize(module: nn.Module, config: dict[str, Any], trained: bool) -> Any:
    parameters = module.parameters() if trained else None
    engine, *_ = _deepspeed().initialize(model=module, model_parameters=parameters, config=config)
    return engine


def _whole(parameters: list[nn.Parameter], stage: int) -> Any:
    if stage < 3:
        return nullcontext()
    return _deepspeed().zero.GatheredParameters(parameters)


@cache
def _deepspeed() -> Any:
    """DeepSpeed, imported where a training process first needs it, without what costs much time and is unused."""
    import deepspeed

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # A kernel for CPU inference, which would be compiled at the first start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # The Muon optimizer is wrapped in torch.compile at import, which imports all of Inductor.
    compiled, torch.compile = torch.compile, lambda function: function
    try:
        importlib.import_module("deepspeed.runtime.zero.muon.original_muon")
    finally:
        torch.compile = compiled
    return deepspeed
