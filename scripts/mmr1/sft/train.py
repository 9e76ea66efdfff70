"""Supervised fine-tuning with `transformers.Trainer`: the cold start of §5, and the digits model from scratch."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoProcessor,
    PrinterCallback,
    ProcessorMixin,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from mmr1.data.conversations import Pairs
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.distributed import Ranks, join
from mmr1.models.family import family_file
from mmr1.models.freezing import freeze
from mmr1.models.load import load_model, shape_in
from mmr1.plumbing import live
from mmr1.plumbing.code import code_digest
from mmr1.plumbing.errors import SharedError, UserError
from mmr1.plumbing.files import atomic, write_jsonl
from mmr1.plumbing.interruption import PATIENCE, Interrupted, Interruption
from mmr1.plumbing.progress import log
from mmr1.plumbing.settings import numbers, plugin_files
from mmr1.plumbing.states import States
from mmr1.sft.conversations import Collator, Conversations
from mmr1.sft.cutoff import Fit, count_tokens, fit, fit_lengths
from mmr1.sft.memory import check_fits
from mmr1.sft.packing import EqualLengths, pack
from mmr1.sft.readers import outlive_signals
from mmr1.sft.rows import RowCollator, Rows, learn_rows
from mmr1.sft.settings import SFTSettings
from mmr1.training.division import for_these_nodes, read_division

Lengths = list[tuple[int, int]]  # tokens of each prompt, and of its response


def train_sft(
    model_folder: Path,
    train: Pairs,
    validation: Pairs,
    settings: SFTSettings,
    system_prompt: str | None,
    seed: int,
    work: Path,
    out: Path,
    metrics: Path,
    interruption: Interruption,
    inputs: Mapping[str, str],
) -> dict[str, float]:
    """Fine-tune and save the checkpoint with the best validation loss; returns the last metrics, and how many
    conversations the cutoff cut and left out.

    `work` keeps Trainer's own states, from which a killed run goes on, if the settings, the seed, the code, the number
    of threads and ranks, and `inputs`, a digest for each thing that is read, are the same. Writes `out`, a Hugging Face
    folder with the processor, and `metrics`, one object a logged step. Under torchrun every rank calls this, and the
    first one writes; it alone needs the `inputs`.

    Raises Interrupted once a state is saved, if any rank was asked to stop before the last step, NonFinite, and
    UserError if the cutoff leaves no conversation, or fewer than a batch, or if the device has too little memory.
    """
    set_seed(seed)
    arguments = _arguments(settings, seed, work)  # before the model: under ZeRO-3 it is divided while it is loaded
    ranks = _ranks(arguments)
    with ranks.one_mistake_is_all():
        if ranks.first:
            _say_memory(model_folder, settings, ranks)
    processor = AutoProcessor.from_pretrained(model_folder)
    encoder = PromptEncoder(
        processor,
        system_prompt,
        settings.prompt_position,
        settings.min_pixels,
        settings.max_pixels,
        cache_bytes=0,  # a conversation comes once an epoch
    )
    sets = {"conversations": train, "validation": validation}
    lengths = _count_tokens(sets, encoder, ranks) if settings.in_rows else None
    fits = _fits(sets, lengths, encoder, settings, ranks)
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    model = load_model(model_folder, dtype)
    freeze(model, settings.freeze)
    identity = identify(settings, inputs, seed, ranks, [family_file(model_folder)])
    states = States(work, identity, prefix="checkpoint-")
    callbacks = [_Lines(), _Seal(states, ranks), _Leave(interruption, ranks)]
    data, held_out = (
        Conversations(pairs, encoder, settings.cutoff, one.kept) for pairs, one in zip(sets.values(), fits, strict=True)
    )
    if lengths is None:
        collator = Collator(processor.tokenizer.pad_token_id, model)
        trainer = _Trainer(model, arguments, _Named(collator), data, held_out, callbacks=callbacks)
    else:
        learned, compared = (
            [min(sum(lengths[name][number]), settings.cutoff) for number in one.kept]
            for name, one in zip(sets, fits, strict=True)
        )
        learn_rows(model)
        rows = Rows(data, _rows(learned, settings, seed)), Rows(held_out, _alone(compared))
        order = EqualLengths(learned, settings.batch_size, seed) if settings.group_by_length else None
        trainer = _RowTrainer(model, arguments, _Named(RowCollator(model)), *rows, callbacks=callbacks, order=order)
    trainer.processor = processor
    trainer.remove_callback(PrinterCallback)
    last = None
    with ranks.one_mistake_is_all():
        last = ranks.lead(lambda hasher: states.newest(hasher=hasher))
    last = ranks.gather(last)[0]
    trainer.train(resume_from_checkpoint=None if last is None else str(states.path(last)))
    if (done := trainer.state.global_step) < trainer.state.max_steps:
        raise Interrupted(f"{interruption.reason or 'another rank was asked to stop'}: saved with {done} steps done")
    if trainer.state.best_metric is None:  # fewer steps than `evaluate_every`
        trainer.evaluate()
    if ranks.first:
        write_jsonl(metrics, _metrics(trainer.state.log_history))
    trainer.write_checkpoint(out)
    ranks.barrier()  # another may still read the best state, and the first one removes it
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "eval_loss": float(min(losses)),
        "steps": float(trainer.state.global_step),
        "cut": float(fits[0].cut),
        "left_out": float(fits[0].left_out),
    }


def _count_tokens(sets: Mapping[str, Pairs], encoder: PromptEncoder, ranks: Ranks) -> dict[str, Lengths]:
    """The tokens of every conversation of both sets, each rank counting a part of them."""
    mine: dict[str, Lengths] = {}
    with ranks.one_mistake_is_all():
        for name, pairs in sets.items():
            part = range(len(pairs) * ranks.rank // ranks.size, len(pairs) * (ranks.rank + 1) // ranks.size)
            mine[name] = count_tokens(name, pairs, encoder, part)
    parts = ranks.gather(mine)
    return {name: [length for part in parts for length in part[name]] for name in sets}


def _fits(
    sets: Mapping[str, Pairs],
    lengths: Mapping[str, Lengths] | None,
    encoder: PromptEncoder,
    settings: SFTSettings,
    ranks: Ranks,
) -> list[Fit]:
    """What the cutoff does to both sets, found by the first rank for all, from lengths or, without them, bounds."""
    fits: list[Fit] = []
    with ranks.one_mistake_is_all():
        if ranks.first:
            for name, pairs in sets.items():
                if lengths is None:
                    fits.append(fit(name, pairs, encoder, settings.cutoff))
                else:
                    fits.append(fit_lengths(name, lengths[name], len(pairs), settings.cutoff))
            if (left := len(fits[0].kept)) < min(settings.batch_size, len(sets["conversations"])):
                raise UserError(
                    f"batch_size: expected at most {left}, the conversations that fit the cutoff of {settings.cutoff} "
                    f"tokens, found {settings.batch_size}"
                )
    return ranks.gather(fits)[0]  # type: ignore[no-any-return]


def _rows(lengths: Sequence[int], settings: SFTSettings, seed: int) -> list[list[int]]:
    """Which conversations share a row. Raises UserError if there are fewer rows than a step has."""
    if settings.packing is None:
        return [[number] for number in range(len(lengths))]
    rows = pack(lengths, settings.packing, seed)
    if len(rows) < settings.batch_size:
        raise UserError(
            f"batch_size: expected at most {len(rows)}, the rows of {settings.packing} tokens that {len(lengths)} "
            f"conversations fill, found {settings.batch_size}"
        )
    return rows


def _alone(lengths: Sequence[int]) -> list[list[int]]:
    """Each conversation in a row of its own, longest first: ranks that evaluate at the same time have equal work."""
    return [[number] for number in sorted(range(len(lengths)), key=lambda number: -lengths[number])]


def _say_memory(model: Path, settings: SFTSettings, ranks: Ranks) -> None:
    """Print what a rank will need, before anything is loaded. Raises UserError if the device has less."""
    given = read_division(settings.deepspeed)
    division = None if given is None else for_these_nodes(given)
    for line in check_fits(shape_in(model), settings, division, ranks.size, ranks.device_bytes):
        log(line)


def _ranks(arguments: TrainingArguments) -> Ranks:
    """The process group that Trainer has joined."""
    return Ranks(arguments.process_index, arguments.world_size, arguments.device)


def identify(
    settings: SFTSettings, inputs: Mapping[str, str], seed: int, ranks: Ranks, plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """What the job computes: a saved state is used only by a job that agrees in all of it."""
    return {
        "settings": {name: value for name, value in numbers(settings).items() if name != "deepspeed"},
        "deepspeed": read_division(settings.deepspeed),
        "inputs": dict(inputs),
        "code": code_digest("train_sft", [*plugin_files(settings), *plugins]),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "ranks": ranks.size,
    }


def saved_bytes(weights: int, settings: SFTSettings) -> tuple[int, int]:
    """The bytes of a checkpoint and of a state, all ranks together.

    A state is a checkpoint and AdamW's two moments, which have the weights' precision; under DeepSpeed they and a copy
    of the weights are float32.
    """
    width = 2 if settings.precision == "bf16" else 4
    return weights * width, weights * (width + (12 if settings.deepspeed else 2 * width))


def count_saves(settings: SFTSettings, conversations: int) -> int:
    """How often a training on so many conversations saves a state, at least: the last step saves one.

    With packing it is an upper bound, for how many rows they fill is not known before they are read.
    """
    return max(1, int(settings.epochs * (conversations // settings.batch_size)) // settings.save_every)


def forward_passes(settings: SFTSettings, ranks: int) -> int:
    """How many forward passes of each rank make one optimizer step. Raises UserError if none add up to the batch."""
    at_once = settings.micro_batch_size * ranks
    if settings.batch_size % at_once:
        raise UserError(
            f"batch_size: expected a multiple of {at_once} (micro_batch_size {settings.micro_batch_size} on "
            f"{ranks} ranks), found {settings.batch_size}"
        )
    return settings.batch_size // at_once


def _arguments(settings: SFTSettings, seed: int, work: Path) -> TrainingArguments:
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


def _metrics(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trainer's log in our words, without what is not reproducible (seconds)."""
    names = {"loss": "loss", "grad_norm": "gradient_norm", "learning_rate": "learning_rate", "eval_loss": "eval_loss"}
    steps: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = steps.setdefault(entry["step"], {"step": entry["step"]})
        row |= {ours: float(entry[theirs]) for theirs, ours in names.items() if theirs in entry}
    return [row for row in steps.values() if len(row) > 1]


class NonFinite(SharedError):
    """A gradient is not finite; the message names the step, the conversations and where the batch is saved."""


class _Named:
    """A collator whose batches have `ids`, those of their problems, beside what the model is given."""

    def __init__(self, collate: Callable[[list[Any]], dict[str, Any]]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> dict[str, Any]:
        conversations = [one for item in items for one in (item if isinstance(item, list) else [item])]
        return {**self.collate(items), "ids": [one["id"] for one in conversations]}


class _Trainer(Trainer):
    """Trainer that loads its own checkpoints, and whose ranks stop together at a row that is broken.

    transformers 5.19 saves the weights under the names of the released checkpoints and loads them back without
    renaming, not strictly: a resumed run would go on from fresh weights with a warning only.
    """

    processor: ProcessorMixin
    batches: Sequence[dict[str, Any]] = ()  # of the step that is trained, this rank's

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The batches of a step. Raises UserError on all ranks if one cannot read its own: they would wait for it."""
        with _ranks(self.args).one_mistake_is_all():
            try:
                batches = list(islice(epoch_iterator, num_batches))
            except UserError as mistake:  # torch puts a loader process's whole traceback before its words
                raise UserError(str(mistake).rpartition(f"{UserError.__name__}: ")[2].strip()) from None
        self.batches, count = super().get_batch_samples(iter(batches), num_batches, device)
        return self.batches, count

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return super()._prepare_inputs({name: value for name, value in inputs.items() if name != "ids"})

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The gradient's norm over all ranks. Raises NonFinite if it is not finite, as all later weights would be."""
        norm = super()._get_grad_norm(model, grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            self._fail(f"gradient norm is {float(norm)}")
        return norm

    def _fail(self, what: str) -> NoReturn:
        """Save the weights and, each rank, its batches of this step, and stop."""
        ranks, work = _ranks(self.args), Path(self.args.output_dir)
        folder, step = work / "non_finite", self.state.global_step + 1
        self.write_checkpoint(folder / "checkpoint")
        with atomic(folder / f"batch-{ranks.rank}.pt") as target:
            batches = [
                {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
                for batch in self.batches
            ]
            torch.save({"step": step, "batches": batches}, target)
        own = [name for batch in self.batches for name in batch["ids"]]
        names = [name for part in ranks.gather(own) for name in part]
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise NonFinite(
            f"step {step}: {what}; conversations {shown}; the batch and the weights are in {folder}, what was saved "
            f"before is in {work}: a lower learning_rate or max_grad_norm may help"
        )

    def write_checkpoint(self, folder: Path) -> None:
        """Write a Hugging Face folder with the processor, atomically. All ranks call it; the first one writes."""
        first = self.is_world_process_zero()
        with atomic(folder) if first else nullcontext(folder) as target:
            self.save_model(str(target))  # ZeRO-3 gathers its weights
            if first:
                self.processor.save_pretrained(target)
                (target / "training_args.bin").unlink(missing_ok=True)  # a pickle with paths and times of this run

    def _get_dataloader(self, *arguments: Any, **named: Any) -> DataLoader:
        loader = super()._get_dataloader(*arguments, **named)
        loader.base_dataloader.worker_init_fn = outlive_signals
        return loader

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        _load_weights(model if model is not None else self.model, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        if self.is_deepspeed_enabled:  # DeepSpeed's own states keep the module's names
            super()._load_best_model()
        else:
            _load_weights(self.model, self.state.best_model_checkpoint)


class _RowTrainer(_Trainer):
    """Trainer on rows (`mmr1.sft.rows`): a step's loss is the mean over its conversations, on all ranks together."""

    loss_is_scaled_for_ga = True

    def __init__(self, *arguments: Any, order: EqualLengths | None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.order = order

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """This rank's part of the mean; gradients are averaged over ranks."""
        loss = model(**inputs) * self.args.world_size / num_items_in_batch
        return (loss, {"loss": loss}) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> float:
        """How many conversations these batches of all ranks have."""
        return _ranks(self.args).sum([float(sum(batch["conversations"] for batch in batch_samples))])[0]

    def _run_epoch(self, model: Any, epoch: int, *arguments: Any, **named: Any) -> None:
        if self.order is not None:  # accelerate tells it where one rank starts an epoch, but not where several go on
            self.order.set_epoch(epoch)
        super()._run_epoch(model, epoch, *arguments, **named)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        return self.order or super()._get_train_sampler(train_dataset)


def _load_weights(model: Any, folder: str) -> None:
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict(), strict=True)


class _Lines(TrainerCallback):
    """One plain line every few steps in place of Trainer's bar."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        for row in _metrics(state.log_history[-1:]):
            live.tell("metrics", row)
        if logs and ("eval_loss" in logs or state.global_step % 10 == 0 or state.global_step == state.max_steps):
            shown = {name: round(float(value), 4) for name, value in logs.items() if "loss" in name or "norm" in name}
            if shown:
                log(f"step {state.global_step}/{state.max_steps}: {json.dumps(shown)}")


class _Seal(TrainerCallback):
    """Makes Trainer's folders states, once every rank has written its part, and keeps the last and the best."""

    def __init__(self, states: States, ranks: Ranks) -> None:
        self.states, self.ranks = states, ranks

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.best_global_step:  # Trainer remembers the path that it had when it was saved
            state.best_model_checkpoint = str(self.states.path(state.best_global_step))

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ranks.barrier()
        needs = [state.best_global_step] if state.best_global_step else []
        self.ranks.lead(lambda hasher: self.states.seal(state.global_step, needs=needs, hasher=hasher))
        if self.ranks.first:
            self.states.prune(state.global_step)
        self.ranks.barrier()  # one that left now would end the first


class _Leave(TrainerCallback):
    """Saves and stops after the step in which a rank was told to, or when the time limit is near."""

    def __init__(self, interruption: Interruption, ranks: Ranks) -> None:
        self.interruption, self.ranks = interruption, ranks
        self.since = time.monotonic()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.interruption.took("step", time.monotonic() - self.since)
        self.since = time.monotonic()
        if state.global_step < state.max_steps and self.ranks.any(self.interruption.requested()):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.interruption.took("save", time.monotonic() - self.since)  # with the evaluation before it
