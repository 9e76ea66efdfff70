"""The training loop: choose, generate, reward, advantages, accumulate, step, sync weights, log, save."""

from collections.abc import Sequence
from typing import Any, NoReturn

from mmr1.data.problems import Problem
from mmr1.grpo.choosing import Sampler
from mmr1.grpo.experience import rewards_schema, rewards_table, rollouts_table, schedule_table
from mmr1.grpo.learner import Learner
from mmr1.grpo.metrics import group_metrics, timings
from mmr1.grpo.policy import Policy
from mmr1.grpo.sampling import Collector
from mmr1.grpo.settings import GRPOSettings
from mmr1.grpo.state import Work
from mmr1.plumbing import live
from mmr1.plumbing.interruption import Interrupted, Interruption, Preempted
from mmr1.plumbing.progress import log
from mmr1.plumbing.stopwatch import Stopwatch


def train(
    settings: GRPOSettings,
    policy: Policy,
    sampler: Sampler,
    collector: Collector,
    learner: Learner,
    work: Work,
    done: int,
    interruption: Interruption,
    validation: Sequence[Problem] = (),
    validate_every: int = 1,
) -> dict[str, float] | None:
    """Train every step of the round from step `done` on; results and states go to `work`.

    Held-out problems are sampled before the first step of all and after every `validate_every` steps; the last of
    these is returned, the others are in the steps' logs. Raises Interrupted and NonFinite.
    """
    first, last = sampler.steps[0], sampler.steps[-1]

    def validate(step: int, watch: Stopwatch) -> dict[str, float] | None:
        """Accuracy with `step` steps done, if it is due. At a round's first step the round before has done it."""
        due = validation and step % validate_every == 0 and (step > first or step == 0)
        if not due:
            return None
        row = {"step": step, **collector.validate(validation, watch)}
        live.tell("validation", row)
        return row

    schema = rewards_schema(settings.rewards)
    collector.update_weights(policy)
    for step in range(done, last + 1):
        watch = Stopwatch(on_gpu=collector.ranks.device.type == "cuda")
        try:
            validated = validate(step, watch)
            queue = sampler.choose(step)
            groups, trained = collector.collect(step, queue, watch)
        except Preempted:
            _leave(work, policy, step, interruption)
        collector.engine.sleep()
        with watch.time("train"), watch.running():
            learned = learner.learn(step, trained)
        with watch.time("sync"):
            collector.update_weights(policy)
        rewards = rewards_table(groups, step, schema)
        sampler.observe(step, rewards)
        if collector.ranks.first:
            tokens = [collector.encoder.length(group.entry.problem) for group in groups]
            metrics = {"step": step, **group_metrics(groups, settings), **learned}
            logs: dict[str, Any] = {
                "metrics": metrics,
                "timings": {"step": step, **timings(groups, tokens, watch, collector.ranks.size)},
                "validation": validated,
                "entries": {"step": step, "drawn": len(groups), "trained": [group.entry.slot for group in trained]},
            }
            tables = {"rollouts": rollouts_table(groups, step), "rewards": rewards}
            work.write_step(step, tables | {"schedule": schedule_table(queue, step)}, logs)
            for name in ("metrics", "timings", "entries"):
                live.tell(name, logs[name])
            log(_line(metrics, last, watch))
        interruption.took("step", watch.total())
        if (step + 1) % settings.machine.save_every == 0 or step == last:
            _save(work, policy, step + 1, interruption)
        if step < last and collector.ranks.any(interruption.requested()):
            _leave(work, policy, step + 1, interruption)
    try:
        return validate(last + 1, Stopwatch())
    except Preempted:
        _leave(work, policy, last + 1, interruption)


def _save(work: Work, policy: Policy, step: int, interruption: Interruption) -> None:
    watch = Stopwatch()
    work.save(policy, step)
    interruption.took("save", watch.total())


def _leave(work: Work, policy: Policy, step: int, interruption: Interruption) -> NoReturn:
    work.save(policy, step)
    raise Interrupted(f"{interruption.reason or 'another rank was asked to stop'}: saved with {step} steps done")


def _line(metrics: dict[str, float], last: int, watch: Stopwatch) -> str:
    shown = (
        *(name for name in metrics if name.startswith("reward_") and name != "reward_mean"),
        "zero_variance_share",
        "gradient_norm",
        "kl",
        "logprob_difference_mean",
    )
    values = " ".join(f"{name} {metrics[name]:.3g}" for name in shown if name in metrics)
    return f"step {metrics['step']:.0f}/{last}: {values}; {watch.total():.1f} s"
