"""One round from files to files: read the inputs, set the parts up, go on from a saved state, train, write."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import AutoConfig, AutoTokenizer

from mmr1.data import contracts
from mmr1.data.chat import read_prompt
from mmr1.data.problems import Problem, read_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.choosing import ObservingSampler, Sampler, ScheduleSampler
from mmr1.grpo.distributed import Ranks
from mmr1.grpo.experience import rewards_schema
from mmr1.grpo.learner import Learner
from mmr1.grpo.loop import train
from mmr1.grpo.memory import check_fits, saved_bytes
from mmr1.grpo.policy import Policy, Reference
from mmr1.grpo.replay import ReplayEngine
from mmr1.grpo.sampling import Collector
from mmr1.grpo.settings import GRPOSettings, TrainerSettings
from mmr1.grpo.state import Work, copy_state, folder_digest, load_state
from mmr1.models import determinism
from mmr1.models.action_space import suppressed_tokens
from mmr1.models.checkpoints import check_checkpoint, count_weights
from mmr1.models.family import family_file
from mmr1.models.load import shape_in
from mmr1.plumbing.code import code_digest
from mmr1.plumbing.disk import bytes_under, check_room, responses_bytes
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, sha256, write_jsonl
from mmr1.plumbing.interruption import Interruption
from mmr1.plumbing.progress import log
from mmr1.plumbing.settings import numbers, plugin_files
from mmr1.plumbing.states import check_state, read_manifest, states_at_once
from mmr1.rewards.verifier.verify import Verifier
from mmr1.rollout.engines import Limits
from mmr1.rollout.make import make_engine, ranks_of
from mmr1.rollout.requests import Engine
from mmr1.training.division import for_these_nodes, read_division
from mmr1.vas.history import REWARDS, iter_steps
from mmr1.vas.samplers import make_sampler


def train_round(
    args: argparse.Namespace, settings: TrainerSettings, ranks: Ranks, interruption: Interruption
) -> tuple[dict[str, float], dict[str, Any]]:
    """Everything `train_grpo.py` does; returns the last step's metrics and notes for the record.

    Raises UserError for inputs that do not fit each other, Interrupted and NonFinite.
    """
    problems = read_problems(args.problems)
    sampler = sampler_of(args, settings, problems)
    validation = read_problems(args.validation) if args.validation else []
    for folder in {args.model, args.reference}:
        check_checkpoint(folder)
    deepspeed = read_division(settings.deepspeed)
    assert deepspeed is not None  # GRPO's settings have one
    identity = identify(args, settings, deepspeed, ranks)
    deepspeed = for_these_nodes(deepspeed)
    ranks.agree({name: digest(value) if isinstance(value, dict) else str(value) for name, value in identity.items()})
    first, last = sampler.steps[0], sampler.steps[-1]
    if args.replay and settings.importance_cap is not None:
        raise UserError(
            "importance_cap: expected none with --replay, because a stored rollout has the mean log-probability of its "
            "tokens only"
        )
    if ranks.size % (shared_by := ranks_of(settings.engine)):
        raise UserError(f"engine.tensor_parallel: expected a divisor of the {ranks.size} ranks, found {shared_by}")
    with ranks.one_mistake_is_all():
        if ranks.first:
            say_memory(args.model, settings, deepspeed, ranks)
            check_room(room_needed(args, settings, deepspeed, last + 1 - first))

    suppressed = suppressed_of(args.model)
    policy = Policy(args.model, settings, suppressed, deepspeed)
    reference = Reference(args.reference, settings, suppressed, policy) if settings.needs_reference else None
    encoder = PromptEncoder(
        policy.processor,
        read_prompt(args.system_prompt),
        settings.prompt_position,
        settings.min_pixels,
        settings.max_pixels,
        cache_bytes=settings.machine.pixel_cache_mib << 20,
    )
    work = Work(args.work, identity, ranks)
    done = work.restore(policy, args.any_world_size)
    if done is None:
        done = first
        if args.state:
            check_state_of_round_before(args.state, args.model, first)
            load_state(policy, args.state, ranks, args.any_world_size, args.work)
    for step in range(first, done):
        sampler.observe(step, work.table(step, "rewards", REWARDS))
    with Verifier(settings.machine.verify_workers, settings.verify_seconds) as verifier:
        engine = engine_of(args, settings, encoder, [*problems, *validation])
        collector = Collector(settings, engine, encoder, verifier, ranks, args.seed, interruption)
        learner = Learner(settings, policy, reference, encoder, ranks, args.work / "non_finite")
        validated = train(
            settings, policy, sampler, collector, learner, work, done, interruption, validation, args.validate_every
        )
        notes = engine.notes()
        engine.close()
    policy.save(args.out, ranks)
    logs = write_outputs(args, settings, work, range(first, last + 1), validated) if ranks.first else []
    if args.state_out and ranks.first:
        facts = {"step": last + 1, "checkpoint": folder_digest(args.out, "*.safetensors")}
        copy_state(work.states.path(last + 1), args.state_out, facts)
    ranks.barrier()
    if not logs:
        return {}, {}
    metrics = {name: float(value) for name, value in logs[-1]["metrics"].items() if name != "step"}
    timeouts = sum(entry["metrics"]["verify_timeouts"] for entry in logs)
    notes |= determinism.notes()
    return metrics, {**notes, "ranks": ranks.size, "zero_stage": policy.stage, "verify_timeouts": timeouts}


def sampler_of(args: argparse.Namespace, settings: TrainerSettings, problems: Sequence[Problem]) -> Sampler:
    """What chooses each step's problems: the schedule file, or the sampler of the settings, shown earlier rounds."""
    if args.schedule:
        return ScheduleSampler(args.schedule, problems)
    assert settings.draw is not None  # checked with the arguments
    sampler = make_sampler(settings.draw, [problem.id for problem in problems], args.seed)
    steps = range(args.first_step, args.first_step + args.steps)
    earlier = list(iter_steps(args.earlier_rewards))
    if [step for step, _ in earlier] != list(range(args.first_step)):
        raise UserError(
            f"--earlier-rewards: expected those of steps 0 to {args.first_step - 1}, all before --first-step, "
            f"found {len(earlier)} steps"
        )
    longest = settings.draw.batch_size * settings.draw.queue_factor
    return ObservingSampler(sampler, problems, steps, longest, earlier)


def engine_of(
    args: argparse.Namespace, settings: GRPOSettings, encoder: PromptEncoder, problems: Sequence[Problem]
) -> Engine:
    """The engine of the settings, with weights of its own that the policy's replace before every generation."""
    if args.replay:
        return ReplayEngine(args.replay)
    images = max(len(problem.images) for problem in problems)
    limits = Limits(images, settings.max_response_tokens, settings.max_prompt_tokens)
    return make_engine(settings.engine, args.model, encoder, limits, beside_training=True)


def say_memory(model: Path, settings: GRPOSettings, deepspeed: dict[str, Any], ranks: Ranks) -> None:
    """Print what a rank will need, before anything is loaded. Raises UserError if the device has less."""
    for line in check_fits(shape_in(model), settings, deepspeed, ranks.size, ranks.device_bytes):
        log(line)


def room_needed(
    args: argparse.Namespace, settings: TrainerSettings, deepspeed: dict[str, Any], steps: int
) -> dict[Path, float]:
    """Bytes that a round of so many steps writes: the checkpoint, rollouts, and the states that no start has left.

    The state that is handed on is one of them under another name. Rollouts lie in the work folder until all are there.
    """
    checkpoint, state = saved_bytes(count_weights(args.model), settings, deepspeed)
    saves = math.ceil(steps / settings.machine.save_every)
    rollouts = responses_bytes(steps * settings.mini_batch_size * settings.group_size, settings.max_response_tokens)
    kept = states_at_once(saves) * state + rollouts - bytes_under(args.work)
    return {args.out: checkpoint, args.work: kept, args.rollouts: rollouts}


def identify(
    args: argparse.Namespace, settings: GRPOSettings, deepspeed: dict[str, Any], ranks: Ranks
) -> dict[str, Any]:
    """What the job computes: a saved state is used only by a job that agrees in all of it."""
    files = {
        name: sha256(path)
        for name in ("problems", "schedule", "system_prompt", "validation", "replay")
        if (path := getattr(args, name))
    }
    folders = {name: folder_digest(path) for name in ("model", "reference") if (path := getattr(args, name))}
    if args.earlier_rewards:
        files["earlier_rewards"] = digest([sha256(path) for path in args.earlier_rewards])
    if args.state:
        folders["state"] = digest(read_manifest(args.state))
    return {
        **files,
        **folders,
        "settings": {name: value for name, value in numbers(settings).items() if name != "deepspeed"},
        "deepspeed": deepspeed,
        "code": code_digest("train_grpo", [*plugin_files(settings), family_file(args.model)]),
        "seed": args.seed,
        "steps": [args.first_step, args.steps],
        "threads": args.threads,
        "validate_every": args.validate_every,
    }


def suppressed_of(folder: Path) -> list[int]:
    """The tokens that the sampler never draws, for a checkpoint."""
    return suppressed_tokens(AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder))


def check_state_of_round_before(folder: Path, model: Path, first: int) -> None:
    """Raises UserError if the state of the round before is damaged, or is not of this checkpoint and step."""
    manifest = check_state(folder)
    if manifest.get("step") != first:
        raise UserError(
            f"{folder}: expected the state after {first} steps (the schedule's first), found {manifest.get('step')}"
        )
    checkpoint = folder_digest(model, "*.safetensors")
    if manifest.get("checkpoint") != checkpoint:
        raise UserError(f"{folder}: expected the state saved with {model}, found one of another checkpoint")


def write_outputs(
    args: argparse.Namespace, settings: GRPOSettings, work: Work, steps: range, validated: dict[str, float] | None
) -> list[dict[str, Any]]:
    """Join the steps' results into the round's outputs; returns the steps' logs."""
    logs = work.logs(steps)
    work.join_tables(steps, "rollouts", contracts.TRAINING_ROLLOUTS, args.rollouts)
    work.join_tables(steps, "rewards", rewards_schema(settings.rewards), args.rewards)
    if args.schedule_out:
        schedule = pa.concat_tables([work.table(step, "schedule", contracts.SCHEDULE) for step in steps])
        contracts.write(args.schedule_out, schedule.combine_chunks(), contracts.SCHEDULE)
    write_jsonl(args.metrics, [entry["metrics"] for entry in logs])
    write_jsonl(args.timings, [entry["timings"] for entry in logs])
    if args.entries:
        write_jsonl(args.entries, [entry["entries"] for entry in logs])
    if args.validation_out:
        rows = [entry["validation"] for entry in logs] + [validated]
        write_jsonl(args.validation_out, [row for row in rows if row])
    return logs
