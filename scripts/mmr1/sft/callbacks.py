"""What supervised fine-tuning does beside its steps: lines of progress, sealed states, and leaving when asked to."""

import json
import time
from typing import Any

from transformers import TrainerCallback

from mmr1.grpo.distributed import Ranks
from mmr1.plumbing import live
from mmr1.plumbing.interruption import Interruption
from mmr1.plumbing.progress import log
from mmr1.plumbing.states import States


class Lines(TrainerCallback):
    """One plain line every few steps in place of Trainer's bar."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        for row in metrics_of(state.log_history[-1:]):
            live.tell("metrics", row)
        if logs and ("eval_loss" in logs or state.global_step % 10 == 0 or state.global_step == state.max_steps):
            shown = {name: round(float(value), 4) for name, value in logs.items() if "loss" in name or "norm" in name}
            if shown:
                log(f"step {state.global_step}/{state.max_steps}: {json.dumps(shown)}")


class Seal(TrainerCallback):
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


class Leave(TrainerCallback):
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


def metrics_of(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trainer's log in our words, without what is not reproducible (seconds)."""
    names = {"loss": "loss", "grad_norm": "gradient_norm", "learning_rate": "learning_rate", "eval_loss": "eval_loss"}
    steps: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = steps.setdefault(entry["step"], {"step": entry["step"]})
        row |= {ours: float(entry[theirs]) for theirs, ours in names.items() if theirs in entry}
    return [row for row in steps.values() if len(row) > 1]
