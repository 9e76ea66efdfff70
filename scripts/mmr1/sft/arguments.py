"""What `transformers.Trainer` is told of the settings of supervised fine-tuning."""

import math
import os
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from mmr1.grpo.distributed import join
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.interruption import PATIENCE
from mmr1.sft.settings import SFTSettings
from mmr1.training.division import for_these_nodes, read_division


def trainer_arguments(settings: SFTSettings, seed: int, work: Path) -> TrainingArguments:
    passes = forward_passes(settings, int(os.environ.get("WORLD_SIZE", 1)))
    workers = settings.machine.loader_workers
    return TrainingArguments(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.micro_batch_size,
        per_device_eval_batch_size=settings.micro_batch_size,
        gradient_accumulation_steps=passes,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16",
        gradient_checkpointing=settings.gradient_checkpointing,
        deepspeed=_complete(given) if (given := read_division(settings.deepspeed)) else None,
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        save_steps=settings.save_every,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        label_names=["targets" if settings.in_rows else "labels"],
        dataloader_num_workers=workers,
        # A step asks for all of its batches at once: as many are made beforehand, by all workers together.
        dataloader_prefetch_factor=max(2, math.ceil(passes / workers)) if workers else None,
        ddp_timeout=int(PATIENCE.total_seconds()),
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )


def forward_passes(settings: SFTSettings, ranks: int) -> int:
    """How many forward passes of each rank make one optimizer step. Raises UserError if none add up to the batch."""
    at_once = settings.micro_batch_size * ranks
    if settings.batch_size % at_once:
        raise UserError(
            f"batch_size: expected a multiple of {at_once} (micro_batch_size {settings.micro_batch_size} on "
            f"{ranks} ranks), found {settings.batch_size}"
        )
    return settings.batch_size // at_once


def _complete(given: dict[str, Any]) -> dict[str, Any]:
    """A DeepSpeed configuration that ends in whole weights: ZeRO-3 would leave each rank its part."""
    import deepspeed

    # A kernel for CPU inference, which would be compiled at the first start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    join()
    deepspeed.init_distributed()  # takes over our process group: ZeRO-3 needs to know it when the model is loaded
    config = for_these_nodes(given)
    if config.get("zero_optimization", {}).get("stage") == 3:
        zero = {**config["zero_optimization"], "stage3_gather_16bit_weights_on_model_save": True}
        config = {**config, "zero_optimization": zero}
    return config
