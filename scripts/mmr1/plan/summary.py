"""Sums over planned jobs: by stage, in all, and along the longest chain of jobs that wait for each other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmr1.plan.work import Work

TITLES = {
    "sft": "cold start",
    "curation": "curation",
    "passes": "VPS passes",
    "training": "GRPO",
    "counterfactual": "counterfactual",
    "evaluation": "evaluation",
    "other": "other",
}
ORDER = tuple(TITLES)

# Shares of the peak in training and in sampling. EasyR1 (assets/baselines.md) says 8.1% of an actor's training for 3B
# and 16 to 23% for 7B; an update of 18 of 3B's layers reached 15 to 31% on an H100 (docs/performance.md). Sampling is
# bound by memory and, in a small model, by launching kernels: estimates.
BELOW = 5e9  # weights
SMALL, LARGE = (0.1, 0.06), (0.2, 0.12)


@dataclass(frozen=True)
class Speeds:
    """What hardware makes of FLOPs. `peak` is one GPU's dense bf16 FLOP/s; shares are of it, by model where not stated.

    `cpu` is FLOP/s per thread, for recipes without GPUs: what the digits recipe reaches.
    """

    peak: float = 989e12
    training: float | None = None
    sampling: float | None = None
    cpu: float = 5e9

    def shares(self, weights: float) -> tuple[float, float]:
        """The shares of the peak that training and sampling of a model of so many weights reach."""
        training, sampling = SMALL if weights < BELOW else LARGE
        return self.training or training, self.sampling or sampling


@dataclass(frozen=True)
class PlannedJob:
    """One job: where it belongs, what it asks for, and what it does."""

    name: str
    rule: str
    model: str
    run: str
    stage: str
    gpus: int  # on all its nodes
    threads: int
    minutes: float  # its time limit
    work: Work
    after: Sequence[str] = field(default=())  # the jobs whose files it reads
    due: bool = True
    memory: int = 0  # bytes that each rank needs, of a training
    weights: float = 0  # of its model

    def hours(self, speeds: Speeds) -> float:
        """How long it should take, at stated speeds; its reading, loading and saving count nothing."""
        if self.gpus:
            training, sampling = speeds.shares(self.weights)
            seconds = self.work.training_flops / (self.gpus * speeds.peak * training)
            seconds += self.work.sampling_flops / (self.gpus * speeds.peak * sampling)
        else:
            seconds = (self.work.training_flops + self.work.sampling_flops) / (self.threads * speeds.cpu)
        return seconds / 3600

    @property
    def asked(self) -> float:
        """GPU-hours that it asks for: its GPUs until its time limit."""
        return self.gpus * self.minutes / 60


def rows(jobs: Iterable[PlannedJob], speeds: Speeds) -> list[dict[str, Any]]:
    """One row per model, run and stage; one for all jobs in which no model computes."""
    groups: dict[tuple[str, str, str], list[PlannedJob]] = {}
    for job in jobs:
        place = ("", "") if job.stage == "other" else (job.model, job.run)
        groups.setdefault((*place, job.stage), []).append(job)
    order = sorted(groups, key=lambda key: (key[0], key[1], ORDER.index(key[2])))
    return [{"model": key[0], "run": key[1], "stage": TITLES[key[2]], **sums(groups[key], speeds)} for key in order]


def sums(jobs: Sequence[PlannedJob], speeds: Speeds) -> dict[str, Any]:
    """The sums over some jobs. Hours are GPU-hours where there are GPUs, else hours of a job."""
    work = sum((job.work for job in jobs), Work())
    return {
        "jobs": len(jobs),
        "due": sum(job.due for job in jobs),
        "gpus": max((job.gpus for job in jobs), default=0),
        "trained_tokens": work.trained_tokens,
        "sampled_tokens": work.sampled_tokens,
        "flops": work.training_flops + work.sampling_flops,
        "hours": sum(job.hours(speeds) * max(1, job.gpus) for job in jobs),
        "asked_gpu_hours": sum(job.asked for job in jobs),
        "kept_bytes": work.kept,
        "rank_bytes": max((job.memory for job in jobs), default=0),
    }


def passes_share(jobs: Iterable[PlannedJob]) -> float | None:
    """What VPS passes sample as a share of what the runs that have scores sample in training; None where none has.

    Passes that runs share count once.
    """
    jobs = list(jobs)
    scored = {(job.model, job.run) for job in jobs if job.rule == "score_vps"}
    passes = sum(job.work.sampled_tokens for job in jobs if job.stage == "passes")
    training = sum(
        job.work.sampled_tokens for job in jobs if job.stage == "training" and (job.model, job.run) in scored
    )
    return passes / training if passes and training else None


def longest_chain(jobs: Sequence[PlannedJob], speeds: Speeds) -> tuple[float, int]:
    """Hours and number of jobs of the longest chain in which each waits for the one before: no cluster is faster."""
    by_name: Mapping[str, PlannedJob] = {job.name: job for job in jobs}
    ends: dict[str, tuple[float, int]] = {}
    for job in jobs:  # in an order in which none stands before what it waits for
        before = max((ends[name] for name in job.after if name in by_name), default=(0.0, 0))
        ends[job.name] = (before[0] + job.hours(speeds), before[1] + 1)
    return max(ends.values(), default=(0.0, 0))


def line(jobs: Sequence[PlannedJob], speeds: Speeds) -> str:
    """The plan in one line."""
    all_of_them, (hours, length) = sums(jobs, speeds), longest_chain(jobs, speeds)
    cost = f"about {all_of_them['hours']:,.1f} hours of one core's work"
    if all_of_them["gpus"]:
        most = f"{all_of_them['asked_gpu_hours']:,.0f} at most, by their time limits"
        cost = f"about {all_of_them['hours']:,.0f} GPU-hours ({most})"
    return (
        f"{all_of_them['jobs']} jobs, {cost}, {gigabytes(all_of_them['kept_bytes'])} kept; "
        f"the longest chain takes about {hours:,.1f} hours ({length} jobs)"
    )


def gigabytes(number: float) -> str:
    """Bytes as text, in units that fit: 1.2 MB, 53 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number / 1e6:,.1f} MB"
