"""Supervised fine-tuning with `transformers.Trainer`: the cold start of §5, and the digits model from scratch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoProcessor,
    PreTrainedModel,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from mmr1.data.conversations import Pairs
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.distributed import Ranks
from mmr1.models.family import family_file
from mmr1.models.freezing import freeze
from mmr1.models.load import load_model, shape_in
from mmr1.plumbing.code import code_digest
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import write_jsonl
from mmr1.plumbing.interruption import Interrupted, Interruption
from mmr1.plumbing.progress import log
from mmr1.plumbing.settings import numbers, plugin_files
from mmr1.plumbing.states import States
from mmr1.sft.arguments import trainer_arguments
from mmr1.sft.callbacks import Leave, Lines, Seal, metrics_of
from mmr1.sft.conversations import Collator, Conversations
from mmr1.sft.cutoff import Fit, count_tokens, fit, fit_lengths
from mmr1.sft.memory import check_fits
from mmr1.sft.packing import EqualLengths, pack
from mmr1.sft.rows import RowCollator, Rows, learn_rows
from mmr1.sft.settings import SFTSettings
from mmr1.sft.trainer import Named, RowTrainer, SFTTrainer, ranks_of
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
    arguments = trainer_arguments(settings, seed, work)  # before the model, which ZeRO-3 divides while it is loaded
    ranks = ranks_of(arguments)
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
    callbacks = [Lines(), Seal(states, ranks), Leave(interruption, ranks)]
    trainer = _trainer(model, arguments, sets, lengths, fits, encoder, settings, seed, callbacks)
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
        write_jsonl(metrics, metrics_of(trainer.state.log_history))
    trainer.write_checkpoint(out)
    ranks.barrier()  # another may still read the best state, and the first one removes it
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    return {
        "eval_loss": float(min(losses)),
        "steps": float(trainer.state.global_step),
        "cut": float(fits[0].cut),
        "left_out": float(fits[0].left_out),
    }


def _trainer(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    sets: Mapping[str, Pairs],
    lengths: Mapping[str, Lengths] | None,
    fits: Sequence[Fit],
    encoder: PromptEncoder,
    settings: SFTSettings,
    seed: int,
    callbacks: list[TrainerCallback],
) -> SFTTrainer:
    """A trainer on padded batches or, where the lengths of all conversations are given, on rows."""
    trainer: SFTTrainer
    data, held_out = (
        Conversations(pairs, encoder, settings.cutoff, one.kept) for pairs, one in zip(sets.values(), fits, strict=True)
    )
    if lengths is None:
        collator = Collator(encoder.processor.tokenizer.pad_token_id, model)
        trainer = SFTTrainer(model, arguments, Named(collator), data, held_out, callbacks=callbacks)
    else:
        learned, compared = (
            [min(sum(lengths[name][number]), settings.cutoff) for number in one.kept]
            for name, one in zip(sets, fits, strict=True)
        )
        learn_rows(model)
        rows = Rows(data, _rows(learned, settings, seed)), Rows(held_out, _alone(compared))
        order = EqualLengths(learned, settings.batch_size, seed) if settings.group_by_length else None
        trainer = RowTrainer(model, arguments, Named(RowCollator(model)), *rows, callbacks=callbacks, order=order)
    trainer.processor = encoder.processor
    trainer.remove_callback(PrinterCallback)
    return trainer


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
