"""`transformers.Trainer` as supervised fine-tuning needs it: it loads its own states, and its ranks stop together."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import ProcessorMixin, Trainer, TrainingArguments

from mmr1.grpo.distributed import Ranks
from mmr1.plumbing.errors import SharedError, UserError
from mmr1.plumbing.files import atomic
from mmr1.sft.packing import EqualLengths
from mmr1.sft.readers import outlive_signals


class NonFinite(SharedError):
    """A gradient is not finite; the message names the step, the conversations and where the batch is saved."""


def ranks_of(arguments: TrainingArguments) -> Ranks:
    """The process group that Trainer has joined."""
    return Ranks(arguments.process_index, arguments.world_size, arguments.device)


class Named:
    """A collator whose batches have `ids`, those of their problems, beside what the model is given."""

    def __init__(self, collate: Callable[[list[Any]], dict[str, Any]]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> dict[str, Any]:
        conversations = [one for item in items for one in (item if isinstance(item, list) else [item])]
        return {**self.collate(items), "ids": [one["id"] for one in conversations]}


class SFTTrainer(Trainer):
    """Trainer that loads its own checkpoints, and whose ranks stop together at a row that is broken.

    transformers 5.19 saves the weights under the names of the released checkpoints and loads them back without
    renaming, not strictly: a resumed run would go on from fresh weights with a warning only.
    """

    processor: ProcessorMixin
    batches: Sequence[dict[str, Any]] = ()  # of the step that is trained, this rank's

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The batches of a step. Raises UserError on all ranks if one cannot read its own: they would wait for it."""
        with ranks_of(self.args).one_mistake_is_all():
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
        ranks, work = ranks_of(self.args), Path(self.args.output_dir)
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


class RowTrainer(SFTTrainer):
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
        return ranks_of(self.args).sum([float(sum(batch["conversations"] for batch in batch_samples))])[0]

    def _run_epoch(self, model: Any, epoch: int, *arguments: Any, **named: Any) -> None:
        if self.order is not None:  # accelerate tells it where one rank starts an epoch, but not where several go on
            self.order.set_epoch(epoch)
        super()._run_epoch(model, epoch, *arguments, **named)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:
        return self.order or super()._get_train_sampler(train_dataset)


def _load_weights(model: Any, folder: str) -> None:
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict(), strict=True)
